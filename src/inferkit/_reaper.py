"""Ends the streams that were dropped without being closed, in a thread of its own.

A destructor runs at any point of any thread, perhaps in one that holds the ledger's lock, so it may not do the work
itself: it only queues it. `queue.SimpleQueue.put` is the one queue operation that may be called from there.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["flush", "take"]

_log = logging.getLogger("inferkit")
_queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
_thread: threading.Thread | None = None
_EXIT_SECONDS = 2.0
generation = 0
"""How many forks lie between this process and the first one: what an earlier generation opened is not ours to end."""


def take(ending: Callable[[], object]) -> None:
    """Have `ending` called soon, from the reaper's thread. May be called from a destructor."""
    _queue.put(ending)
    if _thread is None:
        _start()


def flush(timeout: float | None = 5.0) -> bool:
    """Wait until everything dropped so far has been ended; False if that took over `timeout` seconds."""
    if _thread is None:
        return True
    reached = threading.Event()
    _queue.put(reached.set)
    return reached.wait(timeout)


def _start() -> None:
    global _thread  # noqa: PLW0603 - one thread a process
    thread = threading.Thread(target=_run, name="inferkit-reaper", daemon=True)
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


atexit.register(flush, _EXIT_SECONDS)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
