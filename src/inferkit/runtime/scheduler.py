"""Calls things when their time has come, from one thread for the whole process, which never waits for anything else.

So what is due only hands on: it shuts a socket down, which wakes whoever reads from it, or gives work to the writer.
Starting and stopping a timer is on every call's way: a stopped one stays in the heap, empty, until its time or until
there are many. The thread ends when there was nothing to do for a while.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from contextvars import Context
from typing import TYPE_CHECKING

from inferkit.runtime import clock, forks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timer"]

_log = logging.getLogger("inferkit")
_IDLE_SECONDS = 2.0
_MANY = 256

_lock = threading.RLock()  # reentrant, since a signal's handler may make a call in the middle of it
_changed = threading.Condition(_lock)
_heap: list[tuple[float, int, Timer]] = []
_order = itertools.count(1)
_newest = 0
_stopped = 0  # timers among those in the heap
_wakes_at = 0.0  # when the thread looks by itself, where it is asleep
_thread: threading.Thread | None = None


class Timer:
    """Calls `due` once, at the instant `at` of `clock.now()` or soon after. It must not block.

    It is called while nobody else can start or stop a timer: what was stopped has not been called, and will not be.
    """

    __slots__ = ("_due", "at")

    def __init__(self, at: float, due: Callable[[], object]) -> None:
        self.at = at
        self._due: Callable[[], object] | None = due

    def start(self) -> bool:
        """Begin; once. False where no thread can be started, at the interpreter's exit."""
        global _newest  # noqa: PLW0603 - one thread a process
        number = next(_order)
        entry = (self.at, number, self)
        with _lock:
            heapq.heappush(_heap, entry)
            _newest = number
            if _thread is None and not _start():
                self.stop()
                return False
            if self.at < _wakes_at:
                _changed.notify()
        return True

    def stop(self) -> bool:
        """Call `due` no more. False if it was called, or this is the second time."""
        global _stopped  # noqa: PLW0603 - see above
        with _lock:
            if self._due is None:
                return False
            self._due = None  # what it refers to must not live until its time
            _stopped += 1
            if _stopped > _MANY and 2 * _stopped > len(_heap):
                _sweep()
        return True

    def take(self) -> Callable[[], object] | None:
        """Take what is due, so that nobody else does."""
        due, self._due = self._due, None
        return due


def _sweep() -> None:
    global _stopped  # noqa: PLW0603 - see above
    _heap[:] = [entry for entry in _heap if entry[2]._due is not None]  # noqa: SLF001 - its own module
    heapq.heapify(_heap)
    _stopped = 0


def _start() -> bool:
    global _thread  # noqa: PLW0603 - see above
    # in an empty context, since it outlives the budget of whoever starts it
    thread = threading.Thread(target=Context().run, args=(_run,), name="inferkit-scheduler", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is shutting down
        return False
    _thread = thread
    return True


def _run() -> None:
    global _thread, _wakes_at  # noqa: PLW0603 - see above
    with _lock:
        newest = 0
        while True:
            _call_what_is_due()
            now = clock.now()
            _wakes_at = now + _IDLE_SECONDS
            if _heap:
                _wakes_at = min(_wakes_at, _heap[0][0])
            if _wakes_at > now and not _changed.wait(_wakes_at - now) and newest == _newest and len(_heap) == _stopped:
                _sweep()
                _thread = None
                return
            _wakes_at, newest = 0.0, _newest  # awake, so nobody has to wake it


def _call_what_is_due() -> None:
    global _stopped  # noqa: PLW0603 - see above
    now = clock.now()
    while _heap and _heap[0][0] <= now:
        due = heapq.heappop(_heap)[2].take()
        if due is None:
            _stopped -= 1
            continue
        try:
            due()
        except Exception as error:  # a connection that ended by itself meanwhile, for example
            _log.debug("what was due could not be handed on: %s", type(error).__name__)


def _after_fork() -> None:
    global _lock, _changed, _stopped, _thread, _wakes_at  # noqa: PLW0603 - the running calls are the parent's
    _lock = threading.RLock()
    _changed = threading.Condition(_lock)
    _heap.clear()
    _stopped = 0
    _wakes_at = 0.0
    _thread = None


forks.in_child(_after_fork)
