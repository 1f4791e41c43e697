"""Two steps to one result: whoever loses has come to its end before the race is over, and the caller goes on."""

from __future__ import annotations

import asyncio

import anyio.lowlevel
import pytest

from inferkit.runtime.racing import race
from worlds import Gate, cancelled_afterwards, on_a_loop

on_asyncio = pytest.mark.parametrize("run", ["asyncio"], indirect=True)


async def keep(_):
    raise AssertionError("nothing was lost that had a result")


def stuck(name, gate, ended):
    async def step():
        try:
            await gate()
        finally:
            ended.append(name)

    return step


@on_a_loop
def test_a_caller_that_is_cancelled_ends_both(run):
    ended, gate = [], Gate()

    async def body(runtime):
        async def call():
            await race(runtime, stuck("first", Gate(), ended), stuck("second", gate, ended), after=0.001, lose=keep)

        async with cancelled_afterwards(call):
            await gate.reached.wait()

    run(body)
    assert sorted(ended) == ["first", "second"]


@on_a_loop
def test_whoever_loses_has_ended_before_the_race_is_over(run):
    ended = []

    async def second():
        return "second"

    async def body(runtime):
        found = await race(runtime, stuck("first", Gate(), ended), second, after=0.001, lose=keep)
        assert ended == ["first"]
        await anyio.lowlevel.checkpoint()  # nothing is left of the cancellation
        return found

    assert run(body) == "second"


@on_a_loop
def test_the_second_is_ended_where_the_first_has_its_result(run):
    ended, late = [], Gate()

    async def first():
        await late.reached.wait()
        return "first"

    async def body(runtime):
        found = await race(runtime, first, stuck("second", late, ended), after=0.001, lose=keep)
        assert ended == ["second"]
        return found

    assert run(body) == "first"


@on_asyncio
def test_a_first_step_that_is_not_late_runs_where_it_is_asked_for(run):
    async def body(runtime):
        own = asyncio.current_task()

        async def first():
            assert asyncio.current_task() is own
            return len(asyncio.all_tasks())

        tasks = len(asyncio.all_tasks())
        assert await race(runtime, first, keep, after=60.0, lose=keep) == tasks

    run(body)


@on_asyncio
def test_one_that_gives_a_result_instead_of_being_cancelled_loses_it(run):
    lost = []

    async def first():
        try:
            await Gate()()
        except asyncio.CancelledError:
            return "first"

    async def second():
        return "second"

    async def lose(result):
        lost.append(result)

    async def body(runtime):
        found = await race(runtime, first, second, after=0.001, lose=lose)
        return found, asyncio.current_task().cancelling()

    assert run(body) == ("second", 0)
    assert lost == ["first"]


@on_asyncio
def test_a_cancellation_from_outside_counts_beside_that_of_the_race(run):
    """Both come before the first step goes on: it is the caller's that is left."""
    called = []

    async def body(runtime):
        async def call():
            own = asyncio.current_task()

            async def second():
                own.cancel()
                return "second"

            called.append(await race(runtime, Gate(), second, after=0.001, lose=keep))

        task = asyncio.ensure_future(call())
        await asyncio.wait([task])
        return task.cancelled()

    assert run(body)
    assert called == []
