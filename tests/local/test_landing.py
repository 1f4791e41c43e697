"""A reply that its budget cuts is ended by a local model: a sentence ends, and an object fits its schema."""

from __future__ import annotations

import json
import logging

import pytest
from pydantic import BaseModel

import tiny_gguf
from inferkit import Budget, Chunk, Client, ConfigurationError, Local, LocalCost, Price, ToolCallDelta, Usage
from inferkit.core.errors import DeadlineExceeded, InvalidReply, InvalidRequest
from inferkit.layers.trace import Trace
from inferkit.local.landing import landing_of
from inferkit.testing import FakeProvider, make_request
from smollm import NAME, need_smollm
from worlds import World, closing, in_time

PRICE = Price(input="1", output="10")
PRICES = {"big:*": PRICE, "own:*": Price(input="0", output="0"), "late:*": Price(input="0", output="0")}
SENTENCE = "The parcel left our depot this mor"
OBJECT = '{"order": 48213, "summary": "It is on its w'
PER_CALL = Budget(usd="0.0009", per="call", name="small", on_exceed="land")


class Ticket(BaseModel):
    order: int
    summary: str
    late: bool
    tags: list[str]


def cut(text, *more, tokens=20):
    """A provider that keeps to its limit, and says that it did."""
    return FakeProvider([Chunk(text), *more, Chunk(finish_reason="length", usage=Usage(9, tokens))])


def endless(text, count=4000):
    """A provider that ignores its limit."""
    return FakeProvider([text, *["e mor"] * count])


def client(world, provider, **settings):
    settings.setdefault("models", {"any": "big:m"})
    settings.setdefault("prices", PRICES)
    settings.setdefault("budget", PER_CALL)
    providers = {"big": provider, **settings.pop("providers", {})}
    return closing(world.client(providers=providers, ledger=True, **settings))


def ledger_of(llm):
    return (llm.inner if hasattr(llm, "inner") else llm).ledger


async def ask(llm, how, **options):
    if how == "whole":
        return await llm.complete("any", "Where is my parcel?", **options)
    async with llm.stream("any", "Where is my parcel?", **options) as stream:
        async for _ in stream:
            pass
        return stream.reply


async def asked(world, provider, *, how="stream", options=None, **settings):
    async with client(world, provider, **settings) as llm:
        reply = await ask(llm, how, **(options or {}))
        return reply, list(ledger_of(llm).entries())


@pytest.fixture(scope="module")
def embedded():
    model = Local()
    yield model
    model.close()


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    """A model that knows one word, and how a sentence ends."""
    spec = tiny_gguf.scripted(["▁", "m", "o", "r", "e", "."], context=1000)
    model = Local(spec.write(tmp_path_factory.mktemp("models") / "more.gguf"))
    yield model
    model.close()


@pytest.fixture(scope="module")
def here():
    """One of the four ways to run the stack, where they do not differ."""
    return World("direct")


@pytest.fixture(params=["whole", "stream"])
def how(request):
    return request.param


def test_an_object_is_completed_under_its_schema_by_the_embedded_model(world, how, embedded):
    async def body(world):
        return await asked(world, cut(OBJECT), how=how, providers={"local": embedded}, options={"schema": Ticket})

    reply, (entry,) = world.run(body)
    assert reply.text.startswith(OBJECT)
    assert reply.parsed.order == 48213
    assert (reply.parsed.summary, reply.parsed.tags) == ("It is on its w…", [])
    assert reply.landed == len(OBJECT)
    assert (reply.finish_reason, reply.provider, reply.model) == ("budget", "big", "m")
    assert [(each.kind, each.provider, each.outcome) for each in reply.attempts] == [
        ("primary", "big", "closed"),
        ("landing", "local", "completed"),
    ]
    assert reply.usage.output_tokens == 20
    assert reply.cost_nanos == 9 * 1_000 + 20 * 10_000 == entry.charge.usd
    assert [part.kind for part in entry.charge.parts] == ["primary", "landing"]
    assert (entry.charge.model, entry.charge.finish_reason) == ("m", "budget")
    assert entry.charge.parts[1].output_tokens > 0


@pytest.mark.parametrize("provider", [cut, endless], ids=["that keeps to its limit", "that ignores it"])
def test_a_sentence_is_ended_by_a_local_candidate(world, how, chatty, provider):
    async def body(world):
        models = {"any": ["big:m", "own:tiny"]}
        return await asked(world, provider(SENTENCE), how=how, models=models, providers={"own": chatty})

    reply, (entry,) = world.run(body)
    assert reply.text.startswith(SENTENCE)
    assert reply.text[reply.landed :] == "e."
    assert reply.finish_reason == "budget"
    assert [part.kind for part in entry.charge.parts] == ["primary", "landing"]
    assert reply.message.text == reply.text


def test_a_model_that_is_named_goes_before_the_candidates(here, chatty):
    budget = Budget(usd="0.0009", per="call", name="small", on_exceed="land", land_with="ends")

    async def body(world):
        models = {"any": ["big:m", "local"], "ends": "own:tiny"}
        return await asked(world, cut(SENTENCE), models=models, providers={"own": chatty}, budget=budget)

    reply, _ = here.run(body)
    assert reply.attempts[-1].name == "own:tiny"


def test_the_embedded_model_ends_no_sentence_and_an_ellipsis_does(here, how):
    async def body(world):
        return await asked(world, cut(SENTENCE), how=how)

    reply, (entry,) = here.run(body)
    assert (reply.text, reply.landed, reply.finish_reason) == (SENTENCE + "…", len(SENTENCE), "budget")
    assert [each.kind for each in reply.attempts] == ["primary"]
    assert entry.charge.parts == ()


@pytest.mark.parametrize("text", ["It left.", "It left!\n", 'He said: "It left."', "It left. **Soon.**", "我走了。"])
def test_a_sentence_that_is_over_stays_as_it_is(here, text):
    async def body(world):
        return await asked(world, cut(text))

    reply, _ = here.run(body)
    assert (reply.text, reply.landed, reply.finish_reason) == (text, None, "budget")


def test_a_reply_that_ends_by_itself_is_not_touched(here, how):
    async def body(world):
        return await asked(world, FakeProvider("It left"), how=how)

    reply, _ = here.run(body)
    assert (reply.text, reply.landed, reply.finish_reason) == ("It left", None, "stop")


def test_what_the_caller_limited_is_not_landed(here):
    async def body(world):
        budget = Budget(usd="10", name="large", on_exceed="land")
        return await asked(world, cut(SENTENCE), budget=budget, options={"max_output_tokens": 200})

    reply, _ = here.run(body)
    assert (reply.text, reply.finish_reason) == (SENTENCE, "length")


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ([Chunk(reasoning="Hm, the parcel")], {}),
        ([Chunk("I look"), Chunk(tool_calls=(ToolCallDelta(0, "1", "look", '{"a'),))], {}),
        ([Chunk("Here: ```\nfor each in")], {}),
        ([Chunk("No object at all")], {"response_schema": {"type": "object"}}),
    ],
    ids=["nothing was said", "tools are called", "code", "no object"],
)
def test_what_cannot_be_landed_stays_as_it_was_cut(here, script, options):
    def with_schema(request, call_next):
        return call_next(request.replace(**options))

    async def body(world):
        provider = FakeProvider([*script, Chunk(finish_reason="length", usage=Usage(9, 20))])
        return await asked(world, provider, layers=[with_schema])

    reply, _ = here.run(body)
    assert reply.text == "".join(chunk.text for chunk in script)
    assert (reply.landed, reply.finish_reason, len(reply.attempts)) == (None, "budget", 1)


@pytest.mark.parametrize("gone", ["local:{}/nowhere.gguf", "big:m"])
def test_without_a_local_model_it_stays_cut_and_the_log_says_so(here, how, tmp_path, caplog, gone):
    budget = Budget(usd="0.0009", per="call", name="small", on_exceed="land", land_with="ends")

    async def body(world):
        models = {"any": "big:m", "ends": gone.format(tmp_path)}
        return await asked(world, cut(SENTENCE), how=how, models=models, budget=budget)

    with caplog.at_level(logging.WARNING, "inferkit"):
        reply, (entry,) = here.run(body)
    assert (reply.text, reply.landed, reply.finish_reason) == (SENTENCE, None, "budget")
    assert entry.charge.usd == 209_000
    assert "could not be landed" in caplog.text
    assert SENTENCE not in caplog.text


def test_a_model_that_fails_leaves_it_cut(here, tmp_path, caplog):
    path = tiny_gguf.tiny(prompt_format=None).write(tmp_path / "mute.gguf")

    async def body(world):
        model = Local(path)
        try:
            models = {"any": ["big:m", "own:mute"]}
            return await asked(world, cut(SENTENCE), models=models, providers={"own": model})
        finally:
            model.close()

    with caplog.at_level(logging.WARNING, "inferkit"):
        reply, _ = here.run(body)
    assert (reply.text, reply.landed, reply.finish_reason) == (SENTENCE, None, "budget")
    assert "no chat template" in caplog.text


class Late:
    """A model that does not answer before the deadline."""

    landing_tokens = 100, 100

    def landing(self, request, said):
        return landing_of(request, said, chats=True)

    async def __call__(self, request):
        await request.runtime.sleep(request.deadline - request.runtime.now())
        raise DeadlineExceeded


def test_one_that_takes_longer_than_the_deadline_leaves_it_cut(world, how, caplog):
    async def body(world, seconds):
        given = {"models": {"any": ["big:m", "late:m"]}, "providers": {"late": Late()}, "options": {"timeout": seconds}}
        try:
            return await asked(world, cut(SENTENCE), how=how, **given)
        except DeadlineExceeded:  # before it came to that
            return None

    with caplog.at_level(logging.WARNING, "inferkit"):
        reply, _ = in_time(lambda seconds: world.run(body, seconds))
    assert (reply.text, reply.landed, reply.finish_reason) == (SENTENCE, None, "budget")
    assert "DeadlineExceeded" in caplog.text


def test_an_object_that_could_not_be_landed_is_a_cut_one(here):
    async def body(world):
        budget = Budget(usd="0.0009", per="call", name="small", on_exceed="land", land_with="big:m")
        with pytest.raises(InvalidReply, match="was cut by a budget"):
            await asked(world, cut(OBJECT), budget=budget, options={"schema": Ticket})

    here.run(body)


def test_tokens_are_kept_for_it_so_that_their_budget_is_not_passed(here, chatty):
    """What the provider writes is all that it may."""
    budget = Budget(tokens=3000, name="tokens", on_exceed="land")

    def script(request):
        most = request.max_output_tokens
        return [Chunk(SENTENCE), Chunk(finish_reason="length", usage=Usage(100, most))]

    async def body(world):
        models = {"any": ["big:m", "own:tiny"]}
        async with client(world, FakeProvider(script), models=models, providers={"own": chatty}, budget=budget) as llm:
            reply = await ask(llm, "stream")
            return reply, budget.usage(ledger=ledger_of(llm))

    reply, used = here.run(body)
    assert reply.landed == len(SENTENCE)
    primary, landing = reply.attempts
    assert primary.max_output_tokens > 2000
    assert used.tokens == primary.usage.total_tokens + landing.usage.total_tokens <= 3000


def test_where_too_little_is_left_for_both_the_reply_goes_first(here, caplog, chatty):
    budget = Budget(tokens=400, name="tokens", on_exceed="land")

    def script(request):
        return [Chunk(SENTENCE), Chunk(finish_reason="length", usage=Usage(90, request.max_output_tokens))]

    async def body(world):
        models = {"any": ["big:m", "own:tiny"]}
        return await asked(world, FakeProvider(script), models=models, providers={"own": chatty}, budget=budget)

    with caplog.at_level(logging.WARNING, "inferkit"):
        reply, (entry,) = here.run(body)
    assert (reply.text, reply.landed, reply.finish_reason) == (SENTENCE, None, "budget")
    assert "BudgetExceeded" in caplog.text
    assert entry.charge.tokens <= 400


def test_what_a_local_model_costs_is_charged_within_the_budget(here, chatty):
    cost = LocalCost(watts=45, price_per_kwh="0.30", hardware_per_hour="0.05")
    budget = Budget(usd="0.05", per="day", name="money", on_exceed="land")

    def script(request):
        return [Chunk(SENTENCE), Chunk(finish_reason="length", usage=Usage(100, request.max_output_tokens))]

    async def body(world):
        settings = {"models": {"any": ["big:m", "own:tiny"]}, "prices": {"big:*": PRICE, "own:*": cost}}
        provider = FakeProvider(script)
        async with client(world, provider, providers={"own": chatty}, budget=budget, **settings) as llm:
            reply = await ask(llm, "stream", max_output_tokens=50_000)
            return reply, budget.usage(ledger=ledger_of(llm))

    reply, used = here.run(body)
    assert reply.landed == len(SENTENCE)
    assert reply.attempts[1].cost_nanos > 0
    assert reply.cost_nanos == sum(each.cost_nanos for each in reply.attempts) <= 50_000_000
    assert int(used.usd * 10**9) == reply.cost_nanos


def test_a_landed_reply_is_not_kept_by_the_cache(here):
    async def body(world):
        async with client(world, cut(SENTENCE), cache=True) as llm:
            return [await ask(llm, "whole") for _ in range(2)]

    replies = here.run(body)
    assert [reply.cache for reply in replies] == ["miss", "miss"]


def test_a_reader_who_leaves_has_none_begun(here):
    async def body(world):
        async with client(world, cut(OBJECT), budget=PER_CALL) as llm:
            async with llm.stream("any", "Where?", schema=Ticket) as stream:
                await anext(aiter(stream))
            return list(ledger_of(llm).entries())

    (entry,) = here.run(body)
    assert entry.charge.parts == ()
    assert entry.charge.outcome == "closed"


def test_the_trace_says_where_and_by_whom(here):
    records = []

    async def watching(request, call_next):
        records.append(request.record)
        return await call_next(request)

    async def body(world):
        return await asked(world, cut(OBJECT), layers=[watching], options={"schema": Ticket})

    here.run(body)
    (event,) = [event for event in records[0].events if event.name == "landing"]
    assert dict(event.attributes) == {"at": len(OBJECT), "how": "model", "target": "local:triage-q8_0"}
    assert Trace.role == "trace"


def test_a_real_model_ends_a_sentence_with_words_that_belong_to_it():
    need_smollm()
    provider = cut("The capital of France is Paris, which lies on the river Sei")
    with Client(
        providers={"big": provider},
        models={"any": ["big:m", f"local:{NAME}"]},
        prices={"big:*": PRICE},
        budget=PER_CALL,
        cache=False,
    ) as llm:
        reply = llm.complete("any", "What is the capital of France?")
    assert reply.landed
    assert reply.text.startswith("The capital of France is Paris, which lies on the river Seine")
    assert reply.text[-1] in ".!?"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"land_with": "local"}, "goes with on_exceed"),
        ({"on_exceed": "land", "land_with": " "}, "the name of a local model"),
        ({"on_exceed": "landed"}, '"degrade" or "land"'),
    ],
)
def test_fields_that_make_no_sense(fields, match):
    with pytest.raises(ConfigurationError, match=match):
        Budget(usd="1", name="x", **fields)


def test_a_name_that_nothing_stands_behind_is_told_when_the_client_is_made():
    budget = Budget(usd="1", name="x", on_exceed="land", land_with="nothing")
    with pytest.raises(ConfigurationError, match="cannot land with what is not there"):
        Client(budget=budget)


def test_what_is_asked_is_short_whatever_was_said():
    request = make_request("Why? " * 500)
    landing = landing_of(request, "Because ☃ of it. " * 500 + "And it is th", chats=True)
    question, begun = landing.messages
    assert len(question.text.encode()) + len(begun.text.encode()) <= 360
    assert begun.text.endswith("And it is")
    assert landing.words == " th"


def test_an_object_that_is_whole_needs_nothing():
    request = make_request("Why?").replace(response_schema={"type": "object"})
    assert landing_of(request, json.dumps({"a": 1}), chats=False).text == ""


def test_code_is_not_gone_on_with():
    with pytest.raises(InvalidRequest, match="middle of code"):
        landing_of(make_request("Why?"), "Like this:\n```python\nfor x in", chats=True)
