"""The few things that differ between an event loop and plain threads: time, locks, waiting, closing.

Layers and adapters are coroutines that reach the outside world only through a `Runtime`: `DirectRuntime` blocks the
caller's thread and never suspends, `AsyncRuntime` waits on asyncio or trio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

__all__ = ["Abandonable", "Clock", "Endings", "Lock", "Runtime", "Threads"]

T = TypeVar("T")


class Clock(Protocol):
    """Gives the time, of which there are two: one for how long things take, one for when they happen."""

    def now(self) -> float:
        """Seconds on a clock that never goes back; deadlines are instants of it."""

    def time(self) -> float:
        """Seconds since the epoch."""


class Lock(Protocol):
    """A mutex that belongs to one runtime."""

    async def acquire(self, deadline: float | None = None) -> None:
        """Take the lock; raise `DeadlineExceeded` if it is not free by then."""

    @property
    def acquire_nowait(self) -> Callable[[], bool]:
        """Take the lock if it is free, and say whether it was."""

    @property
    def release(self) -> Callable[[], None]:
        """Give it back."""


class Abandonable(Protocol):
    """Something that can be ended from outside the place it belongs to, any number of times."""

    def abandon(self) -> None:
        """End it, if it has not ended."""


class Endings(Protocol):
    """Ends what was dropped without being closed, outside the place that it belonged to.

    `generation` is how many forks lie between this process and the first one: what an earlier generation opened is not
    this one's to end. `runtime` is where such an ending runs.
    """

    @property
    def generation(self) -> int:
        """The number of forks."""

    @property
    def runtime(self) -> Runtime:
        """Where an ending runs."""

    def take(self, ending: Callable[[], object], /) -> None:
        """Have `ending` called soon, from a thread of its own. May be called from a destructor."""

    def until_exit(self, stream: Abandonable, /) -> None:
        """Have a stream abandoned at the interpreter's exit if somebody still holds it then."""

    def finish(self, waiting: Awaitable[None], /) -> None:
        """Await a step of an ending to its end, here and now; it waits through `runtime` alone."""


class Threads:
    """So many threads at most, on each event loop, for one kind of waiting."""

    def __init__(self, most: int) -> None:
        self.most = most


class Runtime(Clock, Protocol):
    """How a coroutine of the stack waits.

    `blocking` is true where waiting blocks the thread. `place` is the event loop (under trio, the token of the run)
    that whatever was opened here belongs to, and None where there is none.
    """

    blocking: bool
    place: Any

    @property
    def endings(self) -> Endings:
        """What ends things that were dropped here."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def lock(self) -> Lock:
        """Make a lock."""

    async def within(self, deadline: float | None, step: Awaitable[T]) -> T:
        """Await a step, and raise `DeadlineExceeded` where it can be interrupted and is not over in time."""

    async def shield(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a step to its end even if the caller is cancelled, and leaves, meanwhile."""

    async def conclude(self, step: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """Run a closing step to its end before a cancellation is let through; after some seconds, beside it.

        The step is given the runtime that it runs on. That is the one of the endings where this one's place does not
        run here, or was closed before the step was over: then it is called again, to go on where it was left off.
        """

    async def side_by_side(self, steps: Sequence[Callable[[], Coroutine[Any, Any, None]]], most: int) -> None:
        """Run steps at the same time, `most` at once, begun in their order.

        One that raises ends it: the others are cancelled where they can be, and none is begun any more.
        """

    async def run_blocking(self, function: Callable[..., T], *args: Any, apart: Threads | None = None) -> T:
        """Run a blocking function without stopping anybody else.

        `apart` has it run in threads that are not the application's, so that what waits there keeps none of its own.
        """

    async def wait_readable(self, sock: socket.socket, timeout: float | None = None) -> bool:
        """Wait until a socket can be read; False if `timeout` seconds passed."""

    def wake(self, sock: socket.socket) -> None:
        """Wake whoever waits for this socket, because it is about to be closed."""

    def call_later_from_anywhere(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a step run where this runtime runs, from any thread; dropped if that place is gone."""
