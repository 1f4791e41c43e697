"""Driving coroutines without a loop, and the runtimes' few methods."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import anyio
import pytest

from inferkit import ConfigurationError, DeadlineExceeded
from inferkit.runtime import closing
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime
from worlds import on_a_loop


async def _waits_for_a_future():
    await asyncio.Future(loop=asyncio.new_event_loop())


async def _sleeps_on_asyncio():
    await asyncio.sleep(0.01)


async def _sleeps_on_anyio():
    await anyio.sleep(0.01)


class _Suspending:
    def __await__(self):
        yield "something"


async def _suspends():
    await _Suspending()


def test_a_coroutine_that_never_suspends_is_driven_to_its_result():
    async def answer():
        return 42

    assert drive(answer()) == 42


@pytest.mark.parametrize("step", [_sleeps_on_asyncio, _sleeps_on_anyio, _suspends])
def test_a_layer_that_needs_a_loop_is_named_with_the_remedy(step):
    with pytest.raises(ConfigurationError, match=rf"{step.__name__} waits for an event loop.*portal=True"):
        drive(step())


def test_other_runtime_errors_pass_as_they_are():
    async def fail():
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else") as caught:
        drive(fail())
    assert not isinstance(caught.value, ConfigurationError)


def test_an_async_client_outside_a_loop_is_told_so():
    with pytest.raises(ConfigurationError, match=r"use inferkit\.Client"):
        current_runtime()


def on_each(body):
    """Run a body that takes a runtime on all three kinds."""

    async def there():
        return await body(current_runtime())

    drive(body(DirectRuntime()))
    anyio.run(there, backend="asyncio")
    anyio.run(there, backend="trio")


def test_a_lock_is_exclusive_and_gives_up_at_its_deadline():
    async def body(runtime):
        lock = runtime.lock()
        await lock.acquire()
        with pytest.raises(DeadlineExceeded):
            await lock.acquire(runtime.now() + 0.01)
        lock.release()
        await lock.acquire(runtime.now() + 10)
        lock.release()

    on_each(body)


def test_readability_is_reported_and_its_absence_too():
    async def body(runtime):
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            assert not await runtime.wait_readable(here, 0.01)
            there.send(b"x")
            assert await runtime.wait_readable(here, 10)
            assert await runtime.wait_readable(here)

    on_each(body)


def test_a_reader_is_woken_when_its_socket_is_closed_by_another_thread():
    runtime = DirectRuntime()
    here, there = socket.socketpair()
    waiting = threading.Event()
    result = []

    def read():
        waiting.set()
        result.append(drive(runtime.wait_readable(here)))

    thread = threading.Thread(target=read)
    thread.start()
    waiting.wait()
    runtime.wake(here)
    thread.join(20)
    assert result == [True]
    here.close()
    there.close()


@on_a_loop
def test_a_shielded_step_ends_though_its_caller_is_cancelled(run):
    async def body(runtime):
        begun, may_end, ended = anyio.Event(), anyio.Event(), anyio.Event()

        async def step():
            begun.set()
            await may_end.wait()
            ended.set()

        async with anyio.create_task_group() as group:
            group.start_soon(runtime.shield, step)
            await begun.wait()
            group.cancel_scope.cancel()
        may_end.set()
        with anyio.fail_after(10):
            await ended.wait()

    run(body)


def test_a_shielded_step_gives_its_result_and_its_error():
    async def good():
        return 1

    async def bad():
        raise KeyError("x")

    async def body(runtime):
        assert await runtime.shield(good) == 1
        with pytest.raises(KeyError):
            await runtime.shield(bad)

    on_each(body)


def test_a_step_is_interrupted_at_its_deadline():
    async def body():
        runtime = current_runtime()
        with pytest.raises(DeadlineExceeded):
            await runtime.within(runtime.now() + 0.01, anyio.sleep_forever())

    anyio.run(body, backend="asyncio")
    anyio.run(body, backend="trio")


def test_blocking_work_runs_without_stopping_the_loop():
    async def body(runtime):
        assert await runtime.run_blocking(lambda value: value + 1, 41) == 42

    on_each(body)


def test_a_step_handed_over_from_another_thread_runs_on_the_loop():
    async def body():
        runtime = current_runtime()
        done = anyio.Event()

        async def step():
            done.set()

        thread = threading.Thread(target=runtime.call_later_from_anywhere, args=(step,))
        thread.start()
        with anyio.fail_after(10):
            await done.wait()
        thread.join()

    anyio.run(body, backend="asyncio")
    anyio.run(body, backend="trio")


def test_a_step_for_a_loop_that_is_gone_is_dropped():
    async def body():
        return current_runtime()

    async def step():
        raise AssertionError("it must not run")

    for backend in ("asyncio", "trio"):
        anyio.run(body, backend=backend).call_later_from_anywhere(step)


def test_a_step_handed_over_in_the_last_round_of_a_loop_is_let_go_of_without_a_word(monkeypatch, caplog):
    monkeypatch.setattr(closing, "_LOOK_SECONDS", 0.0)
    gone = threading.Event()

    class Step:
        async def __call__(self):
            raise AssertionError("it must not run")

        def __del__(self):
            gone.set()

    async def main():
        current_runtime().call_later_from_anywhere(Step())

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    for _ in range(3000):
        if gone.wait(0.01):
            break
        gc.collect()  # a coroutine that was never awaited warns, and of a task that is destroyed there is a line
    assert gone.is_set()
    assert caplog.records == []


def test_a_step_handed_over_in_the_last_moment_of_a_trio_run_does_no_harm():
    async def main():
        current_runtime().call_later_from_anywhere(anyio.lowlevel.checkpoint)

    for _ in range(30):  # trio decides at random whether the step or the end comes first
        anyio.run(main, backend="trio")
