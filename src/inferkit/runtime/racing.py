"""Two ways to one result, the second begun only where the first takes long: tasks on a loop, threads without one."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.runtime.direct import drive

if TYPE_CHECKING:
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
    run = _in_threads if runtime.blocking else _in_tasks
    result: T = await run(first, second, after, lose)
    return result


async def _in_tasks(first: Step, second: Step, after: float, lose: Lose) -> Any:
    import anyio

    done: dict[int, Any] = {}
    failed: dict[int, Exception] = {}
    changed = anyio.Event()

    async def run(place: int, step: Step) -> None:
        try:
            done[place] = await step()
        except Exception as error:
            failed[place] = error
        changed.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run, 0, first)
        with anyio.move_on_after(after):
            await changed.wait()
        if not done and not failed:
            group.start_soon(run, 1, second)
            while not done and len(failed) < 2:  # noqa: PLR2004 - both
                await changed.wait()
                changed = anyio.Event()
        group.cancel_scope.cancel()
    return await _decided(done, failed, lose)


async def _in_threads(first: Step, second: Step, after: float, lose: Lose) -> Any:
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    lock = threading.Lock()
    done: dict[int, Any] = {}
    failed: dict[int, Exception] = {}
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
    start(0, first)
    try:
        with_time = True
        while not done and len(failed) < running:
            try:
                told.get(timeout=after if with_time else None)
            except queue.Empty:
                start(1, second)
                running = 2
            with_time = False
    finally:
        with lock:
            over = True
    return await _decided(done, failed, lose)


async def _decided(done: dict[int, Any], failed: dict[int, Exception], lose: Lose) -> Any:
    """Give the result that came first; raise the first step's error where there is none."""
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
