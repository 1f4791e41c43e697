"""Every attempt is priced, once, whatever became of it."""

import asyncio

import pytest
from hypothesis import given, strategies as st

from budgets.stack import BOOK, InBatches, Timed, late, likely_input, make_request
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    NoRoute,
    RateLimited,
    StreamInterrupted,
    Unavailable,
)
from inferkit.core.usage import Usage
from inferkit.layers.meter import Meter
from inferkit.pricing.price_book import PriceBook
from inferkit.pricing.prices import Price
from inferkit.testing import FakeProvider
from worlds import directly


def attempt_of(chunks, run=directly, leave_after=None, **fields):
    """Read a reply through a meter and return the one attempt, and its request."""

    async def main(runtime):
        request = make_request(runtime, **fields)
        response = await Meter(BOOK)(request, FakeProvider(chunks))
        try:
            if leave_after is None:
                await response.read()
            else:
                for _ in range(leave_after):
                    await response.__anext__()
                await response.aclose()
        except StreamInterrupted:
            pass
        return request

    request = run(main)
    (attempt,) = request.record.attempts
    return attempt, request


def test_a_reply_is_priced_as_reported(run):
    attempt, _ = attempt_of(
        [Chunk("Hi"), Chunk(finish_reason="stop"), Chunk(usage=Usage(10, 5, reasoning_tokens=2))], run
    )
    assert attempt.usage == Usage(10, 5, reasoning_tokens=2)
    assert (attempt.cost_nanos, attempt.price_source, attempt.outcome) == (20_000, "stated", "completed")
    assert (attempt.provider, attempt.model, attempt.number, attempt.kind) == ("test", "cheap", 1, "primary")
    assert 0 <= attempt.first_chunk_seconds <= attempt.seconds


def test_usage_reported_in_parts_is_put_together_and_the_last_value_counts():
    attempt, _ = attempt_of(
        [
            Chunk(usage=Usage(10, 1, cache_read_tokens=4)),
            Chunk("Hello", usage=Usage(0, 3)),
            Chunk(finish_reason="stop", usage=Usage(0, 7)),
        ]
    )
    assert attempt.usage == Usage(10, 7, cache_read_tokens=4)


WORDS = ["The", " weather", " is", " fine", ",", " so", " we", " went", " to", " the", " park", "."]


def test_a_reply_without_a_report_is_booked_as_what_it_likely_was():
    attempt, request = attempt_of(
        [*(Chunk(word) for word in WORDS), Chunk(finish_reason="stop")], text="Tell me something about the day."
    )
    usage = attempt.usage
    assert usage == Usage(likely_input(request), usage.output_tokens, estimated=True)
    assert 12 <= usage.output_tokens <= 15
    assert 11 <= usage.input_tokens <= 17
    assert attempt.cost_nanos == usage.input_tokens * 1000 + usage.output_tokens * 2000


def test_reasoning_and_tool_calls_are_part_of_what_was_written():
    plain, _ = attempt_of([Chunk("".join(WORDS)), Chunk(finish_reason="stop")])
    more, _ = attempt_of(
        [
            Chunk("", reasoning="".join(WORDS)),
            Chunk("".join(WORDS)),
            Chunk(tool_calls=(ToolCallDelta(0, "1", "find", '{"name": "park"}'),)),
            Chunk(finish_reason="stop"),
        ]
    )
    assert more.usage.output_tokens >= 2 * plain.usage.output_tokens + 4
    assert plain.usage.output_tokens <= more.usage.reasoning_tokens <= plain.usage.output_tokens + 4


@pytest.mark.parametrize(("reasoning", "dearer"), [("9", True), ("2", False), (None, False)])
def test_reasoning_that_was_seen_is_booked_at_its_own_price(reasoning, dearer):
    book = PriceBook({"test:thinker": Price("0", "2", reasoning=reasoning)})

    async def main(runtime):
        request = make_request(runtime, model="thinker")
        broken = StreamInterrupted("cut", provider="test")
        response = await Meter(book)(request, FakeProvider([Chunk(reasoning="hmm..."), Chunk("Hi"), broken]))
        with pytest.raises(StreamInterrupted):
            await response.read()
        return request.record.attempts[0]

    attempt = directly(main)
    usage = attempt.usage
    assert 0 < usage.reasoning_tokens <= usage.output_tokens
    assert attempt.cost_nanos == usage.output_tokens * 2_000 + dearer * usage.reasoning_tokens * 7_000


def test_an_estimate_stays_within_the_cap_that_was_sent():
    cap = len(WORDS)
    attempt, _ = attempt_of([Chunk("".join(WORDS)), Chunk(finish_reason="length")], max_output_tokens=cap)
    assert attempt.usage.output_tokens == cap


def test_an_estimate_exceeds_a_cap_that_was_plainly_not_kept():
    attempt, _ = attempt_of([Chunk("".join(WORDS) * 20), Chunk(finish_reason="stop")], max_output_tokens=100)
    assert 240 <= attempt.usage.output_tokens <= 300


def test_a_report_on_the_way_counts_and_what_came_after_it_is_added():
    chunks = [Chunk("".join(WORDS) * 10, usage=Usage(10, 150)), Chunk("".join(WORDS) * 5), Chunk("more")]
    attempt, _ = attempt_of(chunks, leave_after=2)
    assert attempt.usage.input_tokens == 10
    assert 150 + 60 <= attempt.usage.output_tokens <= 150 + 75
    assert attempt.usage.estimated


@pytest.mark.parametrize("ending", [None, StreamInterrupted("cut", provider="test")])
def test_a_broken_stream_is_not_priced_at_its_first_report(run, ending):
    chunks = [Chunk(usage=Usage(10, 1)), Chunk("Hello, you"), ending or Chunk("more")]
    attempt, _ = attempt_of(chunks, run, leave_after=None if ending else 2)
    assert attempt.usage == Usage(10, attempt.usage.output_tokens, estimated=True)
    assert 3 <= attempt.usage.output_tokens <= 5
    assert attempt.outcome == ("error" if ending else "closed")
    assert attempt.error == ("StreamInterrupted" if ending else None)


def test_a_stream_left_after_its_report_is_not_an_estimate():
    chunks = [Chunk("Hi", finish_reason="stop", usage=Usage(10, 5)), Chunk()]
    attempt, _ = attempt_of(chunks, leave_after=1)
    assert (attempt.usage, attempt.outcome) == (Usage(10, 5), "closed")


def seen_of(batches):
    """Give what an attempt took whose chunks came in these batches, and the chunks."""

    async def main(runtime):
        request = make_request(runtime)
        chunks = await (await Meter(BOOK)(request, InBatches(batches))).read()
        (attempt,) = request.record.attempts
        return attempt.usage, attempt.cost_nanos, attempt.chunks, chunks

    return directly(main)


counted = st.none() | st.builds(
    Usage, st.integers(0, 30), st.integers(0, 300), st.integers(0, 9), reasoning_tokens=st.integers(0, 9)
)
some_chunks = st.lists(st.builds(lambda text, usage: Chunk(text, usage=usage), st.sampled_from(["", *WORDS]), counted))


@given(st.lists(some_chunks, max_size=4), st.sampled_from([None, "stop", "length"]))
def test_counts_that_come_with_many_chunks_are_taken_the_same_in_whatever_batches(batches, reason):
    batches = [[Chunk("Well")], *batches, [Chunk(finish_reason=reason)]]
    assert seen_of(batches) == seen_of([[chunk] for batch in batches for chunk in batch])


FREE_OF_CHARGE = [
    RateLimited("slow down", provider="test", status=429),
    Unavailable("down", provider="test", status=500),
    Unavailable("no connection", provider="test", code="connect"),
    InvalidRequest("no", provider="test", status=400),
    AuthenticationFailed("no", provider="test", status=401),
    ConfigurationError("no key"),
    NoRoute("none"),
]
PERHAPS_BILLED = [
    DeadlineExceeded("late"),
    Unavailable("reset", provider="test"),
    Unavailable("error in a stream", provider="test", status=200),
    StreamInterrupted("cut", provider="test"),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    RuntimeError("a fault of the adapter"),
]


@pytest.mark.parametrize("error", FREE_OF_CHARGE, ids=str)
def test_a_request_that_was_refused_costs_nothing(error):
    attempt = failed_attempt(error)[0]
    assert (attempt.usage, attempt.cost_nanos, attempt.error) == (Usage(), 0, type(error).__name__)


def test_a_fee_for_each_request_is_not_due_where_the_request_was_refused():
    book = PriceBook()
    price = next(
        (provider, model, found)
        for provider, model in (("perplexity", "sonar"), ("perplexity", "sonar-pro"))
        if (found := book.find(provider, model)) and found.cost(Usage()) > 0
    )

    async def main(runtime):
        request = make_request(runtime, model=price[1]).replace(provider=price[0])
        with pytest.raises(RateLimited):
            await Meter(book)(request, FakeProvider(RateLimited("no", provider="test", status=429)))
        await (await Meter(book)(request, FakeProvider([Chunk(finish_reason="stop", usage=Usage(1, 1))]))).read()
        return request.record.attempts

    refused, served = directly(main)
    assert refused.cost_nanos == 0
    assert served.cost_nanos > price[2].cost(Usage()) > 0


@pytest.mark.parametrize("error", PERHAPS_BILLED, ids=repr)
def test_a_request_that_may_have_been_served_costs_its_input(run, error):
    attempt, request = failed_attempt(error, run, stream=True)
    assert attempt.usage == Usage(likely_input(request), 0, estimated=True)
    assert attempt.cost_nanos == likely_input(request) * 1000
    assert attempt.outcome == ("error" if isinstance(error, Exception) else "cancelled")


def test_a_whole_reply_that_was_lost_costs_what_was_likely_written_in_its_time(run):
    """So many seconds of a model that wrote 40 tokens a second lately."""
    told = [Chunk("word " * 80), Chunk(finish_reason="stop", usage=Usage(10, 80))]

    async def main(runtime):
        meter = Meter(BOOK)
        runtime = Timed(runtime, lambda: 0.0)

        def after(seconds, result):
            def script(request):
                request.runtime.passed += seconds
                return result

            return script

        model = FakeProvider(after(2, told), after(5, PERHAPS_BILLED[0]), after(5, PERHAPS_BILLED[0]))
        request = make_request(runtime)
        await (await meter(request, model)).read()
        for cap in (None, 50):
            with pytest.raises(DeadlineExceeded):
                await meter(request.replace(max_output_tokens=cap), model)
        return request

    _, lost, capped = run(main).record.attempts
    assert 195 <= lost.usage.output_tokens <= 201
    assert capped.usage.output_tokens == 50


@pytest.mark.parametrize("hidden", [0, 300])
def test_of_a_stream_that_never_began_the_thoughts_are_booked_that_its_model_does_not_show(run, hidden):
    told = [lambda: None, Chunk("word " * 20), Chunk(finish_reason="stop", usage=Usage(10, 20 + hidden, 0, 0, hidden))]

    async def main(runtime):
        meter = Meter(BOOK)
        request = make_request(Timed(runtime, lambda: 0.0), stream=True)

        def thinks(request):
            request.runtime.passed += 10
            return told

        await (await meter(request, FakeProvider(thinks))).read()
        with pytest.raises(DeadlineExceeded):
            await meter(request, FakeProvider(late(PERHAPS_BILLED[0])))
        return request

    _, lost = run(main).record.attempts
    assert lost.usage.output_tokens == pytest.approx(360 * hidden, rel=0.01)


def failed_attempt(error, run=directly, **fields):
    async def main(runtime):
        request = make_request(runtime, **fields)
        with pytest.raises(type(error)):
            await Meter(BOOK)(request, FakeProvider(error))
        return request

    request = run(main)
    (attempt,) = request.record.attempts
    return attempt, request


def test_each_attempt_is_priced_at_the_model_that_served_it(run):
    meter = Meter(BOOK)
    model = FakeProvider(
        RateLimited("no", provider="test", status=429), [Chunk(finish_reason="stop", usage=Usage(10, 5))]
    )

    async def main(runtime):
        request = make_request(runtime)
        with pytest.raises(RateLimited):
            await meter(request.replace(attempt=1), model)
        await (await meter(request.replace(attempt=2, attempt_kind="retry"), model)).read()
        dear = request.replace(attempt=3, attempt_kind="fallback", model="dear")
        await (await meter(dear, model)).read()
        return request.record

    record = run(main)
    assert [(a.number, a.kind, a.model) for a in record.attempts] == [
        (1, "primary", "cheap"),
        (2, "retry", "cheap"),
        (3, "fallback", "dear"),
    ]
    assert [a.cost_nanos for a in record.attempts] == [0, 20_000, 200_000]
    assert record.cost_nanos == 220_000


def test_a_model_without_a_price_has_no_cost_rather_than_none():
    attempt, request = attempt_of([Chunk("Hi", finish_reason="stop", usage=Usage(10, 5))], model="unheard-of")
    assert (attempt.cost_nanos, attempt.price_source) == (None, None)
    assert request.record.cost_nanos is None


def test_chunks_pass_unchanged():
    chunks = [Chunk("Hi"), Chunk(finish_reason="stop", usage=Usage(1, 1))]

    async def main(runtime):
        return await (await Meter(BOOK)(make_request(runtime), FakeProvider(chunks))).read()

    assert [a is b for a, b in zip(directly(main), chunks, strict=True)] == [True, True]
