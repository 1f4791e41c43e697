"""The few things that differ between an event loop and plain threads: time, locks, waiting, closing.

Layers and adapters are coroutines that reach the outside world only through a `Runtime`. Under `DirectRuntime` none of
its methods ever suspends, so `drive` can run such a coroutine to its result with a single `send`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from inferkit._errors import ConfigurationError, DeadlineExceeded

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["AsyncRuntime", "DirectRuntime", "Lock", "Runtime", "current_runtime", "drive"]

T = TypeVar("T")
_log = logging.getLogger("inferkit")
_CLOSING_SECONDS = 5.0


class Lock(Protocol):
    """A mutex that belongs to one runtime."""

    async def acquire(self, deadline: float | None = None) -> None:
        """Take the lock; raise `DeadlineExceeded` if it is not free by then."""

    def release(self) -> None:
        """Give it back."""


class Runtime(Protocol):
    """How a coroutine of the stack waits.

    `blocking` is true where waiting blocks the thread. `place` is the event loop (under trio, the token of the run)
    that whatever was opened here belongs to, and None where there is none.
    """

    blocking: bool
    place: Any

    def now(self) -> float:
        """Seconds on a clock that never goes back; deadlines are instants of it."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def lock(self) -> Lock:
        """Make a lock."""

    async def within(self, deadline: float | None, step: Awaitable[T]) -> T:
        """Await a step, and raise `DeadlineExceeded` where it can be interrupted and is not over in time."""

    async def shield(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a step to its end even if the caller is cancelled, and leaves, meanwhile."""

    async def conclude(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a closing step to its end before a cancellation is let through; after some seconds, beside it."""

    async def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking function without stopping anybody else."""

    async def wait_readable(self, sock: socket.socket, timeout: float | None = None) -> bool:
        """Wait until a socket can be read; False if `timeout` seconds passed."""

    def wake(self, sock: socket.socket) -> None:
        """Wake whoever waits for this socket, because it is about to be closed."""

    def call_later_from_anywhere(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a step run where this runtime runs, from any thread; dropped if that place is gone."""


def _expired() -> DeadlineExceeded:
    return DeadlineExceeded("the call did not end within its timeout; pass a longer timeout= or fewer tokens")


class DirectRuntime:
    """Runs the stack in the caller's own thread, without an event loop."""

    blocking = True
    place = None

    def now(self) -> float:
        """See `Runtime`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Runtime`."""
        time.sleep(seconds)

    def lock(self) -> Lock:
        """See `Runtime`."""
        return _ThreadLock()

    async def within(self, deadline: float | None, step: Awaitable[T]) -> T:
        """See `Runtime`. A blocking read cannot be interrupted from here: adapters keep `request.deadline`."""
        if deadline is not None and time.monotonic() >= deadline:
            cast("Coroutine[Any, Any, T]", step).close()
            raise _expired()
        return await step

    async def shield(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `Runtime`. Nothing can cancel a thread."""
        return await step()

    async def conclude(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Runtime`. Nothing can cancel a thread."""
        await step()

    async def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """See `Runtime`."""
        return function(*args)

    async def wait_readable(self, sock: socket.socket, timeout: float | None = None) -> bool:
        """See `Runtime`."""
        if not hasattr(select, "poll"):
            return bool(select.select([sock], [], [], timeout)[0])
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def wake(self, sock: socket.socket) -> None:
        """See `Runtime`. Shutting it down ends a poll in another thread; closing it would not."""
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    def call_later_from_anywhere(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Runtime`. Any thread will do."""
        drive(step())


class _ThreadLock:
    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def acquire(self, deadline: float | None = None) -> None:
        wait = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._lock.acquire(timeout=wait):
            raise _expired()

    def release(self) -> None:
        self._lock.release()


class AsyncRuntime:
    """Runs the stack on the event loop it was made on: asyncio, or trio where `trio_token` is given."""

    blocking = False

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, trio_token: Any = None) -> None:
        self._loop = loop
        self._trio_token = trio_token
        self.place: Any = trio_token if loop is None else loop
        self._background: set[asyncio.Task[Any]] = set()

    def now(self) -> float:
        """See `Runtime`."""
        return time.monotonic()

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

        with anyio.move_on_after(deadline - time.monotonic()):
            return await step
        raise _expired()

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

    async def conclude(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Runtime`."""
        import anyio

        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            await self.shield(step)

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

    async def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """See `Runtime`."""
        import anyio.to_thread

        return await anyio.to_thread.run_sync(functools.partial(function, *args))

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
                self._loop.call_soon_threadsafe(lambda: self._spawn(step()))
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


class _LoopLock:
    __slots__ = ("_lock", "_runtime")

    def __init__(self, runtime: AsyncRuntime) -> None:
        import anyio

        self._lock = anyio.Semaphore(1)  # unlike anyio's Lock, any task may release it
        self._runtime = runtime

    async def acquire(self, deadline: float | None = None) -> None:
        if self._lock.value:  # free, as nearly always: each chunk of a stream that may be shared comes by here
            self._lock.acquire_nowait()
        elif deadline is None:
            await self._lock.acquire()
        else:
            await self._runtime.within(deadline, self._lock.acquire())

    def release(self) -> None:
        self._lock.release()


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
    _current.runtime = runtime
    return runtime


def _trio_token() -> Any:
    import sys

    trio = sys.modules.get("trio")
    if trio is not None:
        with contextlib.suppress(RuntimeError):
            return trio.lowlevel.current_trio_token()
    raise ConfigurationError(
        "AsyncClient needs a running event loop (asyncio or trio); in plain code use inferkit.Client"
    )


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result.

    Raises `ConfigurationError` that names the code that did wait for an event loop.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    except RuntimeError as error:
        if not _misses_a_loop(error):
            raise
        raise _needs_a_loop(_raiser(error)) from error
    culprit = _suspended(coroutine)
    coroutine.close()
    raise _needs_a_loop(culprit)


def _needs_a_loop(culprit: str) -> ConfigurationError:
    return ConfigurationError(
        f"{culprit} waits for an event loop, and Client runs without one; pass Client(portal=True), "
        "use AsyncClient, or wait through request.runtime"
    )


def _misses_a_loop(error: RuntimeError) -> bool:
    """Say whether an event-loop library complains that it has no loop; each has its own way to do so."""
    return type(error).__name__ in {"NoEventLoopError", "AsyncLibraryNotFoundError"} or str(error) in {
        "no running event loop",
        "must be called from async context",
    }


_LOOP_LIBRARIES = ("/asyncio/", "/anyio/", "/trio/", "/sniffio/")


def _last_outside(names: list[tuple[str, str]]) -> str:
    own = [name for file, name in names if not any(part in file.replace("\\", "/") for part in _LOOP_LIBRARIES)]
    return own[-1] if own else "a layer"


def _raiser(error: BaseException) -> str:
    """Name the function that called into the event-loop library."""
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append((trace.tb_frame.f_code.co_filename, trace.tb_frame.f_code.co_qualname))
        trace = trace.tb_next
    return _last_outside(names)


def _suspended(coroutine: Any) -> str:
    """Name the coroutine that waits."""
    names = []
    while coroutine is not None and hasattr(coroutine, "cr_code"):
        names.append((coroutine.cr_code.co_filename, coroutine.cr_code.co_qualname))
        coroutine = coroutine.cr_await
    return _last_outside(names)
