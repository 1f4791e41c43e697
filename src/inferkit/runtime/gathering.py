"""Has something written a little later, so that what comes meanwhile is written together."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from typing import TYPE_CHECKING

from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gathering"]

_log = logging.getLogger("inferkit")
_all: weakref.WeakSet[Gathering] = weakref.WeakSet()
_exiting = False
_JOIN_SECONDS = 1.0


class Gathering:
    """Calls `write` from a thread of its own, `seconds` after `more`, as long as there is more; and at the exit.

    Where no thread can be started (the interpreter exits), `more` writes by itself. A forked child leaves to its parent
    what waits there.
    """

    def __init__(self, write: Callable[[], object], *, name: str, seconds: float = 0.25) -> None:
        self._write = write
        self._name = name
        self._seconds = seconds
        self.renew()
        renew_after_fork(self)
        _all.add(self)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return self._thread is None

    def more(self) -> None:
        """Say that there is something to write. What goes wrong then is logged."""
        with self._lock:
            self._more = True
            if not _exiting and (self._thread is not None or self._start()):
                return
        self.try_to_flush()

    def flush(self) -> None:
        """Write now. What another thread is writing is written when this returns."""
        with self._writing:
            self._write()

    def close(self) -> None:
        """Write now, and let the thread end. `more` starts another one."""
        self.flush()
        thread = self._thread
        self._hurry.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def try_to_flush(self) -> None:
        """Write now; what goes wrong is logged."""
        try:
            self.flush()
        except Exception:
            _log.exception("%s failed", self._name)

    def renew(self) -> None:
        """Start afresh in a forked child."""
        self._lock = threading.Lock()
        self._writing = threading.RLock()  # a signal's handler may come to write while its thread does
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._more = False

    def _start(self) -> bool:
        self._hurry = threading.Event()
        thread = threading.Thread(target=self._run, args=(self._hurry,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _run(self, hurry: threading.Event) -> None:
        while True:
            hurry.wait(self._seconds)
            with self._lock:
                self._more = False
            self.try_to_flush()
            with self._lock:  # so that nobody finds a thread here that will not look again
                if not self._more:
                    self._thread = None
                    return


@atexit.register
def _flush_all() -> None:
    global _exiting  # noqa: PLW0603 - a fact about this process
    _exiting = True
    for gathering in list(_all):
        gathering.try_to_flush()
