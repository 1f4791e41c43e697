"""What a ledger could not take: kept in a file beside it at once, and tried again until it is entered."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from inferkit.ledger.spill import Spill
from inferkit.runtime import clock, writer
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.gathering import Gathering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from inferkit.ledger.unwritten import Unwritten

__all__ = ["Backlog"]

_log = logging.getLogger("inferkit")
_FIRST_PAUSE = 1.0


class Backlog:
    """Enters with `write`, which raises `LedgerError`, what the ledger at `path` could not take, as soon as it can.

    Until then it is in this process's file beside the ledger, where whoever opens the ledger finds it if this process
    is gone. `durable` has it on the disk, so that it outlives a power cut, too. Where something is `waiting`, whoever
    comes next need not wait to find out that the ledger takes nothing.
    """

    def __init__(self, path: Path, write: Callable[[Unwritten], object], *, durable: bool = False) -> None:
        self._path = path
        self._write = write
        self._durable = durable
        self._spill = Spill(path)
        self._gathering = Gathering(
            self._write_what_waits, name=f"the ledger {path}", seconds=_FIRST_PAUSE, keep=self._leave
        )
        self.waiting: dict[str, Unwritten] = {}
        self._unkept: dict[str, Unwritten] = {}
        self._wanted = False
        self._since = 0.0
        self._pid = os.getpid()
        self._lock = threading.RLock()
        renew_after_fork(self)

    def prepare(self) -> None:
        """Have room set aside for what may come. Does not wait."""
        self._wanted = True
        writer.disk.take(self._prepare)

    def add(self, one: Unwritten) -> None:
        """Keep it, and enter it later. Does not wait."""
        if self._pid != os.getpid():  # forked behind Python's back
            self.renew()
            self._spill.renew()
        with self._lock:
            if not self.waiting:
                self._since = clock.now()
            self.waiting[one.call] = one
            self._keep(one)
        if self._durable:
            writer.disk.take(self._spill.sync)
        self._gathering.more()

    def close(self) -> None:
        """Enter what waits now, or leave it beside the ledger."""
        self._wanted = False
        if self.waiting:
            self._gathering.close()
        else:
            self._spill.close()

    def renew(self) -> None:
        """Leave what waits to the parent, in a forked child."""
        self.waiting, self._unkept = {}, {}
        self._wanted = False
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def _prepare(self) -> None:
        if self._wanted:
            self._spill.prepare()

    def _keep(self, one: Unwritten) -> None:
        if self._spill.keep(one):
            self._unkept.pop(one.call, None)
        else:
            self._unkept[one.call] = one

    def _write_what_waits(self) -> None:
        waiting = list(self.waiting.values())
        try:
            for one in waiting:
                self._write(one)
                self._done(one)
        except BaseException:
            with self._lock:
                for one in list(self._unkept.values()):
                    self._keep(one)
            raise
        with self._lock:
            if not self.waiting:
                self._spill.clear()
                if waiting:
                    late = clock.now() - self._since
                    _log.warning("the ledger %s took what %d calls cost %.1f s late", self._path, len(waiting), late)
                if not self._wanted:
                    self._spill.close()

    def _leave(self) -> None:
        """Leave what waits in the file, where this process has no more time for it."""
        self._wanted = False
        with self._lock:
            waiting, self.waiting = self.waiting, {}
            for one in list(self._unkept.values()):
                self._keep(one)
            unkept, self._unkept = self._unkept, {}
            place = self._spill.close()
        if place is not None:
            _log.warning(
                "the ledger %s could not take what %d calls cost; it is in %s, and is entered when the ledger is "
                "opened next",
                self._path, len(waiting) - len(unkept), place.name,
            )  # fmt: skip
        if unkept:
            _log.error(
                "neither the ledger %s nor its folder could take what %d calls cost; what was held for them is "
                "posted when their leases run out",
                self._path, len(unkept),
            )  # fmt: skip

    def _done(self, one: Unwritten) -> None:
        with self._lock:
            if self.waiting.get(one.call) is one:
                del self.waiting[one.call]
                self._unkept.pop(one.call, None)
