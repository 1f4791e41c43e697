"""Replies that are held to a form, and mended where they do not fit it."""

from __future__ import annotations

import gc
import json

import pytest
from pydantic import BaseModel

from inferkit import (
    Budget,
    BudgetExceeded,
    Cache,
    Chunk,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    Insert,
    InvalidReply,
    Price,
    StreamError,
    StreamInterrupted,
    ToolCallDelta,
    Unavailable,
    Usage,
)
from inferkit.caching.memory import MemoryTier
from inferkit.core.messages import RefusalPart
from inferkit.telemetry import SpanCollector, Telemetry
from inferkit.testing import FakeProvider, settled
from worlds import Gate, closing, directly


class Order(BaseModel):
    number: str
    count: int = 1


GOOD, BAD = '{"number": "A", "count": 2}', '{"number": "A", "count": "secret"}'
PRICE = Price(input="1", output="10")
USAGE = Usage(10, 5)


def played(text, *, finish="stop", usage=USAGE):
    return [text[:8], text[8:], Chunk(finish_reason=finish), Chunk(usage=usage)]


@pytest.fixture(params=["whole", "stream"])
def how(request):
    return request.param


async def ask(llm, how, text="An order, please.", **options):
    options = {"schema": Order, **options}
    if how == "whole":
        return await llm.complete("any", text, **options)
    async with llm.stream("any", text, **options) as stream:
        async for _ in stream:
            pass
        return stream.reply


def client(world, *providers, **settings):
    named = {f"p{place}": provider for place, provider in enumerate(providers)}
    settings.setdefault("models", {"any": [f"{name}:m" for name in named]})
    settings.setdefault("prices", {f"{name}:m": PRICE for name in named})
    return closing(world.client(providers=named, **settings))


def asked(world, how, *providers, settings=None, **options):
    """Ask once, in one of the worlds; give the reply."""

    async def body(world):
        async with client(world, *providers, **(settings or {})) as llm:
            return await ask(llm, how, **options)

    return world.run(body)


def test_a_reply_gives_the_valid_object(world, how):
    provider = FakeProvider(GOOD)
    reply = asked(world, how, provider)
    assert reply.parsed == Order(number="A", count=2)
    assert reply.text == GOOD
    (request,) = provider.requests
    assert request.response_schema["properties"].keys() == {"number", "count"}
    assert "parsed" not in repr(reply)


def test_a_reply_that_does_not_fit_is_an_error_that_says_where_and_quotes_nothing(world, how):
    provider = FakeProvider(played(BAD))
    with pytest.raises(InvalidReply) as caught:
        asked(world, how, provider)
    error = caught.value
    assert str(error).startswith("the reply is no valid Order: count (int_parsing);")
    assert "secret" not in str(error) + repr(error)
    assert error.partial == BAD
    assert error.detail == "- count: Input should be a valid integer, unable to parse string as an integer"
    assert error.problems == (("count", "int_parsing"),)
    assert (error.request_id is not None, [one.outcome for one in error.attempts]) == (True, ["completed"])
    assert (len(provider.requests), provider.open_streams) == (1, 0)


def test_the_model_is_asked_again_and_told_what_is_wrong(world, how):
    provider = FakeProvider(played(BAD), played(GOOD, usage=Usage(30, 7)))
    reply = asked(world, how, provider, repair=2)
    assert reply.parsed == Order(number="A", count=2)
    assert reply.text == GOOD == reply.message.text
    assert [(one.number, one.kind, one.outcome) for one in reply.attempts] == [
        (1, "primary", "completed"),
        (2, "repair", "completed"),
    ]
    assert reply.usage == Usage(30, 7)
    assert reply.cost_nanos == 40 * 1_000 + 12 * 10_000
    first, again = provider.requests
    assert [one.role for one in again.messages] == ["user", "assistant", "user"]
    assert again.messages[:1] == first.messages
    assert again.messages[1].text == BAD
    assert "- count: Input should be a valid integer" in again.messages[2].text
    assert again.response_schema == first.response_schema


def test_it_is_asked_as_often_as_the_call_says(world, how):
    provider = FakeProvider(played(BAD))
    with pytest.raises(InvalidReply) as caught:
        asked(world, how, provider, repair=2)
    assert [one.kind for one in caught.value.attempts] == ["primary", "repair", "repair"]
    assert [len(one.messages) for one in provider.requests] == [1, 3, 3]


def test_a_reply_without_a_word_is_asked_for_again(world, how):
    provider = FakeProvider([Chunk(finish_reason="stop")], played(GOOD))
    assert asked(world, how, provider, repair=1).parsed.count == 2
    assert [one.role for one in provider.requests[1].messages] == ["user", "user"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (played(BAD[:20], finish="length"), "cut at its limit"),
        (played(BAD[:20], finish="content_filter"), "was filtered"),
        ([Chunk("I cannot.", finish_reason="refusal", parts=(RefusalPart(""),))], "is a refusal"),
    ],
    ids=["length", "filtered", "refused"],
)
def test_a_reply_that_was_cut_or_refused_is_told_and_not_mended(world, how, script, says):
    provider = FakeProvider(script)
    with pytest.raises(InvalidReply, match=says) as caught:
        asked(world, how, provider, repair=3)
    assert len(provider.requests) == 1
    assert caught.value.finish_reason in {"length", "content_filter", "refusal"}


def test_a_whole_object_counts_though_the_reply_was_cut_after_it(world, how):
    assert asked(world, how, FakeProvider(played(GOOD, finish="length"))).parsed.count == 2


def test_a_reply_that_asks_for_a_tool_is_no_answer_yet(world, how):
    call = Chunk(tool_calls=(ToolCallDelta(0, "c1", "find", "{}"),), finish_reason="tool_calls")
    reply = asked(world, how, FakeProvider([call]), repair=1)
    assert reply.parsed is None
    assert reply.tool_calls[0].name == "find"


def test_a_json_schema_is_held_to_as_well(world, how):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert asked(world, how, FakeProvider('{"n": 5}'), schema=schema).parsed == {"n": 5}
    with pytest.raises(InvalidReply, match=r"no valid object: n \(type\)"):
        asked(world, how, FakeProvider('{"n": "5"}'), schema=schema)


# The same model is asked again, wherever it stands


def test_the_model_that_gave_the_reply_mends_it(world, how):
    down, up = FakeProvider(Unavailable("down", provider="p0")), FakeProvider(played(BAD), played(GOOD))
    cache = Cache(MemoryTier())

    async def body(world):
        async with client(world, down, up, max_retries=0, cache=cache) as llm:
            first = await ask(llm, how, repair=1, extra={"top_k": 5})
            await ask(llm, how, repair=1, extra={"top_k": 5})
            return first

    reply = world.run(body)
    assert [(one.kind, one.provider) for one in reply.attempts] == [
        ("primary", "p0"), ("fallback", "p1"), ("repair", "p1"),
    ]  # fmt: skip
    assert (reply.provider, reply.parsed.count) == ("p1", 2)
    assert len(down.requests) == 2, "what a fallback said is not kept, mended or not"
    assert [one.extra for one in up.requests] == [{"top_k": 5}] * 3


def test_a_repair_that_fails_in_passing_is_tried_again(world, how):
    provider = FakeProvider(played(BAD), Unavailable("down", provider="p0", retry_after=0.0), played(GOOD))
    reply = asked(world, how, provider, repair=1)
    assert [(one.number, one.kind) for one in reply.attempts] == [(1, "primary"), (2, "repair"), (3, "retry")]
    assert reply.parsed.count == 2


def test_a_repair_that_fails_for_good_is_that_failure_with_what_led_to_it(world, how):
    provider = FakeProvider(played(BAD), Unavailable("down", provider="p0", retryable=False))
    with pytest.raises(Unavailable) as caught:
        asked(world, how, provider, repair=1)
    assert isinstance(caught.value.__cause__, InvalidReply)
    assert [one.kind for one in caught.value.attempts] == ["primary", "repair"]


def test_a_repair_that_breaks_off_is_told_with_what_came_of_it(world, how):
    provider = FakeProvider(played(BAD), ['{"numb', Unavailable("reset", provider="p0")])
    with pytest.raises(StreamInterrupted) as caught:
        asked(world, how, provider, repair=1)
    assert caught.value.partial == '{"numb'


# Streams


def test_a_stream_grows_an_object(world):
    async def body(world):
        grown = []
        script = ['{"num', 'ber": "A', 'B"', [', "cou', 'nt": 1'], "2}"]
        async with client(world, FakeProvider(script)) as llm, llm.stream("any", "Hi", schema=Order) as stream:
            assert stream.partial_object is None
            async for one in stream.objects():
                grown.append(one)
                assert stream.reply.parsed is None or one == {"number": "AB", "count": 12}
            return grown, stream.reply.parsed, stream.partial_object

    grown, parsed, last = world.run(body)
    assert grown == [
        {}, {"number": "A"}, {"number": "AB"}, {"number": "AB", "count": 1}, {"number": "AB", "count": 12},
    ]  # fmt: skip
    assert parsed == Order(number="AB", count=12)
    assert last == {"number": "AB", "count": 12}


def test_a_stream_says_where_it_begins_anew(world):
    async def body(world):
        seen, texts = [], []
        provider = FakeProvider(played(BAD), played(GOOD))
        async with client(world, provider) as llm, llm.stream("any", "Hi", schema=Order, repair=1) as stream:
            async for chunk in stream:
                seen.append((chunk.text, chunk.restarts, chunk.finish_reason))
                texts.append(stream.text)
            return seen, texts, stream.reply

    seen, texts, reply = world.run(body)
    assert seen == [
        (BAD[:8], False, None), (BAD[8:], False, None), ("", True, None), (GOOD[:8], False, None),
        (GOOD[8:], False, None), ("", False, "stop"), ("", False, None),
    ]  # fmt: skip
    assert texts == [BAD[:8], BAD, "", GOOD[:8], GOOD, GOOD, GOOD]
    assert reply.text == GOOD
    assert not any(chunk.restarts for chunk in reply.chunks)


def test_what_came_before_an_invalid_end_is_handed_over_first(world):
    async def body(world):
        chunks = []
        provider = FakeProvider([[BAD, Chunk(finish_reason="stop"), Chunk(usage=Usage(1, 2))]])
        async with client(world, provider) as llm, llm.stream("any", "Hi", schema=Order) as stream:
            with pytest.raises(InvalidReply):
                async for chunk in stream:
                    chunks += [chunk]
            return chunks, stream.reply

    chunks, reply = world.run(body)
    assert "".join(chunk.text for chunk in chunks) == BAD
    assert reply.finish_reason == "stop"
    assert reply.parsed is None


def test_a_stream_that_is_left_in_a_repair_is_closed_and_both_attempts_are_booked(world):
    provider = FakeProvider(played(BAD), played(GOOD))
    budget = Budget(usd="1", name="all")
    taken = []

    async def body(world):
        async with client(world, provider, budget=budget, ledger=True) as llm:
            async with llm.stream("any", "Hi", schema=Order, repair=1, max_output_tokens=50) as stream:
                async for _ in stream:
                    taken.append(1)
                    if len(taken) == 4:  # two of the first, the restart, and one of the second
                        break
            inner = llm.inner if hasattr(llm, "inner") else llm
            return list(inner.ledger.entries()), budget.usage(ledger=inner.ledger)

    (entry,), used = world.run(body)
    assert [(part.kind, part.outcome) for part in entry.charge.parts] == [
        ("primary", "completed"),
        ("repair", "closed"),
    ]
    assert provider.open_streams == 0
    assert (used.held_usd, used.held_tokens) == (0, 0)


def test_a_stream_that_is_dropped_in_a_repair_is_settled_with_both_attempts(tmp_path):
    provider = FakeProvider(played(BAD), played(GOOD))
    budget = Budget(usd="1", name="all")
    with Client(
        providers={"p": provider}, models={"any": "p:m"}, prices={"p:m": PRICE}, budget=budget, cache=False
    ) as llm:
        stream = llm.stream("any", "Hi", schema=Order, repair=1, max_output_tokens=50)
        for chunk in stream:
            if chunk.restarts:
                break
        del stream, chunk
        gc.collect()
        settled()
        (entry,) = llm.ledger.entries()
    assert [(part.kind, part.outcome) for part in entry.charge.parts] == [
        ("primary", "completed"),
        ("repair", "abandoned"),
    ]
    assert provider.open_streams == 0


def test_a_stream_that_is_closed_while_a_repair_is_sent_has_that_closed_too(world):
    gate = Gate()

    async def waits(request, call_next):
        response = await call_next(request)
        if request.attempt_kind == "repair":
            await gate()
        return response

    provider = FakeProvider(played(BAD), played(GOOD))

    async def body(world):
        layers = [Insert(waits, after="repair")]
        async with client(world, provider, layers=layers) as llm:
            stream = llm.stream("any", "Hi", schema=Order, repair=1)

            async def read():
                with pytest.raises(StreamError, match="closed while it was being read"):
                    async for _ in stream:
                        pass

            async def close():
                await gate.reached.wait()
                await stream.aclose()
                gate.open()

            await world.beside(read, close)

    world.run(body)
    assert provider.open_streams == 0


# Budgets and deadlines


def test_repairs_are_charged_to_the_calls_own_budget(world, how):
    provider = FakeProvider(played(BAD), played(GOOD, usage=Usage(30, 7)))
    budget = Budget(usd="1", name="all")

    async def body(world):
        async with client(world, provider, budget=budget, ledger=True) as llm:
            await ask(llm, how, repair=1)
            inner = llm.inner if hasattr(llm, "inner") else llm
            return list(inner.ledger.entries()), budget.usage(ledger=inner.ledger)

    (entry,), used = world.run(body)
    assert entry.charge.usd == 40 * 1_000 + 12 * 10_000
    assert entry.charge.attempts == 2
    assert (used.calls, used.held_usd, used.held_tokens) == (1, 0, 0)


@pytest.mark.parametrize("limits", [{"usd": "0.0007"}, {"tokens": 260}], ids=str)
def test_a_repair_that_the_budget_does_not_cover_is_not_sent_and_what_was_spent_is_booked(world, how, limits):
    provider = FakeProvider(played(BAD, usage=Usage(50, 50)), played(GOOD))
    budget = Budget(**limits, name="all")

    async def body(world):
        async with client(world, provider, budget=budget, ledger=True) as llm:
            with pytest.raises(BudgetExceeded) as caught:
                await ask(
                    llm, how, text="Hi", schema={"type": "object", "required": ["x"]}, repair=1, max_output_tokens=50
                )
            inner = llm.inner if hasattr(llm, "inner") else llm
            return caught.value, list(inner.ledger.entries()), budget.usage(ledger=inner.ledger)

    error, (entry,), used = world.run(body)
    assert isinstance(error.__cause__, InvalidReply)
    assert error.partial == BAD
    assert len(provider.requests) == 1
    assert entry.charge.usd == 50 * 1_000 + 50 * 10_000
    assert (used.held_usd, used.held_tokens) == (0, 0)


def test_a_reply_that_a_budget_cuts_is_told_as_that(world, how):
    budget = Budget(tokens=260, name="all", on_exceed="truncate")
    provider = FakeProvider(['{"number": "', *["many words "] * 60])

    async def body(world):
        async with client(world, provider, budget=budget, ledger=True) as llm:
            with pytest.raises(InvalidReply, match="was cut by a budget") as caught:
                await ask(llm, how, text="Hi", schema={"type": "object"}, repair=2)
            return caught.value

    error = world.run(body)
    assert error.finish_reason == "budget"
    assert len(provider.requests) == 1


def test_no_repair_is_begun_after_the_deadline(world, how):
    """The first answer is read to its end just when the time is over, as the layer inside sees it."""

    async def late(request, call_next):
        request = request.replace(deadline=request.runtime.now() - 1.0)
        return await call_next(request)

    provider = FakeProvider(played(BAD), played(GOOD))
    settings = {"layers": [Insert(late, before="repair")]}
    with pytest.raises(DeadlineExceeded) as caught:
        asked(world, how, provider, settings=settings, repair=1, timeout=60)
    assert caught.value.partial == BAD
    assert isinstance(caught.value.__cause__, InvalidReply)
    assert len(provider.requests) == 1


# The cache


def test_a_cached_reply_is_read_into_an_object_again(world, how):
    provider = FakeProvider(played(BAD), played(GOOD))

    async def body(world):
        async with client(world, provider, cache=Cache(MemoryTier())) as llm:
            return [await ask(llm, each, repair=1) for each in (how, "whole", "stream")]

    replies = world.run(body)
    assert [one.cache for one in replies] == ["miss", "hit", "hit"]
    assert [one.parsed for one in replies] == [Order(number="A", count=2)] * 3
    assert [one.text for one in replies] == [GOOD] * 3
    assert len({id(one.parsed) for one in replies}) == 3
    assert len(provider.requests) == 2


def test_an_invalid_reply_is_not_kept(world, how):
    provider = FakeProvider(played(BAD), played(GOOD))

    async def body(world):
        async with client(world, provider, cache=Cache(MemoryTier())) as llm:
            with pytest.raises(InvalidReply):
                await ask(llm, how)
            return await ask(llm, how)

    assert world.run(body).parsed.count == 2


def test_a_kept_reply_that_fits_no_longer_is_an_error_too(world, how):
    """The types have the same JSON schema, and one of them wants more than that says."""

    class Strict(BaseModel):
        number: str
        count: int = 1

        def model_post_init(self, context):
            if self.count == 2:
                raise ValueError("no two")

    Strict.__name__ = "Order"
    Strict.model_config["title"] = "Order"
    Strict.model_rebuild(force=True)
    provider = FakeProvider(played(GOOD))

    async def body(world):
        async with client(world, provider, cache=Cache(MemoryTier())) as llm:
            kept = await ask(llm, how)
            with pytest.raises(InvalidReply, match="no valid Order"):
                await ask(llm, how, schema=Strict, repair=1)
            return kept

    assert world.run(body).cache == "miss"
    assert len(provider.requests) == 1


def test_calls_in_flight_share_a_reply_and_its_repair(world):
    gate, replies = Gate(), []
    provider = FakeProvider([BAD[:8], gate, BAD[8:]], played(GOOD))

    async def body(world):
        async with client(world, provider, cache=Cache(MemoryTier())) as llm:

            async def first():
                replies.append(await ask(llm, "stream", repair=1))

            async def second():
                await gate.reached.wait()
                stream = llm.stream("any", "An order, please.", schema=Order, repair=1)
                gate.open()
                async with stream:
                    async for _ in stream:
                        pass
                    replies.append(stream.reply)

            await world.beside(first, second)

    world.run(body)
    assert [one.parsed for one in replies] == [Order(number="A", count=2)] * 2
    assert len(provider.requests) == 2
    in_time = {"asyncio": {"coalesced"}, "trio": {"coalesced"}}  # of two threads, one may have ended meanwhile
    assert {one.cache for one in replies} - {"miss"} <= in_time.get(world.name, {"coalesced", "hit"})


# What is seen of it


def test_a_repair_is_an_attempt_of_the_same_trace(world, how):
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    collector, tracers = SpanCollector(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    settings = {"telemetry": Telemetry(tracers, MeterProvider())}
    asked(world, how, FakeProvider(played(BAD), played(GOOD)), settings=settings, repair=1)
    first, second = [span for span in collector.spans if span.name == "chat m"]
    (call,) = [span for span in collector.spans if span.name == "inferkit.call"]
    assert second.attributes["inferkit.attempt.kind"] == "repair"
    assert second.links[0].context == first.context
    assert first.parent == second.parent == call.context
    (event,) = [event for event in call.events if event.name == "repair"]
    assert dict(event.attributes) == {"repairs_left": 1, "problems": 1}
    assert "secret" not in "".join(span.to_json() for span in collector.spans)


def test_calls_without_a_form_do_not_pass_the_layer():
    with Client(providers={"p": FakeProvider()}, models={"any": "p:m"}, cache=False, ledger=False) as llm:
        (layer,) = [one for one in llm.layers if getattr(one, "role", None) == "repair"]
        assert type(layer).__name__ == "Repair"
        llm.complete("any", "Hi")
        assert llm._engine._checked is None


def test_a_layer_that_asks_for_a_form_itself_gets_the_text():
    async def wants(request, call_next):
        return await call_next(request.replace(response_schema={"type": "object"}))

    settings = {"cache": False, "ledger": False, "layers": [wants]}
    with Client(providers={"p": FakeProvider("No.")}, models={"any": "p:m"}, **settings) as llm:
        assert llm.complete("any", "Hi").text == "No."
        assert llm.complete("any", "Hi", schema=None).parsed is None


def test_a_request_with_a_schema_of_its_own_makers_passes_the_layer_untouched():
    from inferkit.layers.repair import Repair
    from inferkit.testing import make_request

    provider = FakeProvider("No.")

    async def read():
        response = await Repair()(make_request().replace(response_schema={"type": "object"}), provider)
        return [chunk.text for chunk in await response.read()]

    assert directly(lambda _: read()) == ["No.", ""]


def test_what_makes_no_sense_is_told_at_the_door():
    with Client(providers={"p": FakeProvider()}, models={"any": "p:m"}, cache=False, ledger=False) as llm:
        for options, says in [
            ({"schema": int}, "a pydantic model"),
            ({"schema": Order, "repair": -1}, "a whole number from 0"),
            ({"repair": 1}, "pass that too"),
            ({"response_schema": {}}, "what the reply has to look like is schema="),
        ]:
            with pytest.raises(ConfigurationError, match=says):
                llm.complete("any", "Hi", **options)
        assert llm.complete("any", "Hi", repair=0).parsed is None


def test_an_invalid_reply_can_be_sent_between_processes():
    error = InvalidReply("no", partial="a", detail="b", problems=(("x", "missing"),), finish_reason="stop")
    rebuild, arguments = error.__reduce__()
    again = rebuild(*arguments)
    assert (str(again), again.partial, again.problems, again.detail) == ("no", "a", (("x", "missing"),), "b")
    assert json.dumps(again.problems)
