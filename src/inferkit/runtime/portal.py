"""Runs the stack on an event loop in a thread of its own, for layers that cannot do without one."""

from __future__ import annotations

import contextlib
import threading
import weakref
from concurrent.futures import CancelledError
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.loops import current_runtime, import_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from anyio.from_thread import BlockingPortal

    from inferkit.runtime.protocol import Runtime

__all__ = ["Portal"]

T = TypeVar("T")
_CLOSING_SECONDS = 5.0
_STOPPING_SECONDS = 2.0
_LOOK_UP_SECONDS = 0.5


class Portal:
    """An asyncio loop in a daemon thread, started at the first call. anyio's own would keep the interpreter alive.

    It ends when it is closed or dropped, or with the interpreter, and closes what was opened on it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._end: weakref.finalize[..., Portal] | None = None
        renew_after_fork(self)

    def run(self, step: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
        """Run a step there and wait for its result, in the caller's context.

        Ctrl-C reaches the thread that waits here. The step must not run on without it, and has to close what it
        opened before the interrupt is let through.
        """
        portal = self._started()
        import anyio

        scope: anyio.CancelScope | None = None
        left = False
        over = threading.Event()

        async def there() -> T:
            nonlocal scope
            try:
                with anyio.CancelScope() as scope:
                    if left:
                        scope.cancel()
                    return await step(current_runtime())
                raise CancelledError
            finally:
                over.set()

        def leave() -> None:
            nonlocal left
            left = True
            if scope is not None:
                scope.cancel()

        try:
            result = _result(portal.start_task_soon(there))
        except BaseException:
            if not over.is_set():
                portal.start_task_soon(leave)
                over.wait(_CLOSING_SECONDS)
            raise
        return result

    def _started(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                ready: list[BlockingPortal] = []
                running = threading.Event()
                thread = threading.Thread(
                    target=Context().run, args=(_serve, ready, running), name="inferkit-portal", daemon=True
                )  # in an empty context, since it outlives the budget of whoever makes the first call
                thread.start()
                running.wait()
                self._portal = ready[0]
                self._end = weakref.finalize(self, _stop, weakref.ref(self), self._portal, thread)
            return self._portal

    def renew(self) -> None:
        """Start anew in a forked child, which has no other threads."""
        self._lock = threading.Lock()
        self._portal = None
        if self._end is not None:
            self._end.detach()

    def close(self) -> None:
        """Stop the loop."""
        with self._lock:
            self._portal = None
        if self._end is not None:
            self._end()


def _result(running: Future[T]) -> T:
    """Wait for a result, and look up in between: a signal that comes just before a thread waits does not wake it."""
    while True:
        try:
            return running.result(_LOOK_UP_SECONDS)
        except TimeoutError:
            if running.done():  # just now, or it is the step's own error
                return running.result()


def _stop(owner: weakref.ref[Portal], portal: BlockingPortal, thread: threading.Thread) -> None:
    """Stop the loop. Whoever closes it waits for that, and so does the exit; where it was dropped nobody may wait."""
    with contextlib.suppress(RuntimeError):  # it stopped already
        portal.start_task_soon(portal.stop)
        if owner() is not None:
            thread.join(_STOPPING_SECONDS)


def _serve(ready: list[BlockingPortal], running: threading.Event) -> None:
    import_loops()
    with imports.lock:
        import anyio
        from anyio.from_thread import BlockingPortal

    async def serve() -> None:
        async with BlockingPortal() as portal:
            ready.append(portal)
            running.set()
            await portal.sleep_until_stopped()

    anyio.run(serve)
