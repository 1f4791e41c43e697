"""One attempt to reserve, which is taken back if its caller is cancelled while it waits."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.layers.budget.charge import attribution_of

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.layers.budget.quote import Demand
    from inferkit.layers.budget.teller import Teller
    from inferkit.ledger.protocols import Amounts, Grant, Refusal

__all__ = ["Reservation"]


class Reservation:
    """Asks for what a call demands, and for `least` at least, for `lease` seconds."""

    def __init__(self, teller: Teller, request: Request, demand: Demand, *, least: Amounts, lease: float) -> None:
        self._teller = teller
        self._request = request
        self._demand = demand
        self._least = least
        self._lease = lease
        self._lock = threading.Lock()
        self._left = False
        self._made = False

    async def make(self) -> Grant | Refusal:
        """Reserve. Raises `LedgerError`."""
        try:
            return await self._teller.take(self._request.runtime, self._step)
        except LedgerError:
            raise
        except BaseException:
            with self._lock:  # whichever of the two comes later takes it back
                self._left = True
                made = self._made
            if made:
                with contextlib.suppress(LedgerError):
                    await self._teller.take(self._request.runtime, self._void)
            raise

    def _step(self, *, wait: bool) -> Grant | Refusal:
        demand, request = self._demand, self._request
        answer = self._teller.ledger.reserve(
            request.record.id,
            demand.lines,
            demand.wanted,
            self._least,
            at=demand.at,
            lease_seconds=self._lease,
            attribution=attribution_of(request),
            wait=wait,
        )
        with self._lock:
            self._made = True
            left = self._left
        if left:
            self._void(wait=True)
        return answer

    def _void(self, *, wait: bool) -> bool:
        return self._teller.ledger.void(self._request.record.id, at=self._demand.at, wait=wait)
