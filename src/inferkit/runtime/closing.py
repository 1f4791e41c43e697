"""Runs a closing step on an asyncio loop to its end, whatever cancels who waits for it, and whatever ends the loop."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from inferkit.runtime import clock
from inferkit.runtime.scheduler import Timer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["look_after", "wait_for_the_end"]

_LOOK_SECONDS = 1.0


async def wait_for_the_end(task: asyncio.Task[None], loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Wait for a task whatever cancels this one meanwhile, for some seconds; then let the cancellation through.

    `asyncio.run` cancels every task that it knows when its main one has ended. It is not told of the one that is waited
    for, which would be left in the middle; it waits for this one instead.
    """
    import asyncio

    asyncio._unregister_task(task)  # noqa: SLF001 - documented, for those who extend asyncio
    until = loop.time() + seconds
    cancelled: asyncio.CancelledError | None = None
    with contextlib.ExitStack() as shielded:
        while not task.done() and loop.time() < until:
            try:
                await asyncio.wait([task], timeout=until - loop.time())
            except asyncio.CancelledError as error:
                if cancelled is None:  # anyio's come again and again; a scope that was left open lives for ever
                    shielded.enter_context(_shield())
                cancelled = error
    try:
        if cancelled is not None:
            raise cancelled
        if task.done():
            task.result()
    finally:
        cancelled = None  # its traceback holds this frame


def look_after(task: asyncio.Task[None], loop: asyncio.AbstractEventLoop, elsewhere: Callable[[], object]) -> None:
    """Have `elsewhere` called should the loop be closed before the task is done."""

    def look() -> None:
        if loop.is_closed():
            elsewhere()
        elif not task.done():
            look_after(task, loop, elsewhere)

    timer = Timer(clock.now() + _LOOK_SECONDS, look)
    timer.start()
    task.add_done_callback(lambda _: timer.stop())


def _shield() -> contextlib.AbstractContextManager[object]:
    import anyio

    return anyio.CancelScope(shield=True)
