"""Ends the holds of processes that died, so that reports show them as spent: first at once, then once a minute.

It does so in the background: however many they are, no call waits for it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.runtime import writer
from inferkit.runtime.direct import directly
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.ledger.protocols import Accounts

__all__ = ["Sweeper"]

_log = logging.getLogger("inferkit")
_SECONDS = 60.0


class Sweeper:
    """Serves all calls of a budget layer."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._closed = False
        self.next_at = 0.0
        self.renew()
        renew_after_fork(self)

    def sweep(self, at: float) -> None:
        """Have it done, and say when to do so again; instants are in seconds since the epoch. Does not wait."""
        self.next_at = at + _SECONDS
        writer.disk.take(lambda: self._sweep(at))

    def close(self) -> None:
        """Sweep no more, and wait for what is being swept: the ledger may be closed next."""
        self._closed = True
        with self._lock:
            pass

    def renew(self) -> None:
        """Start afresh in a forked child."""
        self._lock = threading.Lock()

    def _sweep(self, at: float) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                directly(lambda runtime: self._accounts.sweep(runtime, at))
            except LedgerError as error:  # the next reservation says what is wrong
                _log.debug("the holds of processes that died were not ended: %s", error)
