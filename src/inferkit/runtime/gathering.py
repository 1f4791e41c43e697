"""Has something written a little later, so that what comes meanwhile is written together, and again if that fails."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING

from inferkit.runtime import clock, exits, writer
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.scheduler import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gathering"]

_log = logging.getLogger("inferkit")
_all: weakref.WeakSet[Gathering] = weakref.WeakSet()
_CLOSING_SECONDS = 1.0
_PAUSES = (1.0, 30.0)  # the first and the longest, in seconds, before what could not be written is tried again


class Gathering:
    """Calls `write` from the writer's thread, `seconds` after `more`, as long as there is more; and at the exit.

    What goes wrong is logged, and what could not be written is lost, unless there is `keep`: then `write` raises while
    something is left, is called again from time to time, and `keep` is called where it is not to be called again, at
    the closing and at the exit, to leave what is left for later. A forked child leaves to its parent what waits there.
    """

    def __init__(
        self,
        write: Callable[[], object],
        *,
        name: str,
        seconds: float = 0.25,
        keep: Callable[[], object] | None = None,
    ) -> None:
        self._write = write
        self._keep = keep
        self._name = name
        self._seconds = seconds
        self._scheduled: bool
        self.renew()
        renew_after_fork(self)
        _all.add(self)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._scheduled

    @property
    def is_kept(self) -> bool:
        """Whether what cannot be written is kept."""
        return self._keep is not None

    def more(self) -> None:
        """Say that there is something to write."""
        with self._lock:
            self._more = True
            if not exits.begun and (self._scheduled or self._schedule(self._seconds)):
                return
        if self._keep is None or exits.over:
            self.finish()

    def flush(self) -> None:
        """Write now. What another thread is writing is written when this returns."""
        with self._writing:
            self._write()

    def close(self) -> None:
        """Write now, or keep what cannot be written. `more` begins anew."""
        if self._keep is None:
            self.flush()
        else:
            self.finish()
        with self._lock:
            stopped = self._timer is not None and self._timer.stop()
            self._scheduled = self._scheduled and not stopped
        if not stopped and self._scheduled:
            writer.disk.flush(_CLOSING_SECONDS)

    def finish(self) -> None:
        """Write now; what cannot be written is kept, or is lost."""
        if not self.try_to_flush():
            self.keep()

    def try_to_flush(self) -> bool:
        """Write now, if that can be done; what goes wrong is logged."""
        try:
            self.flush()
        except Exception as error:
            if self._keep is None:
                _log.exception("%s failed", self._name)
            else:
                _log.debug("%s failed and is tried again: %s", self._name, error)
            return False
        return True

    def keep(self) -> None:
        """Leave what was not written for later, where that can be done."""
        if self._keep is not None:
            try:
                self._keep()
            except Exception:
                _log.exception("%s failed, and what it was to write could not be kept", self._name)

    def renew(self) -> None:
        """Start afresh in a forked child."""
        self._lock = threading.RLock()  # a signal's handler may come to write while its thread does
        self._writing = threading.RLock()
        self._timer: Timer | None = None
        self._scheduled = False
        self._pause = _PAUSES[0]
        self._more = False

    def _schedule(self, seconds: float) -> bool:
        self._timer = Timer(clock.now() + seconds, lambda: writer.disk.take(self._write_what_waits))
        self._scheduled = self._timer.start()
        return self._scheduled

    def _write_what_waits(self) -> None:
        with self._lock:
            self._more = False
        written = self.try_to_flush()
        with self._lock:  # so that nobody finds it scheduled when it is not looked at again
            if self._keep is not None and not written:
                seconds, self._pause = self._pause, min(2 * self._pause, _PAUSES[1])
            elif self._more:
                seconds, self._pause = self._seconds, _PAUSES[0]
            else:
                self._scheduled, self._timer, self._pause = False, None, _PAUSES[0]
                return
            self._schedule(seconds)


def _write_all(deadline: float) -> None:
    """Write what waits at the exit, first what must not be lost."""
    for gathering in sorted(_all, key=lambda each: not each.is_kept):
        writer.disk.take(gathering.try_to_flush)
    writer.disk.flush(max(0.0, deadline - clock.now()))


def _keep_all(_: float) -> None:
    for gathering in list(_all):
        gathering.keep()


exits.at_exit(exits.WRITES, _write_all)
exits.at_exit(exits.LEAVING, _keep_all)
