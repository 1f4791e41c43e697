"""`Gemini`: what is sent where, what comes back, and what it costs, against a server that speaks its wire."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from chat_wire import ask
from gemini_wire import CALL, HELLO, SIGNED, answer, event, says
from inferkit import AsyncClient, Budget, Cache, Client, Gemini, Message, OpenAIChat, Price, Tool, Usage
from inferkit.caching.disk import DiskTier
from inferkit.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ContentFiltered,
    RateLimited,
    StreamInterrupted,
    Unavailable,
)
from inferkit.providers.by_name import NAMES, make
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from inferkit.runtime.direct import DirectRuntime
from wire import CLOSE, SSE_HEAD, UNTIL_CLOSED, Wire, chunked, reply

KEY = "AIza-very-secret"
PRICES = {"gemini:*": Price("0.3", "2.5", cache_read="0.03")}
NANOS = 13 * 300 + 12 * 30 + 9 * 2500
FIND = Tool("find", "Finds an order.", {"type": "object", "properties": {"id": {"type": "integer"}}})


def streamed(events):
    yield SSE_HEAD
    for one in events:
        yield chunked(event(one))
    yield chunked(b"")


def is_stream(received):
    return ":streamGenerateContent?alt=sse" in received.line


def respond(received):
    """Answer as it was asked, streamed or whole."""
    if is_stream(received):
        yield from streamed(HELLO)
    else:
        yield reply(answer())


def words(flow):
    return "".join(chunk.text for chunk in flow)


@contextlib.contextmanager
def client(script=respond, *, model="gemini-2.5-flash", **settings):
    with Wire(script) as wire:
        provider = Gemini(base_url=wire.url, api_key=KEY)
        with Client(models={"m": f"gemini:{model}"}, providers={"gemini": provider}, cache=False, **settings) as made:
            yield made, wire
        provider.close()


def test_a_call_goes_where_it_belongs_with_its_key_in_its_own_header():
    with client() as (made, wire):
        assert made.complete("m", "Hi").text == "It is on its way."
        with made.stream("m", "Hi") as flow:
            assert words(flow) == "Hello"
        whole, stream = wire.requests
    assert whole.line.startswith("POST /v1/models/gemini-2.5-flash:generateContent ")
    assert stream.line.startswith("POST /v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse ")
    for sent in (whole, stream):
        assert sent.headers["x-goog-api-key"] == KEY
        assert "authorization" not in sent.headers
        assert KEY not in sent.line
        assert KEY.encode() not in sent.body


@pytest.mark.parametrize("prices", [PRICES, None], ids=["given", "listed"])
def test_streamed_or_whole_it_is_priced_with_its_thoughts_and_what_was_cached(prices):
    with client(prices=prices, budget=Budget(usd="1", per="month", name="all")) as (made, _):
        whole = made.complete("m", "Hi", max_output_tokens=100)
        with made.stream("m", "Hi there", max_output_tokens=100) as flow:
            assert words(flow) == "Hello"
        for one in (whole, flow.reply):
            assert (one.usage.input_tokens, one.usage.output_tokens) == (25, 9)
            assert (one.cost_nanos, one.usage.estimated) == (NANOS, False)


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-flash"])
@pytest.mark.parametrize("streams", [False, True])
def test_a_loop_with_tools_goes_on_with_what_was_signed(model, streams):
    asked = says({"text": "hm", "thought": True}, CALL, finish="STOP")

    def script(received):
        last = received.json["contents"][-1]["parts"][0]
        events = HELLO if "functionResponse" in last else [asked]
        if is_stream(received):
            yield from streamed(events)
        else:
            yield reply(answer() if events is HELLO else asked)

    with client(script, model=model) as (made, wire):
        talk = [Message.user("Where is order 7?")]
        for _ in range(2):
            if streams:
                with made.stream("m", talk, tools=[FIND]) as flow:
                    list(flow)
                one = flow.reply
            else:
                one = made.complete("m", talk, tools=[FIND])
            talk += [one.message, *[Message.tool(call.id, "on its way") for call in one.tool_calls]]
        assert one.text == ("Hello" if streams else "It is on its way.")
        assert one.left_out == ()
        sent = wire.requests[1].json["contents"]
    assert sent[1] == {"role": "model", "parts": [{"text": "hm", "thought": True}, CALL]}
    assert sent[1]["parts"][1]["thoughtSignature"] == SIGNED
    answered = {"functionResponse": {"name": "find", "response": {"output": "on its way"}}}
    assert sent[2] == {"role": "user", "parts": [answered]}


def test_a_reply_from_the_cache_goes_back_as_the_first_did(tmp_path):
    said = says({"text": "hm", "thought": True}, "So.", {"text": "", "thoughtSignature": SIGNED}, CALL, finish="STOP")
    with Wire(lambda _: [reply(said)]) as wire:
        for _ in range(2):  # from the disk the second time
            provider = Gemini(base_url=wire.url, api_key=KEY)
            cache = Cache(DiskTier(tmp_path))
            with Client(models={"m": "gemini:m"}, providers={"gemini": provider}, cache=cache) as made:
                replies = [made.complete("m", "Hi", temperature=0) for _ in range(2)]
            provider.close()
        assert len(wire.requests) == 1
    assert replies[0].cache == "hit"
    parts = said["candidates"][0]["content"]["parts"]
    request = ask(DirectRuntime(), Message.user("Hi"), replies[0].message, model="gemini-2.5-flash")
    assert json.loads(GEMINI_WIRE.write_request(request, provider.endpoint))["contents"][1]["parts"] == parts


def test_it_serves_on_an_event_loop_too():
    async def main(url):
        provider = Gemini(base_url=url, api_key=KEY)
        async with AsyncClient(models={"m": "gemini:m"}, providers={"gemini": provider}, cache=False) as made:
            one = await made.complete("m", "Hi")
            async with made.stream("m", "Hi") as flow:
                text = "".join([chunk.text async for chunk in flow])
        await provider.aclose()
        return one.text, text

    with Wire(respond) as wire:
        assert asyncio.run(main(wire.url)) == ("It is on its way.", "Hello")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}, AuthenticationFailed),
        (429, {"status": "RESOURCE_EXHAUSTED"}, RateLimited),
        (503, {"status": "UNAVAILABLE"}, Unavailable),
    ],
)
def test_a_refusal_is_the_error_that_it_means(status, error, kind):
    body = {"error": {"code": status, "message": f"no {KEY}", **error}}
    with client(lambda _: [reply(body, status=status)], max_retries=0) as (made, _), pytest.raises(kind) as refused:
        made.complete("m", "Hi")
    assert KEY not in repr(refused.value)
    assert KEY not in (refused.value.detail or "")


def test_a_prompt_that_is_blocked_is_an_error_and_not_an_empty_reply():
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}

    def script(received):
        yield from streamed([blocked]) if is_stream(received) else [reply(blocked)]

    with client(script) as (made, _):
        with pytest.raises(ContentFiltered):
            made.complete("m", "Hi")
        with pytest.raises(ContentFiltered), made.stream("m", "Hi") as flow:
            list(flow)


@pytest.mark.parametrize("before", [[], [says("Hel")]], ids=["at once", "after words"])
def test_a_prompt_that_is_blocked_is_booked_as_the_provider_counts_it(before):
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 31, "candidatesTokenCount": len(before), "totalTokenCount": 31},
    }

    def script(received):
        yield from streamed([*before, blocked]) if is_stream(received) else [reply(blocked)]

    with client(script, prices=PRICES) as (made, _):
        for ask_it in (lambda: made.complete("m", "Hi"), lambda: list(made.stream("m", "Hi"))):
            with pytest.raises((ContentFiltered, StreamInterrupted)) as refused:
                ask_it()
            (attempt,) = refused.value.attempts
            assert attempt.usage == Usage(31, len(before))
            assert attempt.cost_nanos == 31 * 300 + len(before) * 2500


def test_a_call_that_comes_piece_by_piece_is_one_to_a_stream():
    pieces = [
        {"name": "find", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.id", "numberValue": 7}], "willContinue": True},
        {},
    ]

    def script(received):
        assert received.json["toolConfig"]["functionCallingConfig"]["streamFunctionCallArguments"] is True
        yield from streamed([*[says({"functionCall": one}) for one in pieces], says(finish="STOP")])

    piecemeal = {"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}}
    with client(script) as (made, _), made.stream("m", "Hi", tools=[FIND], extra=piecemeal) as flow:
        arguments = [call.arguments for chunk in flow for call in chunk.tool_calls]
        assert arguments == ["", '{"id": 7', "}"]
        assert [(call.name, call.values) for call in flow.reply.tool_calls] == [("find", {"id": 7})]
        assert flow.reply.finish_reason == "tool_calls"


def test_how_a_model_is_told_to_think_is_learned_and_said_so_from_then_on():
    refusal = {"error": {"code": 400, "message": "Thinking level MEDIUM is not supported for this model."}}

    def script(received):
        level = received.json["generationConfig"]["thinkingConfig"]["thinkingLevel"]
        yield reply(refusal, status=400) if level == "medium" else reply(answer())

    with client(script, model="gemini-3-pro-preview") as (made, wire):
        for question in ("Hi", "Hi there"):
            made.complete("m", question, reasoning_effort="medium")
        configs = [sent.json["generationConfig"]["thinkingConfig"]["thinkingLevel"] for sent in wire.requests]
    assert configs == ["medium", "high", "high"]


def test_a_stream_that_is_cut_off_is_no_short_reply():
    def script(_):
        yield SSE_HEAD
        for one in HELLO[:2]:
            yield chunked(event(one))
        yield CLOSE

    with client(script, max_retries=0) as (made, _), made.stream("m", "Hi") as flow:
        with pytest.raises(StreamInterrupted) as broken:
            list(flow)
        assert broken.value.partial == flow.text == "Hello"


def test_a_stream_that_is_left_is_booked_with_the_input_that_its_first_event_reported():
    def script(_):
        yield SSE_HEAD
        yield chunked(event(HELLO[0]))
        yield UNTIL_CLOSED

    with client(script, prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        with made.stream("m", "Hi") as flow:
            assert next(chunk.text for chunk in flow if chunk.text) == "Hel"
        assert wire.wait_until_closed()
        usage = flow.reply.usage
    assert (usage.input_tokens, usage.estimated) == (25, True)


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"generationConfig": {"maxOutputTokens": 100_000}}, "generationConfig"),
        ({"generationConfig": {"candidateCount": 8}}, "generationConfig"),
        ({"generationConfig": {"responseModalities": ["IMAGE"]}}, "generationConfig"),
        ({"tools": [{"googleSearch": {}}]}, "tools"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_no_field_gets_past_a_budget(extra, word):
    budget = Budget(usd="1", per="month", name="all")
    with client(prices=PRICES, budget=budget) as (made, wire), pytest.raises(ConfigurationError, match=word):
        made.complete("m", "Hi", max_output_tokens=10, extra=extra)
    assert wire.requests == []


def test_what_moves_no_cost_goes_with_a_call_that_a_budget_pays_for():
    with client(prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        one = made.complete("m", "Hi", max_output_tokens=100, extra={"generationConfig": {"topK": 5}})
        assert wire.requests[0].json["generationConfig"] == {"maxOutputTokens": 100, "topK": 5}
    assert one.cost_nanos == NANOS


def test_what_is_said_to_this_wire_by_its_name_is_under_the_same_rules():
    with client(prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        options = {"labels": {"a": "b"}}
        made.complete("m", "Hi", max_output_tokens=100, extra={"gemini": options, "chat": {"verbosity": "low"}})
        assert wire.requests[0].json.items() >= options.items()
        assert "chat" not in wire.requests[0].json
        with pytest.raises(ConfigurationError, match="generationConfig"):
            made.complete("m", "Hi", extra={"gemini": {"generationConfig": {"maxOutputTokens": 10**6}}})


def test_outside_of_a_budget_the_servers_own_tools_stand_beside_the_callers():
    searched = answer("So.", groundingMetadata={"webSearchQueries": ["a"]})
    with client(lambda _: [reply(searched)]) as (made, wire):
        one = made.complete("m", "Hi", tools=[FIND], extra={"tools": [{"googleSearch": {}}]})
        assert [list(tool) for tool in wire.requests[0].json["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert one.usage.details.server_tools == (("web_search", 1),)
    assert one.cost_nanos == NANOS + 35_000_000
    assert one.extra["groundingMetadata"] == {"webSearchQueries": ["a"]}


def test_a_prefix_in_the_cache_is_held_for_as_much_as_fits_and_booked_as_what_it_was():
    extra = {"cachedContent": "cachedContents/1"}
    with client(budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        assert made.complete("m", "Hi", max_output_tokens=100, extra=extra).cost_nanos == NANOS
        assert wire.requests[0].json["cachedContent"] == "cachedContents/1"
    few = Budget(usd="0.1", per="month", name="few")
    with client(budget=few) as (made, wire):
        with pytest.raises(Exception, match="few"):
            made.complete("m", "Hi", max_output_tokens=100, extra=extra)
        assert wire.requests == []


def test_the_key_of_googles_own_address_is_sent_nowhere_else(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with Wire(respond) as wire:
        other = Gemini(base_url=wire.url)
        with Client(models={"m": "x:m"}, providers={"x": other}, cache=False) as made:
            made.complete("m", "Hi")
        assert "x-goog-api-key" not in wire.requests[0].headers
        other.close()
    assert Gemini().endpoint.credential.read() == KEY
    assert KEY not in repr(Gemini())


def test_either_of_two_variables_holds_the_key(monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "other")
    assert Gemini().endpoint.credential.read() == "other"
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    assert Gemini().endpoint.credential.read() == KEY


def test_without_a_key_the_message_names_the_variables(monkeypatch):
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with (
        Client(models={"m": "gemini:gemini-2.5-flash"}, cache=False) as made,
        pytest.raises(ConfigurationError, match="GEMINI_API_KEY or GOOGLE_API_KEY"),
    ):
        made.complete("m", "Hi")


def test_the_name_means_this_wire_and_another_one_the_compatible_one():
    assert {"gemini", "gemini-openai"} <= NAMES
    own, compatible = make("gemini", None), make("gemini-openai", None)
    assert isinstance(own, Gemini)
    assert own.endpoint.base_url == "https://generativelanguage.googleapis.com/v1beta"
    assert isinstance(compatible, OpenAIChat)
    assert compatible.endpoint.base_url.endswith("/v1beta/openai")


@pytest.mark.parametrize("settings", [{"base_url": "ftp://x"}, {"headers": {"a b": "c"}}, {"api_key": "ä"}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigurationError):
        Gemini(**{"api_key": KEY, **settings})


def test_the_limit_of_memory_can_be_set():
    assert Gemini(api_key=KEY, max_kept_bytes=1000).wire.max_kept_bytes == 1000


def test_the_reply_says_what_was_left_out():
    with client() as (made, _):
        assert made.complete("m", "Hi", prompt_cache_key="k").left_out == ("prompt_cache_key",)
        assert made.complete("m", "Hi").left_out == ()
