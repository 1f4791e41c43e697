"""Two ways to one result, the second begun only where the first takes long: tasks on a loop, threads without one."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.runtime.direct import drive

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from inferkit.runtime.protocol import Runtime

    Step = Callable[[], Coroutine[Any, Any, Any]]
    Lose = Callable[[Any], Coroutine[Any, Any, None]]

__all__ = ["race"]

T = TypeVar("T")
_log = logging.getLogger("inferkit")


async def race(
    runtime: Runtime,
    first: Callable[[], Coroutine[Any, Any, T]],
    second: Callable[[], Coroutine[Any, Any, T]],
    *,
    after: float,
    lose: Callable[[T], Coroutine[Any, Any, None]],
) -> T:
    """Run a step, and a second one beside it where the first has not ended after so many seconds.

    Gives the result of whichever has one first, and raises what the first one raised where neither has. The other is
    cancelled on a loop. A thread cannot be: there it ends in its own time. What it gives all the same is passed to
    `lose`.
    """
    steps = _Race(first, second, after)
    try:
        if runtime.blocking:
            await _in_threads(steps, lose)
        elif hasattr(runtime.place, "call_later"):
            await _on_asyncio(steps, runtime.place)
        else:
            await _in_tasks(steps)
        result: T = await _decided(steps, lose)
        return result
    finally:  # an error's traceback holds what the steps know, and would keep the reply alive
        steps.done.clear()
        steps.failed.clear()


class _Race:
    """Two steps, and what came of them: results and errors by place, in the order in which they came."""

    __slots__ = ("after", "done", "failed", "first", "second")

    def __init__(self, first: Step, second: Step, after: float) -> None:
        self.first = first
        self.second = second
        self.after = after
        self.done: dict[int, Any] = {}
        self.failed: dict[int, Exception] = {}

    async def run(self, place: int) -> None:
        """Run one of the steps. It is cancelled as anything else is."""
        try:
            self.done[place] = await (self.second if place else self.first)()
        except Exception as error:
            self.failed[place] = error


async def _on_asyncio(steps: _Race, loop: asyncio.AbstractEventLoop) -> None:
    """Run the first step where it is asked for, so that one which is not late costs a timer and no task."""
    import asyncio

    own: Any = asyncio.current_task()
    cancelled_before: int = own.cancelling()
    is_first_over = is_called_off = False
    beside: asyncio.Task[None] | None = None

    async def run() -> None:
        nonlocal is_called_off
        await steps.run(1)
        if steps.done and not is_first_over:
            is_called_off = own.cancel()

    def start() -> None:
        nonlocal beside
        beside = loop.create_task(run())

    timer = loop.call_later(steps.after, start)
    try:
        try:
            await steps.run(0)
        except asyncio.CancelledError:
            if not is_called_off or own.uncancel() > cancelled_before:  # somebody else cancelled it
                raise
        else:
            if is_called_off:  # and it came to its end all the same
                own.uncancel()
        is_first_over = True
        if beside is not None and not steps.done:
            await asyncio.wait([beside])
    finally:
        is_first_over = True
        timer.cancel()
        if beside is not None and not beside.done():
            await _call_off(beside)


async def _call_off(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it has come to its end."""
    import asyncio

    import anyio

    task.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait([task])


async def _in_tasks(steps: _Race) -> None:
    """Run each step in a task: trio has no timer without one."""
    import anyio

    changed = anyio.Event()

    async def run(place: int) -> None:
        await steps.run(place)
        changed.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run, 0)
        with anyio.move_on_after(steps.after):
            await changed.wait()
        if not steps.done and not steps.failed:
            group.start_soon(run, 1)
            while not steps.done and len(steps.failed) < 2:  # noqa: PLR2004 - both
                await changed.wait()
                changed = anyio.Event()
        group.cancel_scope.cancel()


async def _in_threads(steps: _Race, lose: Lose) -> None:
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    lock = threading.Lock()
    done, failed = steps.done, steps.failed
    over = False

    def run(place: int, step: Step) -> None:
        try:
            result = drive(step())
        except BaseException as error:
            failed[place] = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
        else:
            with lock:
                late = over
                if not late:
                    done[place] = result
            if late:
                _give_up(lose, result)
        told.put(place)

    def start(place: int, step: Step) -> None:
        work = contextvars.copy_context().run
        threading.Thread(target=work, args=(run, place, step), name="inferkit-race", daemon=True).start()

    running = 1
    start(0, steps.first)
    try:
        with_time = True
        while not done and len(failed) < running:
            try:
                told.get(timeout=steps.after if with_time else None)
            except queue.Empty:
                start(1, steps.second)
                running = 2
            with_time = False
    finally:
        with lock:
            over = True


async def _decided(steps: _Race, lose: Lose) -> Any:
    """Give the result that came first; raise the first step's error where there is none."""
    done, failed = steps.done, steps.failed
    winner = next(iter(done), None)
    if winner is None:
        raise failed.get(0) or failed[1]
    for place, result in done.items():
        if place != winner:
            await lose(result)
    return done[winner]


def _give_up(lose: Lose, result: Any) -> None:
    try:
        drive(lose(result))
    except Exception as error:  # nobody waits for it any more
        _log.debug("what lost a race could not be given up: %s", type(error).__name__)
