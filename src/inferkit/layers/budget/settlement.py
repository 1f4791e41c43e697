"""What the budget layer does once, when a call is over: charge what it cost, or give everything back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from inferkit.core.errors import BudgetExceeded, LedgerError
from inferkit.layers.budget.charge import charge_for
from inferkit.ledger.unwritten import Unwritten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.core.body import End
    from inferkit.core.request import Request
    from inferkit.layers.budget.hold import Hold
    from inferkit.layers.budget.teller import Teller
    from inferkit.pricing.prices import Price, PriceBook
    from inferkit.runtime.protocol import Runtime

__all__ = ["Settlement"]

_log = logging.getLogger("inferkit")


class Settlement:
    """`asked` is the call as its caller asked for it, `hold` what is held for it, if anything."""

    def __init__(self, teller: Teller, asked: Request, book: PriceBook) -> None:
        self.asked = asked
        self.hold: Hold | None = None
        self._teller = teller
        self._book = book

    async def after_failure(self, error: BaseException) -> None:
        """Settle what the attempts cost, or give everything back."""
        record = self.asked.record
        outcome = "error" if isinstance(error, Exception) else "cancelled"
        if not record.running and not any(each.usage.total_tokens or each.cost_nanos for each in record.attempts):
            if self.hold is not None and self.hold.demand.lines:
                void = Unwritten("void", record.id, self.asked.runtime.time())
                await self._write(self.asked.runtime, self._void, void)
        else:
            await self._settle(self.asked.runtime, outcome)
        record.hold = None
        if isinstance(error, BudgetExceeded):
            error.attempts = tuple(record.attempts)

    async def at_end(self, end: End) -> None:
        """Settle a call whose stream has ended."""
        await self._settle(end.runtime, end.outcome)
        self.asked.record.hold = None  # the two refer to each other: a cycle that would keep every prompt alive
        if isinstance(end.error, BudgetExceeded):
            end.error.attempts = tuple(self.asked.record.attempts)

    async def _settle(self, runtime: Runtime, outcome: str) -> None:
        request, hold, ledger = self.asked, self.hold, self._teller.ledger
        charge = charge_for(request, hold, outcome, self._candidates())
        at = runtime.time()

        is_held = hold is not None and bool(hold.demand.lines)

        def step(*, wait: bool) -> bool:
            if not is_held:
                return ledger.record(request.record.id, charge, at=at, wait=wait)
            return ledger.settle(request.record.id, charge, at=at, wait=wait)

        await self._write(runtime, step, Unwritten("settle" if is_held else "record", request.record.id, at, charge))
        if hold is not None:
            await self._teller.warn(runtime, request, hold.demand)
        await self._teller.sweep_sometimes(runtime, at)
        if hold is not None and charge.usd is not None:
            request.record.note("budget", decision="settled", actual_nanos=charge.usd, estimated=charge.estimated)

    def _candidates(self) -> Sequence[Price]:
        """Give the prices of the models that might have served the call, if there are several and all are known."""
        candidates = self.asked.candidates
        if len(candidates) < 2 and self.asked.record.degraded is None:  # noqa: PLR2004 - itself
            return ()
        prices = [self._book.find(target.provider, target.model) for target in candidates]
        known = [price for price in prices if price is not None]
        return known if len(known) == len(prices) else ()

    def _void(self, *, wait: bool) -> bool:
        return self._teller.ledger.void(self.asked.record.id, at=self.asked.runtime.time(), wait=wait)

    async def _write(self, runtime: Runtime, step: Callable[..., bool], one: Unwritten) -> None:
        """Write to the ledger, now or later. The reply is there and must not be lost to a ledger that fails."""
        later = getattr(self._teller.ledger, "write_later", None)
        try:
            await self._teller.take(runtime, step)
        except LedgerError as error:
            if later is not None:
                later(one)
                what = "entered in the ledger" if self.hold is None else "settled"
                _log.error("a call could not be %s yet; it is as soon as the ledger can be written: %s", what, error)
            elif self.hold is None:
                _log.error("a call could not be entered in the ledger: %s", error)
            else:
                _log.error("a call could not be settled; its hold is posted when its lease runs out: %s", error)
            self.asked.record.note("budget", decision="not settled", error=type(error).__name__)
        except BaseException:  # nobody waits for it any more, or its event loop is gone: it may be written or not
            if later is not None:
                later(one)
            else:
                runtime.endings.take(lambda: step(wait=True))
            raise
