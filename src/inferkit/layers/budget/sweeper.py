"""Ends the holds of processes that died, so that reports show them as spent: first at once, then once a minute."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError

if TYPE_CHECKING:
    from inferkit.ledger.protocols import Accounts
    from inferkit.runtime.protocol import Runtime

__all__ = ["Sweeper"]

_SECONDS = 60.0


class Sweeper:
    """Serves all calls of a budget layer."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.next_at = 0.0

    async def sweep(self, runtime: Runtime, at: float) -> None:
        """Sweep, and say when to do so again; instants are in seconds since the epoch."""
        self.next_at = at + _SECONDS
        with contextlib.suppress(LedgerError):  # the next reservation says what is wrong
            await self._accounts.sweep(runtime, at)
