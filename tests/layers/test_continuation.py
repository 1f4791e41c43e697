"""A stream that breaks goes on, joined with certainty or not at all: whichever wire, wherever it is cut."""

from __future__ import annotations

import json
import re

import pytest

import anthropic_wire
import gemini_wire
import responses_wire
from chat_wire import ask
from inferkit import (
    Anthropic,
    Budget,
    Chunk,
    Client,
    ConfigurationError,
    Gemini,
    Health,
    Insert,
    InvalidReply,
    InvalidRequest,
    OpenAIChat,
    OpenAIResponses,
    Price,
    Retry,
    StreamInterrupted,
    ToolCallDelta,
    Unavailable,
    Usage,
)
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.prefill import Prefill
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.testing import FakeProvider
from wire import CLOSE, SSE_HEAD_UNTIL_CLOSE, Wire, event
from worlds import closing

TEXT = "It left the depot\nat 6:40 — “due” today ☃ and is on its way."
OBJECT = (
    '{"order": "A-208", "said": "It left — \\"due\\" today ☃ \\ud83d\\ude9a\\n", "parcels": ['
    '{"id": 1, "kilos": -1.5e1}, {"id": 1, "kilos": -1.5e1}, {"id": 1, "kilos": -1.5e1}], "open": null}'
)
SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "string"},
        "said": {"type": "string"},
        "parcels": {"type": "array", "items": {"type": "object"}},
        "open": {},
    },
    "required": ["order", "said", "parcels", "open"],
}
WORDS = re.compile(r"<<<(.*)>>>", re.DOTALL)
BROKEN = Unavailable("the connection broke", provider="fake")


def in_three(text):
    third = max(1, len(text) // 3)
    return [text[:third], text[third : 2 * third], text[2 * third :]]


def chat(text):
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
    said = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in in_three(text)]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return b"".join([*map(event, said), event(end), event(usage), event("[DONE]")])


def anthropic(text):
    blocks = [anthropic_wire.start(0, type="text", text="")]
    blocks += [anthropic_wire.delta(0, "text_delta", text=piece) for piece in in_three(text)]
    return b"".join(map(anthropic_wire.event, anthropic_wire.stream(*blocks, anthropic_wire.stop(0))))


def gemini(text):
    said = [gemini_wire.says(piece) for piece in in_three(text)]
    return b"".join(map(gemini_wire.event, [*said, gemini_wire.says(finish="STOP", usage=gemini_wire.USAGE)]))


def responses(text):
    said = responses_wire.stream(responses_wire.message(responses_wire.text(text)))
    return b"".join(map(responses_wire.event, said))


def prompt(body):
    """Give the texts of a request's messages, whatever the wire."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                found.append(value["text"])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)
        elif isinstance(value, str) and "<<<" in value:
            found.append(value)

    walk(body)
    return found


class Model:
    """Says a text, cut at a byte the first time, and goes on with it when asked to. Plays a script of `Wire`, too."""

    def __init__(self, write, text=TEXT):
        self.write = write
        self.text = text
        self.cut = 0
        self.asked = []

    def __call__(self, request):
        yield SSE_HEAD_UNTIL_CLOSE
        yield self.says(request.json)
        yield CLOSE

    def says(self, body):
        words = next((found[1] for text in prompt(body) if (found := WORDS.search(text))), None)
        last = (body.get("messages") or [{}])[-1]
        if words is not None:
            self.asked.append("overlap")
            return self.write(words + self.text[self.text.rindex(words) + len(words) :])
        if last.get("role") == "assistant":
            self.asked.append("prefill")
            said = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
            assert self.text.startswith(said)
            return self.write(self.text[len(said) :])
        if not self.asked:
            self.asked.append("first")
            return self.write(self.text)[: self.cut]
        self.asked.append("again")
        return self.write(self.text)


class Line:
    """A transport whose server writes what a model says, and closes: what comes is all there at the first read."""

    def __init__(self, model):
        self.model = model
        self.open = 0

    async def post(self, url, headers, body, **_):
        self.open += 1
        return _Exchange(self, self.model.says(json.loads(body)))

    async def aclose(self, runtime):
        pass


class _Exchange:
    status = 200

    def __init__(self, line, written):
        self.headers = {"content-type": "text/event-stream"}
        self._line = line
        self._left = [written]
        self._is_open = True

    async def read(self):
        return self._left.pop() if self._left else b""

    def end_within(self, seconds):
        pass

    def holds_more(self):
        return bool(self._left)

    async def finish(self):
        await self.aclose()

    async def aclose(self):
        self._line.open -= self._is_open
        self._is_open = False


WIRES = {
    "chat": (chat, lambda url: OpenAIChat(base_url=url, api_key="k", name="p")),
    "chat-prefill": (
        chat,
        lambda url: OpenAIChat(base_url=url, api_key="k", name="p", quirks=ChatQuirks(prefill=Prefill())),
    ),
    "anthropic": (anthropic, lambda url: Anthropic(base_url=url, api_key="k", name="p")),
    "gemini": (gemini, lambda url: Gemini(base_url=url, api_key="k", name="p")),
    "responses": (responses, lambda url: OpenAIResponses(base_url=url, api_key="k", name="p")),
}


def client_of(adapter, **more):
    return Client(
        providers={"p": adapter},
        layers=[Insert(Retry(2, base=1e-6, health=Health(breaker=None, retries=None)), instead_of="retry")],
        on_interrupt="continue",
        cache=False,
        ledger=False,
        **more,
    )


def heard(adapter):
    """Give what a stream says, as its adapter reads it, and how it ends."""
    said = []
    try:
        response = drive(adapter(ask(DirectRuntime())))
        while True:
            said += drive(response.next_batch())
    except (StopAsyncIteration, Unavailable) as error:
        end = type(error)
    return tuple([(one.text, one.reasoning, one.tool_calls, one.finish_reason, one.usage) for one in said]), end


def cut(model, llm, places, **options):
    """Have a reply cut at these places, one after another; give where it was joined."""
    seams = set()
    for model.cut in places:
        model.asked.clear()
        with llm.stream("p:m", "Where is my order?", **options) as stream:
            text = "".join([chunk.text for chunk in stream])
        reply = stream.reply
        assert text == reply.text == model.text, f"cut at {model.cut}: {model.asked}"
        assert reply.message.text == model.text
        assert reply.finish_reason == "stop"
        if "schema" in options:
            assert reply.parsed == json.loads(model.text)
        seams.update(reply.seams)
        if reply.seams:
            assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation"]
    assert len(seams) >= 2
    assert all(0 < seam <= len(model.text) for seam in seams)


@pytest.mark.parametrize(("text", "options"), [(TEXT, {}), (OBJECT, {"schema": SCHEMA})], ids=["text", "object"])
@pytest.mark.parametrize("name", WIRES)
def test_a_reply_that_is_cut_at_any_byte_comes_whole(name, text, options):
    """Each cut is read by its wire. What is read alike goes on alike: of such cuts the first and the last do."""
    write, adapter = WIRES[name]
    model, one = Model(write, text), adapter("http://127.0.0.1:9/v1")
    one.transport = line = Line(model)
    alike = {}
    for model.cut in range(len(write(text)) + 1):
        model.asked.clear()
        said, end = heard(one)
        assert text.startswith("".join([words for words, *_ in said]))
        alike.setdefault((said, end), []).append(model.cut)
    assert len(alike) >= 5
    with client_of(one) as llm:
        cut(model, llm, [place for places in alike.values() for place in (places[0], places[-1])], **options)
    assert line.open == 0


@pytest.mark.parametrize("name", WIRES)
def test_a_connection_that_is_cut_around_the_end_of_any_event_is_gone_on_with(name):
    """The same over a real connection, where a cut is most likely to be taken for something else."""
    write, adapter = WIRES[name]
    model, whole = Model(write), write(TEXT)
    ends = [match.end() for match in re.finditer(b"\n\n", whole)]
    places = {place for end in ends for place in range(end - 3, end + 2)} | set(range(0, len(whole), 41))
    with Wire(model) as wire, client_of(adapter(wire.url)) as llm:
        cut(model, llm, sorted(place for place in places if place <= len(whole)))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("begins the object anew", lambda said, words, rest: said + rest),
        ("goes on without repeating anything", lambda said, words, rest: rest),
        ("puts it into a code block", lambda said, words, rest: f"```json\n{words}{rest}\n```"),
        ("repeats one character less", lambda said, words, rest: words[1:] + rest),
        ("says nothing", lambda said, words, rest: ""),
    ],
)
def test_an_object_that_another_part_does_not_fit_to_is_whole_or_interrupted_wherever_it_was_cut(how, says):
    interrupted = 0
    for place in range(1, len(OBJECT)):
        said, rest = OBJECT[:place], OBJECT[place:]

        def script(request, said=said, rest=rest):
            return sure(says(said, WORDS.search(request.messages[-1].text)[1], rest))

        with Client(**settings(FakeProvider([said, BROKEN], script, script))) as llm:
            try:
                reply = llm.complete("fake:m", "Which?", schema=SCHEMA)
            except StreamInterrupted as error:
                interrupted += 1
                assert error.partial == said, f"{how}, cut at {place}"
            except InvalidReply as error:
                pytest.fail(f"{how}, cut at {place}: what was joined is no valid object: {error.partial}")
            else:
                assert (reply.text, reply.parsed) == (OBJECT, json.loads(OBJECT)), f"{how}, cut at {place}"
    assert interrupted, "it cannot be joined at every place"


def sure(*pieces):
    return [*pieces, Chunk(finish_reason="stop", usage=Usage(10, 5))]


def settings(provider, **more):
    return {
        "providers": {"fake": provider}, "on_interrupt": "continue", "max_retries": 1, "cache": False, "ledger": False,
        **more,
    }  # fmt: skip


def goes_on(rest):
    """Give a script that repeats what it is asked to repeat, and goes on."""

    def script(request):
        words = WORDS.search(request.messages[-1].text)[1]
        return sure(*words, rest)

    return script


def test_a_reply_goes_on_in_every_world(world):
    provider = FakeProvider(["It left the depot", BROKEN], goes_on(" today."))

    async def body(world):
        async with closing(world.client(**settings(provider))) as llm:
            return await llm.complete("fake:m", "Where?")

    reply = world.run(body)
    assert (reply.text, reply.seams) == ("It left the depot today.", (17,))
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation"]
    assert provider.open_streams == 0


def test_by_default_it_ends_as_it_was_broken():
    provider = FakeProvider(["It left", BROKEN], "never")
    with Client(**settings(provider, on_interrupt="raise")) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Where?")
    assert caught.value.partial == "It left"
    assert len(provider.requests) == 1


def test_the_rest_may_break_too_and_at_most_two_times_it_goes_on():
    def part(rest, *end):
        return lambda request: [WORDS.search(request.messages[-1].text)[1], rest, *end]

    provider = FakeProvider(["one ", BROKEN], part("two ", BROKEN), goes_on("three"))
    with Client(**settings(provider, max_retries=2)) as llm:
        reply = llm.complete("fake:m", "Count.")
    assert (reply.text, reply.seams) == ("one two three", (4, 8))
    broken = FakeProvider(["one ", BROKEN], part("two ", BROKEN), part("three ", BROKEN), part("four ", BROKEN))
    with Client(**settings(broken, max_retries=9)) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Count.")
    assert caught.value.partial == "one two three "
    assert len(broken.requests) == 3


@pytest.mark.parametrize(
    "rest",
    [
        "Sorry, here is it again: It left the depot today.",
        "today.",
        ["It left", Chunk(finish_reason="stop", usage=Usage(1, 1))],
        ["It le", BROKEN],
        Unavailable("down", provider="fake"),
        [Chunk(tool_calls=(ToolCallDelta(0, "id", "f", "{}"),))],
    ],
)
def test_what_cannot_be_joined_with_certainty_is_not_joined(rest):
    provider = FakeProvider(["It left the depot", BROKEN], rest)
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Where?")
    assert caught.value.partial == "It left the depot"
    assert [attempt.kind for attempt in caught.value.attempts] == ["primary", "continuation"]
    assert provider.open_streams == 0


@pytest.mark.parametrize(
    "begun",
    [
        [Chunk(reasoning="hm"), BROKEN],
        ["Let me see.", Chunk(tool_calls=(ToolCallDelta(0, "id", "f", '{"a'),)), BROKEN],
    ],
)
def test_what_is_more_than_text_is_not_gone_on_with(begun):
    provider = FakeProvider(begun, "never")
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted):
        llm.complete("fake:m", "Where?")
    assert len(provider.requests) == 1


def test_a_server_that_echoes_what_it_goes_on_with_is_not_doubled():
    provider = FakeProvider(["It left ", BROKEN], lambda request: sure(request.messages[-1].text + " the depot."))
    provider.prefill = Prefill(message={"prefix": True}, fields={"go_on": True}, echoes=True)
    with Client(**settings(provider)) as llm:
        reply = llm.complete("fake:m", "Where?")
    assert reply.text == "It left the depot."
    assert (provider.requests[1].messages[-1].extra, provider.requests[1].extra) == ({"prefix": True}, {"go_on": True})


SAID = "It left the depot this morning"


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("rest", [" at nine.", "", " It left the depot today."])
def test_a_server_that_begins_anew_in_place_of_going_on_is_not_doubled(rest, size):
    whole = f"{SAID}{rest}"
    provider = FakeProvider([SAID, BROKEN], [whole[place : place + size] for place in range(0, len(whole), size)])
    provider.prefill = Prefill()
    with Client(**settings(provider)) as llm:
        assert llm.complete("fake:m", "Where?").text == whole
    assert provider.open_streams == 0


@pytest.mark.parametrize(
    ("said", "anew"),
    [
        (SAID, "It left the depot this evening."),
        (SAID, "It left the depot this"),
        (f"{SAID}. {SAID}", f"{SAID}. {SAID}."),
    ],
)
def test_a_server_that_seems_to_begin_anew_is_not_believed_to_go_on(said, anew):
    provider = FakeProvider([said, BROKEN], anew, BROKEN)
    provider.prefill = Prefill()
    with Client(**settings(provider, max_retries=2)) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Where?")
    assert caught.value.partial == said
    assert len(provider.requests) == 3, "it was asked in words, too"


def test_what_goes_on_may_begin_a_little_as_the_reply_did_and_a_sure_one_as_it_likes():
    for ways, rest in ((Prefill(), "It left the same day."), (Prefill(is_sure=True), SAID)):
        provider = FakeProvider([SAID, BROKEN], rest)
        provider.prefill = ways
        with Client(**settings(provider)) as llm:
            assert llm.complete("fake:m", "Where?").text == SAID + rest


def test_a_server_that_refuses_to_go_on_with_a_message_is_asked_in_words():
    refuses = InvalidRequest("the last message is the assistant's", provider="fake", status=400)
    provider = FakeProvider(["It left", BROKEN], refuses, goes_on(" the depot."))
    provider.prefill = Prefill()
    with Client(**settings(provider, max_retries=2)) as llm:
        reply = llm.complete("fake:m", "Where?")
    assert reply.text == "It left the depot."
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation", "continuation"]


def test_another_candidate_goes_on_where_the_first_is_gone():
    gone, other = FakeProvider(["It left", BROKEN], BROKEN), FakeProvider(goes_on(" the depot."))
    more = {"providers": {"gone": gone, "other": other}, "models": {"any": ["gone:m", "other:m"]}}
    with Client(**settings(gone, max_retries=2, **more)) as llm:
        reply = llm.complete("any", "Where?")
    assert (reply.text, reply.provider) == ("It left the depot.", "other")
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation", "fallback"]


def test_all_parts_are_charged_to_the_call_within_its_budget_and_its_limit(tmp_path):
    provider = FakeProvider(["It left the depot", BROKEN], goes_on(" today."))
    budget = Budget(usd="1", per="month", name="all")
    more = {"ledger": tmp_path / "ledger.db", "budget": budget, "prices": {"fake:m": Price(1, 10)}}
    with Client(**settings(provider, **more)) as llm:
        reply = llm.complete("fake:m", "Where?", max_output_tokens=100)
        assert budget.usage(ledger=llm.ledger).usd == reply.cost
    assert reply.cost_nanos == sum(attempt.cost_nanos for attempt in reply.attempts)
    first, second = provider.requests
    assert first.max_output_tokens == 100
    assert second.max_output_tokens < 100 + len("It left the depot")


def test_one_that_had_written_all_that_it_may_is_not_gone_on_with():
    provider = FakeProvider(["one two", Chunk(usage=Usage(5, 40)), BROKEN], "never")
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted):
        llm.complete("fake:m", "Count.", max_output_tokens=40)
    assert len(provider.requests) == 1


def test_a_reply_that_was_whole_but_for_its_end_is_whole():
    provider = FakeProvider(["It left.", Chunk(finish_reason="stop"), BROKEN], "never")
    with Client(**settings(provider)) as llm:
        reply = llm.complete("fake:m", "Where?")
    assert (reply.text, reply.finish_reason, reply.seams) == ("It left.", "stop", ())
    assert reply.attempts[0].usage.estimated
    assert len(provider.requests) == 1


def test_a_reply_with_a_seam_is_not_kept_in_the_cache(tmp_path):
    provider = FakeProvider(["It left", BROKEN], goes_on(" today."), "whole")
    with Client(**settings(provider, cache=True, home=tmp_path)) as llm:
        assert [llm.complete("fake:m", "Where?").text for _ in range(3)] == ["It left today.", "whole", "whole"]
    assert len(provider.requests) == 3


@pytest.mark.parametrize(
    ("said", "anew"),
    [("{", '{{"order": "A-208"}'), ('{"order"', '{"order""order": "A-208"}'), ('{"order": ', '{"order": : "A-208"}')],
)
def test_what_would_make_no_object_of_it_is_not_joined(said, anew):
    provider = FakeProvider([said, BROKEN], anew)
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Which?", schema={"type": "object"})
    assert caught.value.partial == said


def test_an_object_goes_on_too_and_is_judged_as_one():
    provider = FakeProvider(['{"number": "A-', BROKEN], goes_on('208"}'))
    schema = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
    with Client(**settings(provider)) as llm:
        assert llm.complete("fake:m", "Which?", schema=schema).parsed == {"number": "A-208"}
    assert provider.requests[1].response_schema is None, "an API would begin the object anew"


def test_a_stream_that_is_closed_while_it_goes_on_leaves_nothing_open(world):
    provider = FakeProvider(["It left", BROKEN], goes_on(" today."))

    async def body(world):
        async with closing(world.client(**settings(provider))) as llm, llm.stream("fake:m", "Where?") as stream:
            async for _ in stream:
                break

    world.run(body)
    assert provider.open_streams == 0


def test_the_setting_is_checked():
    with pytest.raises(ConfigurationError, match='on_interrupt is "raise" or "continue"'):
        Client(on_interrupt="retry")
