"""Chunks travel in batches, as many as one read brought, and everybody outside sees them one by one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings, strategies as st

from inferkit import Budget, BudgetExceeded, Client, Price, StreamError, StreamInterrupted, Unavailable
from inferkit.caching.memory import MemoryTier
from inferkit.core.body import TextBatch
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import RefusalPart
from inferkit.core.response import Response
from inferkit.core.usage import Usage
from inferkit.layers.cache import Cache
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.testing import FakeProvider

RUNTIME = DirectRuntime()
ABC = [Chunk("a"), Chunk("b"), Chunk("c")]
BEGUN = Chunk("So: ")  # with which a reply is known to have begun, after which batches are handed on as they are
END = Chunk(finish_reason="stop", usage=Usage(10, 5))


class Body:
    """Gives its steps one by one: batches, single chunks, exceptions."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.closed = 0

    async def __anext__(self):
        if not self.steps:
            raise StopAsyncIteration
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    async def aclose(self):
        self.closed += 1


def response(*steps):
    return Response(Body(*steps), runtime=RUNTIME)


async def texts(source, into=None):
    into = [] if into is None else into
    async for chunk in source:
        into.append(chunk.text)
    return into


async def next_texts(source):
    return [chunk.text for chunk in await source.next_batch()]


def test_a_reader_is_given_one_chunk_at_a_time():
    assert drive(texts(response(ABC, [], Chunk("d"), [Chunk("e")]))) == ["a", "b", "c", "d", "e"]


def test_an_async_generator_of_chunks_is_a_body():
    async def body():
        for chunk in ABC:
            yield chunk

    assert drive(texts(Response(body(), runtime=RUNTIME))) == ["a", "b", "c"]


def test_chunks_that_are_all_there_make_a_response():
    made = Response.of(ABC, runtime=RUNTIME, model="m", id="1", headers={"x": "y"})
    assert (made.model, made.id, made.headers) == ("m", "1", {"x": "y"})
    assert drive(next_texts(made)) == ["a", "b", "c"]
    assert drive(texts(made)) == []
    assert drive(texts(Response.of([], runtime=RUNTIME))) == []


def test_observers_see_every_chunk_from_the_inside_out():
    seen = []

    def observer(name):
        def see(chunk):
            seen.append(name + chunk.text)
            return chunk._replace(text=chunk.text + name)

        return see

    source = response(ABC).map(observer("1")).map(observer("2"))
    assert drive(texts(source)) == ["a12", "b12", "c12"]
    assert seen == ["1a", "2a1", "1b", "2b1", "1c", "2c1"]


def refuse(text, error):
    def see(chunk):
        if chunk.text == text:
            raise error
        return chunk

    return see


def test_what_came_before_an_observer_that_raises_is_handed_over_first():
    inner, outer, ends, got = [], [], [], []
    error = ValueError("enough")

    def see(into):
        def add(chunk):
            into.append(chunk.text)
            return chunk

        return add

    source = response([*ABC, Chunk("d")], [Chunk("e")])
    source = source.map(see(inner)).map(refuse("c", error)).map(see(outer), on_close=ends.append)
    with pytest.raises(ValueError, match="enough"):
        drive(texts(source, got))
    assert got == outer == ["a", "b"]
    assert inner == ["a", "b", "c", "d"], "what was received, the innermost observer has to see"
    assert [(end.outcome, end.error) for end in ends] == [("error", error)]


def test_an_observer_that_raises_at_the_first_chunk_of_a_batch_raises_at_once():
    source = response(ABC).map(refuse("a", ValueError("no")))
    with pytest.raises(ValueError, match="no"):
        drive(source.next_batch())
    with pytest.raises(StreamError, match="closed"):
        drive(source.next_batch())


def test_an_observer_that_raises_again_at_the_rest_of_a_batch_does_not_hide_its_first_error():
    seen = []

    def see(chunk):
        seen.append(chunk.text)
        raise ValueError(chunk.text)

    with pytest.raises(ValueError, match="a"):
        drive(response(ABC).map(see).read())
    assert seen == ["a", "b", "c"]


def test_a_reader_who_leaves_within_a_batch_has_closed_the_stream():
    ends = []
    source = response(ABC).map(on_close=ends.append)
    assert drive(source.__anext__()).text == "a"
    drive(source.aclose())
    assert [end.outcome for end in ends] == ["closed"]
    with pytest.raises(StreamError, match="closed"):
        drive(source.__anext__())


def test_what_is_left_of_a_batch_goes_with_the_response_that_is_handed_on():
    changed, ends = [], []

    def change(chunk):
        changed.append(chunk.text)
        return chunk._replace(text=chunk.text.upper())

    inner = response(ABC, [Chunk("d")]).map(on_close=ends.append)
    assert drive(inner.__anext__()).text == "a"
    source = inner.map(change, on_close=ends.append)
    assert drive(texts(source)) == ["B", "C", "D"]
    assert changed == ["b", "c", "d"]
    assert [end.outcome for end in ends] == ["completed", "completed"]


def test_a_failure_that_waits_for_its_turn_goes_with_the_response_that_is_handed_on():
    inner = response(ABC).map(refuse("b", ValueError("no")))
    assert drive(inner.__anext__()).text == "a"
    source = inner.map(lambda chunk: chunk)
    with pytest.raises(ValueError, match="no"):
        drive(source.read())


def test_a_batch_and_a_reader_of_single_chunks_take_turns():
    source = response(ABC, [Chunk("d")])
    assert drive(source.__anext__()).text == "a"
    assert drive(next_texts(source)) == ["b", "c"]
    assert drive(source.__anext__()).text == "d"


PRICES = {"fake:m": Price(input="1", output="2")}


def client(world, *scripts, **settings):
    provider = FakeProvider(*scripts)
    settings.setdefault("max_retries", 0)
    return provider, world.client(providers={"fake": provider}, models={"any": "fake:m"}, prices=PRICES, **settings)


def test_the_batch_with_the_first_content_commits(world):
    async def body(world):
        provider, llm = client(world, [["", "a", "b"], Unavailable("down", provider="fake")], "again", max_retries=3)
        got = []
        with pytest.raises(StreamInterrupted) as caught:
            async with llm.stream("any", "hi") as reply:
                await texts(reply, got)
        assert got == ["", "a", "b"]
        assert caught.value.partial == "ab"
        assert len(provider.requests) == 1
        await llm.aclose()

    world.run(body)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_partial_is_what_was_delivered(world, streamed):
    async def body(world):
        down = Unavailable("down", provider="fake", status=502)
        provider, llm = client(world, [["a", "b"], ["c"], down])
        with pytest.raises(StreamInterrupted) as caught:
            if streamed:
                async with llm.stream("any", "hi") as reply:
                    async for _ in reply:
                        pass
            else:
                await llm.complete("any", "hi")
        error = caught.value
        assert (error.partial, error.status, len(error.attempts)) == ("abc", 502, 1)
        assert error.request_id
        assert provider.open_streams == 0
        await llm.aclose()

    world.run(body)


def words(count, *more):
    return [[*("word " for _ in range(count)), *more]]


RUNAWAY = words(600, "never", Chunk(finish_reason="length", usage=Usage(12, 700)))


@pytest.mark.parametrize("on_exceed", ["truncate", "raise"])
def test_in_a_batch_that_is_cut_later_text_is_dropped_and_its_usage_booked(world, tmp_path, on_exceed):
    async def body(world):
        budget = Budget(usd="1", name="b", on_exceed=on_exceed)
        _, llm = client(world, RUNAWAY, budget=budget, ledger=tmp_path / "ledger.db")
        text = ""
        try:
            async with llm.stream("any", "hi", max_output_tokens=16) as reply:
                async for chunk in reply:
                    text += chunk.text
            assert reply.reply.finish_reason == "budget"
        except BudgetExceeded as error:
            assert on_exceed == "raise"
            assert error.partial == text
            assert [attempt.usage.output_tokens for attempt in error.attempts] == [700]
        assert text.startswith("word ")
        assert "never" not in text
        ledger = llm.inner.ledger if hasattr(llm, "inner") else llm.ledger
        (entry,) = ledger.entries()
        assert (entry.charge.input_tokens, entry.charge.output_tokens) == (12, 700)
        await llm.aclose()

    world.run(body)


def test_a_reader_who_leaves_within_a_batch_pays_for_what_was_received(world, tmp_path):
    async def body(world):
        _, llm = client(world, words(40, END), budget=Budget(usd="1", name="b"), ledger=tmp_path / "ledger.db")
        async with llm.stream("any", "hi") as reply:
            async for _ in reply:
                break
        assert reply.text == "word "
        ledger = llm.inner.ledger if hasattr(llm, "inner") else llm.ledger
        (entry,) = ledger.entries()
        assert (entry.charge.outcome, entry.charge.input_tokens, entry.charge.output_tokens) == ("closed", 10, 5)
        await llm.aclose()

    world.run(body)


def test_a_batch_is_seen_whole_by_those_who_can_and_singly_from_the_first_who_cannot():
    log = []

    def observer(name, *, whole):
        def see(chunk):
            log.append((name, chunk.text))
            return chunk

        def see_all(batch):
            log.append((name, "".join(chunk.text for chunk in batch)) if whole else f"not {name}")
            return batch if whole else None

        return see, see_all

    stream = response(ABC, Chunk("d"))
    for name, whole in (("inner", True), ("middle", False), ("outer", True)):
        see, see_all = observer(name, whole=whole)
        stream = stream.map(see, change_all=see_all)
    assert drive(texts(stream)) == ["a", "b", "c", "d"]
    singly = [(name, text) for text in "abc" for name in ("middle", "outer")]
    assert log == [("inner", "abc"), "not middle", *singly, ("inner", "d"), ("middle", "d"), ("outer", "d")]


@st.composite
def batched(draw):
    """Give chunks of all kinds, and the same in batches."""
    plain = st.text("añ語 ", max_size=30).map(Chunk)
    counted = st.builds(
        lambda text, output: Chunk(text, usage=Usage(3, output)), st.text("ab", max_size=9), st.integers(0, 30)
    )
    odd = st.sampled_from([
        Chunk(reasoning="hm"), Chunk("so", reasoning="thus"), Chunk(usage=Usage(3, 0)), Chunk(extra={"seal": "x"}),
        Chunk(tool_calls=(ToolCallDelta(0, "c", "look", "{}"),)), Chunk(parts=(RefusalPart(""),), text="no"),
    ])  # fmt: skip
    chunks = draw(st.lists(st.one_of(plain, plain, counted, odd), min_size=1, max_size=20))
    chunks += [draw(st.sampled_from([Chunk("the end", finish_reason="stop", usage=Usage(3, 31)), END]))]
    if draw(st.booleans()):
        chunks += [Chunk(usage=Usage(3, 32))]  # what was counted may come after all else
    places = sorted({0, *draw(st.sets(st.integers(1, len(chunks)))), len(chunks)})
    return chunks, [as_read(chunks[begin:end]) for begin, end in itertools.pairwise(places)]


def as_read(chunks):
    """Give a batch as readers do, who know of its first texts that they are that alone."""
    texts = list(itertools.takewhile(lambda each: each.text and each == Chunk(each.text, usage=each.usage), chunks))
    usages = [chunk.usage for chunk in texts if chunk.usage is not None]
    if usages and (len(usages) < len(texts) or max(usages) != usages[-1]):
        return chunks
    return TextBatch.of(chunks, [chunk.text for chunk in texts], usages[-1] if usages else None)


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.__setitem__(0, END), lambda batch: batch.append(END), lambda batch: batch.extend([END]),
        lambda batch: batch.insert(0, END), lambda batch: batch.__iadd__([END]), lambda batch: batch.__imul__(2),
        lambda batch: batch.pop(), lambda batch: batch.remove(ABC[0]), lambda batch: batch.clear(),
        lambda batch: batch.__delitem__(0), lambda batch: batch.reverse(), lambda batch: batch.sort(),
    ],
)  # fmt: skip
def test_a_batch_of_texts_that_somebody_changes_does_not_say_any_more_what_its_texts_are(change):
    batch, plain = as_read(ABC), list(ABC)
    assert batch.texts == ["a", "b", "c"]
    change(batch)
    change(plain)
    assert (batch, batch.texts) == (plain, None)


def test_what_was_received_of_a_batch_of_texts_and_nobody_read_is_told_at_the_end():
    told = []

    class Left(Body):
        async def aclose(self):
            return as_read(ABC)

    async def leave():
        stream = Response(Left(as_read(ABC)), runtime=RUNTIME, on_close=lambda end: told.extend(end.late))
        await stream.aclose()

    drive(leave())
    assert told == ABC


_REFUSAL = Chunk(parts=(RefusalPart(""),), text="no")
_WORDS = [*map(Chunk, ("a", "aa", "ñ")), _REFUSAL, Chunk(reasoning="hm")]
_WITH_BLANKS = [*[Chunk("")] * 10, *_WORDS, Chunk(""), Chunk("")]


@given(batched(), st.sampled_from([20, 200, None]))
@example((_WITH_BLANKS, [_WITH_BLANKS[:15], _WITH_BLANKS[15:]]), 20)
@settings(max_examples=100, deadline=None)
def test_however_a_reply_is_batched_it_counts_and_is_kept_alike(given_chunks, most):
    chunks, batches = given_chunks
    found = []
    for script in (chunks, batches):

        async def provider(request, script=script):
            return Response(Body(BEGUN, *script), runtime=request.runtime)

        options = {"providers": {"fake": provider}, "models": {"any": "fake:m"}, "prices": PRICES, "ledger": False}
        with Client(cache=Cache(MemoryTier(), max_reply_characters=100), **options) as llm:
            replies = [llm.complete("any", "Hi", max_output_tokens=most) for _ in range(2)]
        (attempt,) = replies[0].attempts
        found.append(
            (attempt.usage, attempt.chunks, replies[1].cache, replies[1].chunks, replies[1].usage, replies[0].message)
        )
    assert found[0] == found[1]
