"""Long work in Python that lets the application's other threads run: one that computes keeps Python's lock for itself.

A call takes that lock a dozen times, and would wait some milliseconds each time for a thread that computes without end.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OWN_THREAD", "Pauses", "is_alone", "without_collections"]

OWN_THREAD = "inferkit-sums"
"""The name of threads that read the ledger for such work, and hardly ever need that lock."""
_WORK_SECONDS = 0.0002
_PAUSE_SECONDS = 0.00005  # the system makes some 0.1 ms of it, in which a call's step is done


def is_alone() -> bool:
    """Whether this thread is the only one beside its own, so that it keeps nobody from anything, whatever it does."""
    own = sum(thread.name == OWN_THREAD for thread in threading.enumerate())
    return threading.active_count() == 1 + own


@contextmanager
def without_collections() -> Iterator[None]:
    """Have Python's collector wait while this thread, if it is the only one, makes many objects that all live on.

    It would look through all of them again and again, which takes a fifth of the time, to find nothing.
    """
    waits = is_alone() and gc.isenabled()
    if waits:
        gc.disable()
    try:
        yield
    finally:
        if waits:
            gc.enable()


class Pauses:
    """Called at each step of such work, it pauses for a moment now and then, unless this thread is the only one.

    Steps that take less than a call of this may ask before whether there `are_any`.
    """

    __slots__ = ("_until", "are_any")

    def __init__(self) -> None:
        self.are_any = not is_alone()
        self._until = clock.now() + _WORK_SECONDS if self.are_any else float("inf")

    def __call__(self) -> None:
        """Pause, if it is time to."""
        if clock.now() >= self._until:
            clock.sleep(_PAUSE_SECONDS)
            self._until = clock.now() + _WORK_SECONDS
