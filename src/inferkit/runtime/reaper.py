"""Ends the streams that were dropped without being closed, in a thread of its own.

A destructor runs at any point of any thread, perhaps in one that holds the ledger's lock, so it may not do the work
itself: it only queues it. `queue.SimpleQueue.put` is the one queue operation that may be called from there.

A stream that is still open when the interpreter exits is ended then, while everything that this needs is there. What is
dropped later, while modules are being taken down, is left to the lease of its hold: a thread can be started no more.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import weakref
from contextvars import Context
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Abandonable", "flush", "take", "until_exit"]

_log = logging.getLogger("inferkit")
_queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
_thread: threading.Thread | None = None
_open: weakref.WeakValueDictionary[int, Abandonable] = weakref.WeakValueDictionary()
_EXIT_SECONDS = 2.0
generation = 0
"""How many forks lie between this process and the first one: what an earlier generation opened is not ours to end."""


class Abandonable(Protocol):
    """Something that can be ended from outside the place it belongs to, any number of times."""

    def abandon(self) -> None:
        """End it, if it has not ended."""


def take(ending: Callable[[], object]) -> None:
    """Have `ending` called soon, from the reaper's thread. May be called from a destructor."""
    _queue.put(ending)
    if _thread is None and not sys.is_finalizing():
        _start()


def until_exit(stream: Abandonable) -> None:
    """Have a stream abandoned at the interpreter's exit if somebody still holds it then."""
    _open[id(stream)] = stream


def flush(timeout: float | None = 5.0) -> bool:
    """Wait until everything dropped so far has been ended; False if that took over `timeout` seconds."""
    if _thread is None:
        return True
    reached = threading.Event()
    _queue.put(reached.set)
    return reached.wait(timeout)


def _start() -> None:
    global _thread  # noqa: PLW0603 - one thread a process
    # in an empty context, since it outlives the budget of whoever drops the first stream
    thread = threading.Thread(target=Context().run, args=(_run,), name="inferkit-reaper", daemon=True)
    _thread = thread
    try:
        thread.start()
    except RuntimeError:  # the interpreter is shutting down
        _thread = None


def _run() -> None:
    while True:
        ending = _queue.get()
        try:
            ending()
        except Exception:
            _log.exception("a dropped stream could not be ended cleanly")
        del ending


def _after_fork() -> None:
    global _thread, _queue, generation  # noqa: PLW0603 - a fork has no other threads, and its parent's streams are not its
    generation += 1
    _thread = None
    _queue = queue.SimpleQueue()
    _open.clear()


def _at_exit() -> None:
    for held in _open.valuerefs():
        stream = held()
        if stream is not None:
            try:
                stream.abandon()
            except Exception:
                _log.exception("a stream that was open at the exit could not be ended cleanly")
    flush(_EXIT_SECONDS)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
