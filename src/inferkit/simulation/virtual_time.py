"""An event loop on which waiting takes no time: where nothing is left to do now, it is later at once.

Everything that runs on it is the real thing: asyncio's tasks and timers, anyio's deadlines, and what reads the clock of
the library. Only the two clocks are others, and threads are done without, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
import selectors
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.runtime import clock, writer
from inferkit.runtime.loops import AsyncRuntime, become_current

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from inferkit.runtime.protocol import Threads

__all__ = ["VirtualTime", "run_in"]

T = TypeVar("T")
_STUCK_SECONDS = 60.0  # real ones, in which nothing was left to do and nothing came from outside


class VirtualTime:
    """Both clocks, which stand still until they are set on. `start` is in seconds since the epoch.

    The one that never goes back goes on from the machine's, since what is older than the simulation has read that.
    """

    def __init__(self, start: float) -> None:
        self._began = self._now = clock.now()
        self._start = start

    def now(self) -> float:
        """See `Clock`."""
        return self._now

    def time(self) -> float:
        """See `Clock`."""
        return self._start + (self._now - self._began)

    @property
    def elapsed(self) -> float:
        """The seconds since the start."""
        return self._now - self._began

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have the whole library go by it, and do at once what it leaves to a thread for the disk."""
        now, time, disk = clock.now, clock.time, writer.disk
        clock.now, clock.time, writer.disk = self.now, self.time, _AtOnce()  # type: ignore[assignment]
        try:
            yield
        finally:
            clock.now, clock.time, writer.disk = now, time, disk


class _AtOnce:
    """Stands for the thread that waits for the disk: a run would be another one each time if that took part."""

    def take(self, job: Callable[[], object]) -> None:
        job()

    def flush(self, timeout: float | None = None) -> bool:
        del timeout
        return True


class _Selector(selectors.DefaultSelector):
    """Looks for what has come from outside, and instead of waiting for it sets the clock on."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if timeout is None:  # no timer runs: whatever comes next comes from another thread
            found = super().select(_STUCK_SECONDS)
            if not found:
                raise RuntimeError("nothing is left to happen in the simulation, and it is not over")
            return found
        self._time.advance(timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    _is_made = False

    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        super().__init__(_Selector(time))
        self._is_made = True

    def __del__(self) -> None:
        if self._is_made:  # an interrupt in the midst of that leaves one that cannot be closed
            super().__del__()

    def time(self) -> float:
        return self._virtual.now()


class _Runtime(AsyncRuntime):
    """Runs what blocks here and now, since threads come back at an instant of their own."""

    async def run_blocking(self, function: Callable[..., T], *args: Any, apart: Threads | None = None) -> T:
        del apart
        return function(*args)


def run_in(time: VirtualTime, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end on an event loop with this time, and give its result."""

    async def run() -> T:
        become_current(_Runtime(loop=asyncio.get_running_loop()))
        return await main()

    with time.installed(), asyncio.Runner(loop_factory=lambda: _Loop(time)) as runner:
        return runner.run(run())
