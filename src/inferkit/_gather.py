"""Has something written a little later, so that what comes meanwhile is written together."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING

from inferkit._forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gathering"]

_log = logging.getLogger("inferkit")
_all: weakref.WeakSet[Gathering] = weakref.WeakSet()


class Gathering:
    """Calls `write` from a thread of its own, `seconds` after `more`, as long as there is more; and at the exit.

    `leave` is called from that thread before it ends. A forked child leaves to its parent what waits there.
    """

    def __init__(
        self,
        write: Callable[[], object],
        *,
        name: str,
        seconds: float = 0.25,
        leave: Callable[[], object] | None = None,
    ) -> None:
        self._write = write
        self._leave = leave
        self._name = name
        self._seconds = seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._more = False
        renew_after_fork(self)
        _all.add(self)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return self._thread is None

    def more(self) -> None:
        """Say that there is something to write."""
        self._more = True
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write now."""
        self._write()

    def renew(self) -> None:
        """Start afresh in a forked child."""
        self._lock = threading.Lock()
        self._thread = None
        self._more = False

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            self._more = False
            try:
                self._write()
            except Exception:
                _log.exception("%s failed", self._name)
            with self._lock:
                if not self._more:
                    self._thread = None
                    break
        if self._leave is not None:
            self._leave()


@atexit.register
def _flush_all() -> None:
    for gathering in list(_all):
        gathering.flush()
