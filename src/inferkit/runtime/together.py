"""Steps that run at the same time: in tasks of an event loop, or in threads."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    Step = Callable[[], Coroutine[Any, Any, None]]

__all__ = ["in_tasks", "in_threads"]


async def in_tasks(steps: Sequence[Step], most: int) -> None:
    """Run steps in tasks, `most` at once. See `Runtime.side_by_side`."""
    import anyio

    waiting = iter(steps)
    failures: list[Exception] = []

    async def work() -> None:
        for step in waiting:
            try:
                await step()
            except Exception as failure:  # it would come out of the group in a group
                failures.append(failure)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(min(most, len(steps))):
            group.start_soon(work)
    if failures:
        raise failures[0]


def in_threads(steps: Sequence[Step], most: int, drive: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """Run steps in threads that see the context of this one, `most` at once. What runs in one is not cancelled."""
    from concurrent.futures import ThreadPoolExecutor

    def work(step: Step) -> None:
        drive(step())

    pool = ThreadPoolExecutor(min(most, len(steps)), thread_name_prefix="inferkit-together")
    try:
        for running in [pool.submit(copy_context().run, work, step) for step in steps]:
            running.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
