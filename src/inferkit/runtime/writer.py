"""Does what no caller can wait for, in two threads: one ends the streams that were dropped, one waits for the disk.

They are two so that a disk that takes its time delays no ending: a dropped stream's money is held until it is ended. A
destructor runs at any point of any thread, perhaps in one that holds the ledger's lock, so it may not do the work
itself: it only queues it. `queue.SimpleQueue.put` is the one queue operation that may be called from there.

Streams that are still open when the interpreter exits are ended then, while everything that this needs is there. What
is dropped later, while modules are being taken down, is left to the lease of its hold.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import weakref
from contextvars import Context
from typing import TYPE_CHECKING

from inferkit.runtime import clock, exits
from inferkit.runtime.forks import in_child, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.runtime.protocol import Abandonable

__all__ = ["Worker", "disk", "endings", "until_exit"]

_log = logging.getLogger("inferkit")


class Worker:
    """Does its jobs one after the other, in a daemon thread that is started by the first. A forked child has none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.renew()
        renew_after_fork(self)

    def take(self, job: Callable[[], object]) -> None:
        """Have `job` done soon. May be called from a destructor. What goes wrong in it is logged."""
        self._jobs.put(job)
        if self._thread is None and not sys.is_finalizing():
            self._start()

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Wait until everything taken so far is done; False if that took over `timeout` seconds.

        Where there is no thread, at the exit or since this is the thread itself, it is done here.
        """
        if self._thread is None or self._thread is threading.current_thread():
            return self._do_here(None if timeout is None else clock.now() + timeout)
        reached = threading.Event()
        self._jobs.put(reached.set)
        return reached.wait(timeout)

    def renew(self) -> None:
        """Leave to the parent what it has to do, in a forked child."""
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):  # another thread is at it, or this one is, in whose midst
            return  # a destructor came
        try:
            if self._thread is None:
                # in an empty context, since it outlives the budget of whoever brings the first job
                thread = threading.Thread(target=Context().run, args=(self._run,), name=self._name, daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
                    thread.start()
                    self._thread = thread
        finally:
            self._starting.release()

    def _run(self) -> None:
        jobs = self._jobs
        while True:
            _do(jobs.get())

    def _do_here(self, deadline: float | None) -> bool:
        while deadline is None or clock.now() < deadline:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return True
            _do(job)
            del job
        return self._jobs.empty()


def _do(job: Callable[[], object]) -> None:
    try:
        job()
    except Exception:
        _log.exception("something that was left to the background failed")


endings = Worker("inferkit-endings")
disk = Worker("inferkit-disk")


_open: weakref.WeakValueDictionary[int, Abandonable] = weakref.WeakValueDictionary()


def until_exit(stream: Abandonable) -> None:
    """Have a stream abandoned at the interpreter's exit if somebody still holds it then."""
    _open[id(stream)] = stream


def _end_open_streams(_: float) -> None:
    for held in _open.valuerefs():
        stream = held()
        if stream is not None:
            endings.take(stream.abandon)


def _finish_endings(deadline: float) -> None:
    endings.flush(max(0.0, deadline - clock.now()))


in_child(_open.clear)  # they are the parent's
exits.at_exit(exits.STREAMS, _end_open_streams)
exits.at_exit(exits.ENDINGS, _finish_endings)
