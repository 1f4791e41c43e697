"""Tells a worker that computes from one that hangs, without a word between the two.

The worker counts its steps (a token, a part of a prompt) in memory that both processes see. Whoever waits for it looks
there now and then, and at the processor's time that it has used.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from typing import IO

from inferkit.core.errors import ConfigurationError

__all__ = ["HANG_SECONDS", "Pulse", "Watch", "check_hang_seconds"]

HANG_SECONDS = 60.0
"""For how long a worker may use no time of a processor, where nobody says otherwise."""

BUSY_FACTOR = 10
"""How many times longer a single step may compute."""

_SHORTEST = 0.1
_LOOKS = 8
_SIZE = 8
_IDLE = 0.002
_PROCESS_CLOCK = 2


class Pulse:
    """A count of steps in shared memory. One process counts, and any may read."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._count = memoryview(self._memory).cast("Q")

    @classmethod
    def on(cls, file: IO[bytes]) -> Pulse:
        """Make one on an empty file."""
        os.ftruncate(file.fileno(), _SIZE)
        return cls(file.fileno())

    @property
    def count(self) -> int:
        """The steps so far."""
        return self._count[0]

    def beat(self) -> None:
        """Count a step."""
        self._count[0] += 1


class Watch:
    """One reader's looks at a worker, every `interval` seconds in which nothing came.

    It hangs when it made no step, and used no processor's time, at as many looks in a row as make `hang_seconds`; or
    when a single step has computed for ten times as long. Looks are counted rather than seconds: where both processes
    were halted together, only one of them falls into that time.
    """

    def __init__(self, pulse: Pulse, pid: int, hang_seconds: float) -> None:
        self.interval = hang_seconds / _LOOKS
        self._pulse = pulse
        self._pid = pid
        self._seen = (pulse.count, _processor_time(pid))
        self._idle = self._busy = 0

    def hangs(self) -> bool:
        """Look once more, `interval` seconds after the last look."""
        count, used = self._pulse.count, _processor_time(self._pid)
        before, used_before = self._seen
        self._seen = (count, used)
        if count != before:
            self._idle = self._busy = 0
        elif used is None or used_before is None or used - used_before > _IDLE:
            self._idle = 0
            self._busy += 1
        else:
            self._idle += 1
        return self._idle >= _LOOKS or self._idle + self._busy >= _LOOKS * BUSY_FACTOR


def check_hang_seconds(value: float) -> float:
    """Give it back. Raises `ConfigurationError` where it is no time that a worker could be given."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not _SHORTEST <= value < float("inf"):
        raise ConfigurationError(f"hang_timeout is in seconds, from {_SHORTEST}; got {value!r}")
    return float(value)


def _processor_time(pid: int) -> float | None:
    """Give the seconds that a process has used; None where the system does not tell of another process."""
    with contextlib.suppress(OSError, AttributeError):
        return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK)  # what clock_getcpuclockid(3) gives on Linux
    return None
