"""Time that nobody waits for: asyncio, anyio and the library's clock all go by it."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest

from inferkit import AsyncClient, Unavailable
from inferkit.runtime import clock, writer
from inferkit.runtime.loops import current_runtime
from inferkit.simulation.virtual_time import VirtualTime, run_in
from inferkit.testing import FakeProvider

MARCH = 1_772_323_200.0
DAY = 86_400.0


def test_a_month_of_sleep_is_over_at_once_and_every_clock_says_so():
    time = VirtualTime(MARCH)

    async def main():
        began, loop = clock.now(), asyncio.get_running_loop()
        await asyncio.sleep(10 * DAY)
        await anyio.sleep(10 * DAY)
        await current_runtime().sleep(10 * DAY)
        assert clock.now() - began == pytest.approx(30 * DAY)
        assert loop.time() == current_runtime().now() == clock.now()
        assert clock.time() == pytest.approx(MARCH + 30 * DAY)

    run_in(time, main)
    assert time.elapsed == pytest.approx(30 * DAY)


def test_what_happens_at_the_same_time_happens_in_the_order_of_its_instants():
    seen = []

    async def one(name, wait):
        await asyncio.sleep(wait)
        seen.append((name, round(clock.time() - MARCH, 6)))

    async def main():
        async with asyncio.TaskGroup() as group:
            for name, wait in (("c", 3.0), ("a", 0.5), ("b", 2.25)):
                group.create_task(one(name, wait))

    run_in(VirtualTime(MARCH), main)
    assert seen == [("a", 0.5), ("b", 2.25), ("c", 3.0)]


def test_deadlines_and_the_waits_of_retries_are_kept_on_it():
    async def slow():
        await asyncio.sleep(3600)

    async def main():
        with anyio.move_on_after(7.0) as scope:
            await slow()
        assert scope.cancelled_caught
        providers = {"down": FakeProvider(Unavailable("down", provider="down", retry_after=40.0), "up again")}
        async with AsyncClient(providers=providers, cache=False, ledger=False) as llm:
            began = clock.now()
            assert (await llm.complete("down:m", "Hello?")).text == "up again"
            assert clock.now() - began >= 40.0

    run_in(VirtualTime(MARCH), main)


def test_what_blocks_is_run_where_it_is_asked_for():
    async def main():
        return await current_runtime().run_blocking(lambda: clock.time() - MARCH)

    assert run_in(VirtualTime(MARCH), main) == 0.0


def test_afterwards_the_clocks_are_the_machines():
    before = (clock.now, clock.time, writer.disk)

    async def main():
        assert clock.now is not before[0]
        raise LookupError

    with pytest.raises(LookupError):
        run_in(VirtualTime(MARCH), main)
    assert (clock.now, clock.time, writer.disk) == before


@pytest.mark.parametrize("step", ["_make_self_pipe", "set_debug"])
def test_an_interrupt_in_the_making_of_the_loop_leaves_nothing_to_complain_of(monkeypatch, step):
    """pytest makes an error of what a loop that cannot be closed says when it is collected."""

    def interrupted(*_):
        raise KeyboardInterrupt

    async def main():
        raise AssertionError

    monkeypatch.setattr(asyncio.SelectorEventLoop, step, interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        run_in(VirtualTime(MARCH), main)
    gc.collect()
