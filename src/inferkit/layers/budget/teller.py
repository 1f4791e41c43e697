"""Takes a call's steps to the ledger: here where that is quick, or else in a thread."""

from __future__ import annotations

import contextlib
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from inferkit.budgets.budget import Threshold
from inferkit.core.errors import LedgerError
from inferkit.core.money import to_usd
from inferkit.ledger.protocols import LedgerBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.request import Request
    from inferkit.layers.budget.quote import Demand
    from inferkit.ledger.protocols import Ledger
    from inferkit.runtime.protocol import Runtime

__all__ = ["Teller"]

T = TypeVar("T")
_log = logging.getLogger("inferkit")
_SWEEP_SECONDS = 60.0


class Teller:
    """Serves all calls of a budget layer."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._sweep_at = 0.0

    async def take(self, runtime: Runtime, step: Callable[..., T]) -> T:
        """Run one step of the ledger; `step` takes `wait`. Raises `LedgerError`."""
        if runtime.blocking:
            return step(wait=True)
        if self.ledger.quick:
            try:
                return step(wait=False)
            except LedgerBusy:
                pass

        async def elsewhere() -> T:
            return await runtime.run_blocking(lambda: step(wait=True))

        return await runtime.shield(elsewhere)

    async def warn(self, runtime: Runtime, request: Request, demand: Demand) -> None:
        """Tell of the shares of budgets that were passed just now, in an event and to whoever wants to know."""
        watched = [line for line in demand.watched if line.warn_at]
        if not watched:
            return
        try:
            crossings = await self.take(runtime, lambda *, wait: self.ledger.warn(watched, wait=wait))
        except LedgerError as error:  # the call itself was settled, or says what is wrong
            _log.error("whether a budget's threshold was passed is not known: %s", error)
            return
        for crossing in crossings:
            line, share = crossing.line, Decimal(crossing.share) / 1000
            request.record.note("budget", decision="threshold", scope=line.account, share=float(share))
            used, limit = (_in_unit(crossing.unit, amount) for amount in (crossing.used, crossing.limit))
            for on_threshold in demand.told_of(line, crossing.share):
                _tell(on_threshold, Threshold(line.account, share, crossing.unit, used, limit))

    async def sweep_sometimes(self, runtime: Runtime, at: float) -> None:
        """End the holds of processes that died, so that reports show them as spent: first now, then once a minute."""
        if at < self._sweep_at:
            return
        self._sweep_at = at + _SWEEP_SECONDS
        with contextlib.suppress(LedgerError):  # the next reservation says what is wrong
            await self.take(runtime, lambda *, wait: self.ledger.sweep(at, wait=wait))


def _in_unit(unit: str, amount: int) -> Decimal:
    return to_usd(amount) if unit == "usd" else Decimal(amount)


def _tell(on_threshold: Callable[[Threshold], object], threshold: Threshold) -> None:
    try:
        on_threshold(threshold)
    except Exception:  # the call has ended, and its reply must not be lost to this
        _log.exception("on_threshold of budget %s failed", threshold.scope)
