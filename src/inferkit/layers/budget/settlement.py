"""What a call owes the ledger from its reservation on, and pays once when it is over: what it cost, or all it held.

An interrupt may come anywhere, also while that is written. A settlement that is dropped before it was written is made
by what ends dropped streams, so that no call leaves a hold behind while its process lives.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from inferkit.layers.budget.charge import attribution_of, charge_for
from inferkit.layers.budget.thresholds import tell, watched
from inferkit.ledger.amounts import Grant
from inferkit.ledger.unwritten import Unwritten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.attempt import Outcome
    from inferkit.core.body import End
    from inferkit.core.request import Request
    from inferkit.layers.budget.hold import Hold
    from inferkit.layers.budget.quote import Quote
    from inferkit.layers.budget.sweeper import Sweeper
    from inferkit.ledger.amounts import Amounts, Crossing, Line, Refusal
    from inferkit.ledger.protocols import Accounts
    from inferkit.pricing.price_book import PriceBook
    from inferkit.pricing.prices import Price
    from inferkit.runtime.protocol import Runtime

__all__ = ["Settlement"]

_log = logging.getLogger("inferkit")


class Settlement:
    """`asked` is the call as its caller asked for it, `hold` what is held for it, if anything."""

    _owes = False  # as long as it is not made

    def __init__(self, accounts: Accounts, asked: Request, prices: PriceBook, sweeper: Sweeper) -> None:
        self.asked = asked
        self.hold: Hold | None = None
        self._accounts = accounts
        self._prices = prices
        self._sweeper = sweeper
        self._held = False
        self._outcome: Outcome | None = None
        self._endings = asked.runtime.endings
        self._generation = self._endings.generation
        self._owes = True

    async def reserve(self, request: Request, quote: Quote, least: Amounts, *, lease: float) -> Grant | Refusal:
        """Hold what a call demands, or `least` at least, for `lease` seconds. Raises `LedgerError`."""
        answer = None
        self._held = True  # before it is, since an interrupt may come before the answer is there
        try:
            answer = await self._accounts.reserve(
                request.runtime,
                request.record.id,
                quote.lines,
                quote.wanted,
                least,
                at=quote.at,
                lease_seconds=lease,
                attribution=attribution_of(request),
            )
            return answer
        finally:
            self._held = isinstance(answer, Grant)

    async def after_failure(self, error: BaseException) -> None:
        """Settle what the attempts cost, or give everything back."""
        await self._make(self.asked.runtime, "error" if isinstance(error, Exception) else "cancelled")

    async def at_end(self, end: End) -> None:
        """Settle a call whose stream has ended."""
        if not self._owes:
            return
        self._outcome = end.outcome
        try:
            await self._settle(end.runtime, end.outcome)
        finally:
            if self._owes:
                self.abandon()

    def abandon(self) -> None:
        """Leave the settlement, if it is not made, to what ends dropped streams. May be called from a destructor."""
        if self._owes and self._generation == self._endings.generation:  # or else it is for the parent to make
            self._endings.take(self._make_up)

    __del__ = abandon

    def _make_up(self) -> None:
        if self._owes:
            self._endings.finish(self._make(self._endings.runtime, self._outcome or "abandoned"))

    async def _make(self, runtime: Runtime, outcome: Outcome) -> None:
        record = self.asked.record
        costs = record.running or any(each.usage.total_tokens or each.cost_nanos for each in record.attempts)
        if costs or self._outcome is not None:
            await self._settle(runtime, outcome)
            return
        if self._held:
            await self._write(runtime, Unwritten("void", record.id, runtime.time()))
        self._over()

    async def _settle(self, runtime: Runtime, outcome: Outcome) -> None:
        request, hold = self.asked, self.hold
        charge = charge_for(request, hold, outcome, self._candidates())
        at = runtime.time()
        step: Literal["settle", "record"] = "settle" if self._held else "record"
        lines = () if hold is None else watched(hold.quote)
        crossings = await self._write(runtime, Unwritten(step, request.record.id, at, charge), lines)
        self._over()
        if hold is not None and crossings:
            tell(request, hold.quote, crossings)
        if at >= self._sweeper.next_at:
            self._sweeper.sweep(at)
        if hold is not None and charge.usd is not None:
            request.record.note("budget", decision="settled", actual_nanos=charge.usd, estimated=charge.estimated)

    def _over(self) -> None:
        self._owes = False
        self.asked.record.hold = None  # the two refer to each other: a cycle that would keep every prompt alive

    def _candidates(self) -> Sequence[Price]:
        """Give the prices of the models that might have served the call, if there are several and all are known."""
        candidates = self.asked.candidates
        if len(candidates) < 2 and self.asked.record.degraded is None:  # noqa: PLR2004 - itself
            return ()
        prices = [self._prices.find(target.provider, target.model) for target in candidates]
        known = [price for price in prices if price is not None]
        return known if len(known) == len(prices) else ()

    async def _write(self, runtime: Runtime, one: Unwritten, lines: Sequence[Line] = ()) -> Sequence[Crossing]:
        """Write to the ledger, now or later, and give the shares that were passed of lines that are watched.

        The reply is there and must not be lost to a ledger that fails, however it does.
        """
        accounts = self._accounts
        try:
            if one.charge is None:
                await accounts.void(runtime, one.call, at=one.at)
            elif one.step == "settle":
                return (await accounts.settle(runtime, one.call, one.charge, at=one.at, watched=lines)).crossings
            else:
                await accounts.record(runtime, one.call, one.charge, at=one.at)
        except Exception as error:
            accounts.write_later(one)
            what = "entered in the ledger" if self.hold is None else "settled"
            _log.error("a call could not be %s yet; it is as soon as the ledger can be written: %s", what, error)
            self.asked.record.note("budget", decision="not settled", error=type(error).__name__)
        return ()
