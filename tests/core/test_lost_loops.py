"""An ending once begun is finished, whatever becomes of the event loop that it began on."""

from __future__ import annotations

import asyncio
import gc
import threading

import anyio
import pytest

from inferkit import AsyncClient, Budget, Insert, Ledger, Price
from inferkit.ledger.sqlite.ledger import SqliteStore
from inferkit.runtime.loops import current_runtime
from inferkit.testing import FakeProvider, settled
from worlds import on_a_loop


@pytest.fixture
def setup(tmp_path):
    """A client under a budget, whose streams end as its second layer's hook has awaited, and what ended."""
    outcomes = []

    class Slow:
        """Holds the ending up for some turns of the event loop, so that it can be met in the middle."""

        def __init__(self, turns):
            self.turns = turns
            self.reached = asyncio.Event()

        async def __call__(self, request, call_next):
            async def on_close(end):
                self.reached.set()
                for _ in range(self.turns if not end.runtime.blocking else 0):
                    await asyncio.sleep(0)
                outcomes.append(end.outcome)

            return (await call_next(request)).map(on_close=on_close)

    def make(*pieces, turns=0, ledger=None):
        slow = Slow(turns)
        provider = FakeProvider(["a", *pieces, "b"])
        client = AsyncClient(
            providers={"fake": provider},
            models={"fast": "fake:m"},
            prices={"fake:m": Price(input="1", output="1")},
            budget=Budget(usd="1", per="total", name="all"),
            ledger=ledger or tmp_path / "ledger.db",
            cache=False,
            layers=[Insert(slow, after="meter")],  # innermost, so that the budget's settling waits for it
        )
        return client, slow

    make.outcomes = outcomes
    return make


def check(client, outcomes):
    settled()
    assert outcomes == ["cancelled"]
    (entry,) = client.ledger.entries()
    assert entry.kind == "settled"
    assert client.ledger.balance("all", "total").pending.usd == 0
    client.ledger.close()


async def read(client):
    async with client.stream("hi") as stream:
        async for _ in stream:
            pass


@pytest.mark.parametrize("turns_before", range(8))
@pytest.mark.parametrize("turns", [0, 1, 50])
def test_a_task_that_is_cancelled_as_asyncio_run_ends_has_its_call_settled(setup, turns_before, turns):
    async def main():
        reached = asyncio.Event()

        async def wait():
            reached.set()
            await asyncio.sleep(3600)

        client, _ = setup(wait, turns=turns)
        task = asyncio.create_task(read(client))
        await reached.wait()
        task.cancel()
        for _ in range(turns_before):
            await asyncio.sleep(0)
        return client, task

    client, task = asyncio.run(main())
    del task
    check(client, setup.outcomes)


class Telling(SqliteStore):
    """Tells when it has settled a call."""

    def __init__(self, path):
        super().__init__(path)
        self.settled = threading.Event()

    async def settle(self, *args, **options):
        done = await super().settle(*args, **options)
        self.settled.set()
        return done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of tasks that are left in the middle
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("turns_before", range(4))
def test_a_loop_that_is_closed_under_a_stream_leaves_it_settled(setup, tmp_path, monkeypatch, cancelled, turns_before):
    monkeypatch.setattr("inferkit.runtime.closing._LOOK_SECONDS", 0.01)
    ledger = Ledger(Telling(tmp_path / "ledger.db"))
    loop = asyncio.new_event_loop()

    async def main():
        reached = asyncio.Event()

        async def wait():
            reached.set()
            await asyncio.sleep(3600)

        client, _ = setup(wait, turns=50, ledger=ledger)
        task = asyncio.create_task(read(client))
        await reached.wait()
        if cancelled:
            task.cancel()
        for _ in range(turns_before):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.close()
    for _ in range(1000):  # a stream around the one that was ending is ended when the collector finds it
        gc.collect()
        if ledger.accounts.settled.wait(0.01):
            break
    (entry,) = ledger.entries()
    assert entry.kind == "settled"
    assert ledger.balance("all", "total").pending.usd == 0
    ledger.close()


def test_a_stream_that_is_closed_on_another_loop_is_settled(setup):
    async def begin():
        client, _ = setup()
        stream = client.stream("hi")
        await stream.__anext__()
        return client, stream

    client, stream = asyncio.run(begin())
    asyncio.run(stream.aclose())
    settled()
    (entry,) = client.ledger.entries()
    assert (entry.kind, entry.charge.outcome) == ("settled", "closed")
    client.ledger.close()


@on_a_loop
def test_a_cancellation_is_let_through_when_the_ending_is_over(run):
    order = []

    async def main(runtime):

        async def step(on):
            assert on is runtime
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            order.append("ended")

        async def work():
            await runtime.conclude(step)
            order.append("let through")
            await anyio.lowlevel.checkpoint()
            order.append("too far")

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        order.append("left")

    run(main)
    assert order[0] == "ended"
    assert "too far" not in order


def test_an_ending_that_takes_too_long_does_not_keep_the_task(monkeypatch):
    monkeypatch.setattr("inferkit.runtime.loops._CLOSING_SECONDS", 0.01)

    async def main():
        never = asyncio.Event()

        async def step(_):
            await never.wait()

        await current_runtime().conclude(step)
        never.set()
        await asyncio.sleep(0)

    asyncio.run(main())
