"""Long work in Python that lets the application's other threads run: one that computes keeps Python's lock for itself.

A call takes that lock a dozen times, and would wait some milliseconds each time for a thread that computes without end.
"""

from __future__ import annotations

import threading

from inferkit.runtime import clock

__all__ = ["Pauses"]

_WORK_SECONDS = 0.0002
_PAUSE_SECONDS = 0.00005  # the system makes some 0.1 ms of it, in which a call's step is done


class Pauses:
    """Called at each step of such work, it pauses for a moment now and then, unless this thread is the only one."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        alone = threading.active_count() == 1
        self._until = float("inf") if alone else clock.now() + _WORK_SECONDS

    def __call__(self) -> None:
        """Pause, if it is time to."""
        if clock.now() >= self._until:
            clock.sleep(_PAUSE_SECONDS)
            self._until = clock.now() + _WORK_SECONDS
