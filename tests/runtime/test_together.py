"""Steps that run at the same time, on every runtime."""

from __future__ import annotations

import contextvars
import threading

import pytest

from worlds import Signal

WHO = contextvars.ContextVar("who")


def test_steps_run_at_the_same_time_and_no_more_of_them_than_may(run):
    guard, running, most, met = threading.Lock(), [0], [0], Signal()

    async def step():
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
            full = running[0] == 3
        if full:
            met.set()
        await met.wait()
        with guard:
            running[0] -= 1

    run(lambda runtime: runtime.side_by_side([step] * 7, 3))
    assert (running, most) == ([0], [3])


def test_steps_begin_in_their_order_and_see_the_context_of_their_caller(run):
    begun = []

    def step(place):
        async def body():
            begun.append((place, WHO.get()))

        return body

    async def main(runtime):
        WHO.set("ana")
        for most in (1, 2):
            await runtime.side_by_side([step(place) for place in range(4)], most)
        await runtime.side_by_side([], 2)

    run(main)
    assert begun[:4] == [(place, "ana") for place in range(4)]
    assert sorted(begun[4:]) == begun[:4]


@pytest.mark.parametrize("most", [1, 2])
def test_what_a_step_raises_comes_out_as_it_is_and_ends_it(run, most):
    begun, failed = [], Signal()

    async def fails():
        begun.append("fails")
        failed.set()
        raise KeyError("x")

    async def waits():
        begun.append("waits")
        await failed.wait()

    with pytest.raises(KeyError):
        run(lambda runtime: runtime.side_by_side([fails, waits, waits, waits, waits], most))
    assert begun.count("fails") == 1
    assert most > 1 or begun == ["fails"]


def test_a_coroutine_that_needs_a_loop_is_named_from_a_thread_too():
    import asyncio

    from inferkit.core.errors import ConfigurationError
    from worlds import directly

    async def needs_a_loop():
        await asyncio.sleep(0.001)

    with pytest.raises(ConfigurationError, match="needs_a_loop"):
        directly(lambda runtime: runtime.side_by_side([needs_a_loop, needs_a_loop], 2))
