"""Runs the stack on an event loop: asyncio or trio, through anyio.

It is longer than other modules, since it is `Runtime` whole: a class with one short method for each way of waiting.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import socket
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ConfigurationError, DeadlineExceeded
from inferkit.runtime import clock, imports
from inferkit.runtime.closing import look_after, wait_for_the_end
from inferkit.runtime.direct import drive, endings
from inferkit.runtime.together import in_tasks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    import anyio

    from inferkit.runtime.protocol import Lock, Runtime, Threads

__all__ = ["AsyncRuntime", "become_current", "current_runtime", "import_loops"]

T = TypeVar("T")
_log = logging.getLogger("inferkit")
_CLOSING_SECONDS = 5.0


class AsyncRuntime:
    """Runs the stack on the event loop it was made on: asyncio, or trio where `trio_token` is given."""

    blocking = False
    endings = endings

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, trio_token: Any = None) -> None:
        self._loop = loop
        self._trio_token = trio_token
        self.place: Any = trio_token if loop is None else loop
        self._background: set[asyncio.Task[Any]] = set()
        self._limiters: weakref.WeakKeyDictionary[Threads, anyio.CapacityLimiter] = weakref.WeakKeyDictionary()

    def now(self) -> float:
        """See `Clock`."""
        return clock.now()

    def time(self) -> float:
        """See `Clock`."""
        return clock.time()

    async def sleep(self, seconds: float) -> None:
        """See `Runtime`."""
        import anyio

        await anyio.sleep(seconds)

    def lock(self) -> Lock:
        """See `Runtime`."""
        return _LoopLock(self)

    async def within(self, deadline: float | None, step: Awaitable[T]) -> T:
        """See `Runtime`."""
        if deadline is None:
            return await step
        import anyio

        with anyio.move_on_after(deadline - clock.now()):
            return await step
        raise DeadlineExceeded

    async def shield(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `Runtime`. The step runs in a task of its own, which no cancellation of the caller reaches."""
        if self._loop is None:
            return await self._shield_on_trio(step)
        import asyncio

        task = self._spawn(step())
        return await asyncio.shield(task)

    async def _shield_on_trio(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        import trio

        done = trio.Event()
        result: list[T] = []
        failure: list[BaseException] = []

        async def run() -> None:
            try:
                result.append(await step())
            except BaseException as error:
                failure.append(error)
            done.set()

        trio.lowlevel.spawn_system_task(run)
        await done.wait()
        if failure:
            raise failure[0]
        return result[0]

    async def conclude(self, step: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """See `Runtime`."""
        if not self._is_running_here():
            self._end_elsewhere(step)
        elif self._loop is None:
            import trio

            with trio.move_on_after(_CLOSING_SECONDS, shield=True):
                await self._shield_on_trio(lambda: step(self))
        else:
            task = self._spawn(step(self))
            look_after(task, self._loop, functools.partial(self._go_on_elsewhere, task, step))
            await wait_for_the_end(task, self._loop, _CLOSING_SECONDS)

    def _go_on_elsewhere(self, task: asyncio.Task[None], step: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        self._background.discard(task)  # so that whoever waits for it is freed
        self._end_elsewhere(step)

    def _end_elsewhere(self, step: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        self.endings.take(lambda: drive(step(self.endings.runtime)))

    def _is_running_here(self) -> bool:
        """Say whether this runs on the place it was made for, and not in another one or where none is running."""
        if self._loop is None:
            with contextlib.suppress(RuntimeError):
                import trio

                return bool(trio.lowlevel.current_trio_token() is self._trio_token)
            return False
        import asyncio

        with contextlib.suppress(RuntimeError):
            return asyncio.get_running_loop() is self._loop
        return False

    def _spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        assert self._loop is not None
        task = self._loop.create_task(coroutine)
        self._background.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.debug("a background step failed: %s", type(task.exception()).__name__)

    async def side_by_side(self, steps: Sequence[Callable[[], Coroutine[Any, Any, None]]], most: int) -> None:
        """See `Runtime`. In tasks."""
        await in_tasks(steps, most)

    async def run_blocking(self, function: Callable[..., T], *args: Any, apart: Threads | None = None) -> T:
        """See `Runtime`."""
        import anyio.to_thread

        limiter = None if apart is None else self._limiter(apart)
        return await anyio.to_thread.run_sync(functools.partial(function, *args), limiter=limiter)

    def _limiter(self, threads: Threads) -> anyio.CapacityLimiter:
        import anyio

        limiter = self._limiters.get(threads)
        if limiter is None:
            limiter = self._limiters[threads] = anyio.CapacityLimiter(threads.most)
        return limiter

    async def wait_readable(self, sock: socket.socket, timeout: float | None = None) -> bool:
        """See `Runtime`."""
        import anyio

        try:
            if timeout is None:
                await anyio.wait_readable(sock)
                return True
            with anyio.move_on_after(timeout):
                await anyio.wait_readable(sock)
                return True
        except anyio.ClosedResourceError:
            return True  # woken because it is being closed: the read that follows says so
        return False

    def wake(self, sock: socket.socket) -> None:
        """See `Runtime`."""
        import anyio

        with contextlib.suppress(OSError, RuntimeError):
            anyio.notify_closing(sock)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    def call_later_from_anywhere(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Runtime`."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to run there
                self._loop.call_soon_threadsafe(self._begin_at_last, step)
            return
        import trio

        async def quietly() -> None:
            try:
                await step()
            except Exception as error:
                _log.debug("a background step failed: %s", type(error).__name__)

        def begin() -> None:
            with contextlib.suppress(RuntimeError):  # the run is at its end and takes no more tasks
                trio.lowlevel.spawn_system_task(quietly)

        with contextlib.suppress(trio.RunFinishedError):
            self._trio_token.run_sync_soon(begin)

    def _begin_at_last(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a step on the loop, which may be in its last round: then nobody is to hear that it never ran."""
        assert self._loop is not None
        coroutine = step()
        task = self._spawn(coroutine)

        def never_ran() -> None:
            self._background.discard(task)
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio's gather
                coroutine.close()

        look_after(task, self._loop, never_ran)


class _LoopLock:
    __slots__ = ("_lock", "_runtime", "release")

    def __init__(self, runtime: AsyncRuntime) -> None:
        import anyio

        self._lock = anyio.Semaphore(1)  # unlike anyio's Lock, any task may release it
        self._runtime = runtime
        self.release: Callable[[], None] = self._lock.release

    def acquire_nowait(self) -> bool:
        if not self._lock.value:
            return False
        self._lock.acquire_nowait()
        return True

    async def acquire(self, deadline: float | None = None) -> None:
        if self.acquire_nowait():  # as nearly always: each chunk of a stream that may be shared comes by here
            return
        if deadline is None:
            await self._lock.acquire()
        else:
            await self._runtime.within(deadline, self._lock.acquire())


def import_loops() -> None:
    """Import what waits on event loops: on one, what belongs to its kind; elsewhere, what belongs to all that are here.

    anyio imports that when it is first used on a loop of the kind, and has no other way to be told to.
    """
    with imports.lock:
        import anyio
        import anyio.from_thread
        import anyio.lowlevel
        import anyio.to_thread

        if _is_on_a_loop():
            anyio.get_cancelled_exc_class()
        else:
            for kind in {"asyncio", "trio"} & sys.modules.keys():
                anyio.run(anyio.lowlevel.checkpoint, backend=kind)


def _is_on_a_loop() -> bool:
    import asyncio

    with contextlib.suppress(RuntimeError):
        return bool(asyncio.get_running_loop())
    with contextlib.suppress(ConfigurationError):
        return bool(_trio_token())
    return False


_current = threading.local()


def current_runtime() -> AsyncRuntime:
    """Give the runtime of the event loop that is running in this thread."""
    import asyncio

    try:
        place: Any = asyncio.get_running_loop()
    except RuntimeError:
        place = None
    if place is not None:
        known: AsyncRuntime | None = getattr(_current, "runtime", None)
        if known is not None and known._loop is place:  # noqa: SLF001 - its own module
            return known
        runtime = AsyncRuntime(loop=place)
    else:
        runtime = AsyncRuntime(trio_token=_trio_token())
    import_loops()
    _current.runtime = runtime
    return runtime


def become_current(runtime: AsyncRuntime) -> None:
    """Have a runtime serve the event loop that it was made for, as long as that runs in this thread.

    For one of a kind of its own: a simulation's, whose time is not the machine's.
    """
    _current.runtime = runtime


def _trio_token() -> Any:
    trio = sys.modules.get("trio")
    if trio is not None:
        with contextlib.suppress(RuntimeError):
            return trio.lowlevel.current_trio_token()
    raise ConfigurationError(
        "AsyncClient needs a running event loop (asyncio or trio); in plain code use inferkit.Client"
    )
