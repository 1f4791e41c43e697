"""A clock that stands still until a test sets it on, and on which calls that wait do not."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime
from inferkit.runtime.loops import AsyncRuntime

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FrozenClock"]


class FrozenClock:
    """The wall clock of inferkit, at the instant `at`, or at that of the machine.

    `with frozen.installed():` has the whole library go by it: the periods of budgets, the age of cached replies, prices
    that change. `advance(days=31)` and `at = ...` set it on. Where a call waits, before a retry for example, it is set
    on by as much at once; `waits` are those, in seconds.

    How long things take is measured on, so that a call which hangs still has its timeout.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._skipped = 0.0
        self._time = clock.time()
        self.waits: list[float] = []
        if at is not None:
            self.at = at

    @property
    def at(self) -> datetime:
        """The instant that it shows, in UTC."""
        return datetime.fromtimestamp(self._time, UTC)

    @at.setter
    def at(self, instant: datetime) -> None:
        if instant.tzinfo is None:
            raise ConfigurationError("an instant has a time zone: datetime(2026, 3, 1, tzinfo=UTC)")
        self._skipped += max(0.0, instant.timestamp() - self._time)
        self._time = instant.timestamp()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let so much time pass."""
        passed = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
        if passed < 0:
            raise ConfigurationError("time passes forwards; set `at` to go back")
        self._time += passed
        self._skipped += passed

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Have the library go by it. One at a time."""
        now, time = clock.now, clock.time
        sleep, async_sleep = DirectRuntime.sleep, AsyncRuntime.sleep

        async def wait(_: object, seconds: float) -> None:
            self._wait(seconds)

        async def async_wait(_: object, seconds: float) -> None:
            import anyio.lowlevel

            self._wait(seconds)
            await anyio.lowlevel.checkpoint()

        clock.now = lambda: now() + self._skipped
        clock.time = lambda: self._time
        DirectRuntime.sleep, AsyncRuntime.sleep = wait, async_wait  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            clock.now, clock.time = now, time
            DirectRuntime.sleep, AsyncRuntime.sleep = sleep, async_sleep  # type: ignore[method-assign]

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds=max(0.0, seconds))
