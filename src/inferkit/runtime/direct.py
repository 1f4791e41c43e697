"""Runs the stack in the caller's own thread: its waiting blocks, so its coroutines never suspend."""

from __future__ import annotations

import contextlib
import functools
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from inferkit.core.errors import ConfigurationError, DeadlineExceeded
from inferkit.runtime import clock, forks, imports, writer
from inferkit.runtime.together import in_threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from inferkit.runtime.protocol import Abandonable, Endings, Lock, Runtime, Threads

__all__ = ["DirectRuntime", "directly", "drive", "endings"]

T = TypeVar("T")


class DirectRuntime:
    """Runs the stack in the caller's own thread, without an event loop."""

    blocking = True
    place = None

    endings: ClassVar[Endings]  # set below

    def now(self) -> float:
        """See `Clock`."""
        return clock.now()

    def time(self) -> float:
        """See `Clock`."""
        return clock.time()

    async def sleep(self, seconds: float) -> None:
        """See `Runtime`."""
        clock.sleep(seconds)

    def lock(self) -> Lock:
        """See `Runtime`."""
        return _ThreadLock()

    async def within(self, deadline: float | None, step: Awaitable[T]) -> T:
        """See `Runtime`. A blocking read cannot be interrupted from here: adapters keep `request.deadline`."""
        if deadline is not None and clock.now() >= deadline:
            cast("Coroutine[Any, Any, T]", step).close()
            raise DeadlineExceeded
        return await step

    async def shield(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `Runtime`. Nothing can cancel a thread."""
        return await step()

    async def conclude(self, step: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """See `Runtime`. Nothing can cancel a thread."""
        await step(self)

    async def side_by_side(self, steps: Sequence[Callable[[], Coroutine[Any, Any, None]]], most: int) -> None:
        """See `Runtime`. In threads, which see the context of this one; what they run blocks, and is not cancelled."""
        if min(most, len(steps)) < 2:  # noqa: PLR2004 - a thread for it would be one more
            for step in steps:
                await step()
            return
        imports.load("concurrent.futures.thread")
        in_threads(steps, most, drive)

    async def run_blocking(self, function: Callable[..., T], *args: Any, apart: Threads | None = None) -> T:  # noqa: ARG002
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
    __slots__ = ("_lock", "acquire_nowait", "release")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire_nowait = functools.partial(self._lock.acquire, blocking=False)
        self.release = self._lock.release  # these two are asked for with every chunk

    async def acquire(self, deadline: float | None = None) -> None:
        wait = -1 if deadline is None else max(0.0, deadline - clock.now())
        if not self._lock.acquire(timeout=wait):
            raise DeadlineExceeded


def directly(step: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function of a runtime in the caller's own thread, and return its result."""
    return drive(step(endings.runtime))


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result.

    Raises `ConfigurationError` that names the code that did wait for an event loop.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except RuntimeError as error:
        if not _misses_a_loop(error):
            raise
        raise _needs_a_loop(_raiser(error)) from error
    culprit = _suspended(coroutine)
    coroutine.close()
    raise _needs_a_loop(culprit)


class _Endings:
    """What is dropped is ended by the writer's thread, which blocks."""

    runtime: Runtime = DirectRuntime()

    def __init__(self) -> None:
        self.follow_fork()
        forks.in_child(self.follow_fork)

    def follow_fork(self) -> None:
        self.generation = forks.generation

    def take(self, ending: Callable[[], object], /) -> None:
        writer.endings.take(ending)

    def until_exit(self, stream: Abandonable, /) -> None:
        writer.until_exit(stream)

    def finish(self, waiting: Awaitable[None], /) -> None:
        drive(_wait_for(waiting))


endings: Endings = _Endings()
DirectRuntime.endings = endings


async def _wait_for(waiting: Awaitable[None]) -> None:
    await waiting


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
