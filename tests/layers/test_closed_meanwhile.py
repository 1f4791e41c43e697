"""A stream that one thread closes while another one is being given its next part: whatever was sent is booked."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextlib import contextmanager

import pytest

from economics.bookkeeping import some
from economics.test_a_day_of_calls import report
from inferkit import AsyncClient, Budget, BudgetExceeded, Chunk, Client, Insert, Price, StreamError, Unavailable, Usage
from inferkit.testing import FakeProvider

SECONDS = 30  # a guard against a test that would wait for ever
BROKEN = Unavailable("the connection broke", provider="fake")
REST = [Chunk("It left"), Chunk(" today."), Chunk(finish_reason="stop", usage=Usage(100, 10))]
WRONG = [Chunk("no object"), Chunk(finish_reason="stop", usage=Usage(100, 10))]
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
PRICE = Price(1, 10)  # dollars a million tokens


class Pause:
    """A layer at which a thread waits with an attempt of a kind until it is let on."""

    def __init__(self, kind):
        self.kind = kind
        self.reached, self.go = threading.Event(), threading.Event()

    async def __call__(self, request, call_next):
        if request.attempt_kind == self.kind:
            self.reached.set()
            assert self.go.wait(SECONDS)
        return await call_next(request)


@contextmanager
def client(tmp_path, provider, *layers, **more):
    more = {"ledger": tmp_path / "ledger.db", "prices": {"fake:m": PRICE}, "on_interrupt": "continue", **more}
    with Client(providers={"fake": provider}, layers=layers, cache=False, max_retries=2, **more) as llm:
        yield llm


@contextmanager
def being_read(stream):
    """Read a stream in another thread, which has to end with what a reader is told whose stream was closed."""
    raised = []

    def read():
        try:
            for _ in stream:
                pass
        except StreamError as error:
            raised.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield
    thread.join(SECONDS)
    assert raised == ["the stream was closed while it was being read"]


KINDS = {
    "continuation": ((["It left", BROKEN], REST), {}),
    "repair": ((WRONG, REST), {"schema": SCHEMA, "repair": 1}),
}
PAID = pytest.mark.parametrize("budget", [None, Budget(usd="5", per="month", name="all")])


@pytest.mark.parametrize("kind", KINDS)
@PAID
def test_a_part_that_was_not_sent_yet_is_not_sent_any_more(tmp_path, kind, budget):
    scripts, options = KINDS[kind]
    provider, pause = FakeProvider(*scripts), Pause(kind)
    with client(tmp_path, provider, Insert(pause, before="retry"), budget=budget) as llm:
        with llm.stream("fake:m", "Where?", **options) as stream, being_read(stream):
            assert pause.reached.wait(SECONDS)
            stream.close()
            pause.go.set()
        found = report(llm)
    assert len(provider.requests) == 1, "nobody would pay for another one"
    assert provider.open_streams == 0
    assert (found.total.calls, some(found.more_requests.kinds)) == (1, {})


@pytest.mark.parametrize("kind", KINDS)
@PAID
def test_a_part_that_was_sent_is_booked(tmp_path, kind, budget):
    scripts, options = KINDS[kind]
    provider, pause = FakeProvider(*scripts), Pause(kind)
    with client(tmp_path, provider, Insert(pause, after="meter"), budget=budget) as llm:
        with llm.stream("fake:m", "Where?", **options) as stream, being_read(stream):
            assert pause.reached.wait(SECONDS)
            stream.close()
            pause.go.set()
        found = report(llm)
    assert len(provider.requests) == 2
    assert provider.open_streams == 0
    (again,) = some(found.more_requests.kinds).items()
    assert again[0] == kind
    assert again[1][0] == 1
    assert again[1][1] > 0, "it is not known what it cost, and not nothing"
    assert found.estimated.calls == 1
    assert {row.name for row in found.by("model")} == {"fake:m"}


@PAID
def test_a_part_that_has_begun_as_the_stream_is_closed_is_closed_and_booked_as_it_was(tmp_path, budget):
    provider = FakeProvider(["It left", BROKEN], REST)
    closers = []

    class Closing(logging.Handler):
        """Closes the stream in another thread at the moment at which its next part has begun."""

        def emit(self, record):
            if "goes on" in record.getMessage():
                closer = threading.Thread(target=closers[0], daemon=True)
                closer.start()
                closer.join(SECONDS)

    log, handler = logging.getLogger("inferkit"), Closing(logging.INFO)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    gc.disable()
    try:
        with client(tmp_path, provider, budget=budget) as llm:
            with llm.stream("fake:m", "Where?") as stream:
                closers.append(stream.close)
                with being_read(stream):
                    pass
            assert provider.open_streams == 0
            found = report(llm)
    finally:
        gc.enable()
        log.removeHandler(handler)
        log.setLevel(before)
    assert len(provider.requests) == 2
    assert [kind for kind, (number, usd) in some(found.more_requests.kinds).items() if number and usd] == [
        "continuation"
    ]


def test_a_stream_that_two_threads_begin_is_sent_once(tmp_path):
    held, provider, got = Pause("primary"), FakeProvider(REST), []
    with client(tmp_path, provider, held) as llm:
        stream = llm.stream("fake:m", "Hi")
        thread = threading.Thread(target=lambda: got.extend(chunk.text for chunk in stream), daemon=True)
        thread.start()
        assert held.reached.wait(SECONDS)
        with pytest.raises(StreamError, match="begun by two at once"):
            next(stream)
        held.go.set()
        thread.join(SECONDS)
    assert "".join(got) == "It left today."
    assert len(provider.requests) == 1


def test_a_stream_that_two_tasks_begin_is_sent_once():
    provider = FakeProvider(REST)

    async def main():
        reached, go = asyncio.Event(), asyncio.Event()

        async def hold(request, call_next):
            reached.set()
            await go.wait()
            return await call_next(request)

        async with AsyncClient(providers={"fake": provider}, layers=[hold], cache=False, ledger=False) as llm:
            stream = llm.stream("fake:m", "Hi")

            async def read():
                return "".join([chunk.text async for chunk in stream])

            reading = asyncio.create_task(read())
            await reached.wait()
            with pytest.raises(StreamError, match="begun by two at once"):
                await anext(stream)
            go.set()
            assert await reading == "It left today."

    asyncio.run(asyncio.wait_for(main(), SECONDS))
    assert len(provider.requests) == 1


def test_a_stream_that_was_refused_is_refused_again(tmp_path):
    with client(tmp_path, FakeProvider(REST), budget=Budget(usd="0.000001", per="day", name="tiny")) as llm:
        stream = llm.stream("fake:m", "Hi")
        for _ in range(2):
            with pytest.raises(BudgetExceeded):
                next(stream)
