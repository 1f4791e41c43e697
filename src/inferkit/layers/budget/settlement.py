"""What a call owes the ledger from its reservation on, and pays once when it is over: what it cost, or all it held.

An interrupt may come anywhere, also while that is written. A settlement that is dropped before it was written is made
by what ends dropped streams, so that no call leaves a hold behind while its process lives.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from inferkit.core.errors import BudgetExceeded
from inferkit.core.record import cost_of
from inferkit.core.usage import Usage
from inferkit.layers.budget.refusal import tell_how_far
from inferkit.layers.budget.thresholds import tell, watched
from inferkit.ledger.amounts import NOTHING, Amounts, Grant
from inferkit.ledger.journal import GONE_ON, Attribution, Charge, Part
from inferkit.ledger.unwritten import Unwritten

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from inferkit.core.attempt import Attempt, Outcome
    from inferkit.core.body import End
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Request
    from inferkit.layers.budget.hold import Hold
    from inferkit.layers.budget.quote import Quote
    from inferkit.layers.budget.sweeper import Sweeper
    from inferkit.ledger.amounts import Crossing, Line, Refusal
    from inferkit.ledger.protocols import Accounts
    from inferkit.pricing.price_book import PriceBook
    from inferkit.pricing.prices import Price
    from inferkit.runtime.protocol import Runtime

__all__ = ["Settlement", "attribution_of"]

_log = logging.getLogger("inferkit")


class Settlement:
    """`asked` is the call as its caller asked for it, `hold` what is held for it, if anything."""

    _owes = False  # as long as it is not made

    def __init__(self, accounts: Accounts, asked: Request, prices: PriceBook, sweeper: Sweeper) -> None:
        self.asked = asked
        asked.record.is_settled = False  # a layer further out may send a request twice
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
        await self._make(self.asked.runtime, "error" if isinstance(error, Exception) else "cancelled", error)

    async def at_end(self, end: End) -> None:
        """Settle a call whose stream has ended."""
        if not self._owes:
            return
        self._outcome = end.outcome
        try:
            await self._settle(end.runtime, end.outcome, end.error)
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

    async def _make(self, runtime: Runtime, outcome: Outcome, error: BaseException | None = None) -> None:
        record = self.asked.record
        costs = any(each.usage.total_tokens or each.cost_nanos for each in record.attempts)
        costs = costs or bool(_running(record, self.hold))
        if costs or self._outcome is not None:
            await self._settle(runtime, outcome, error)
            return
        if self._held:
            await self._write(runtime, Unwritten("void", record.id, runtime.time()))
        self._over()

    async def _settle(self, runtime: Runtime, outcome: Outcome, error: BaseException | None) -> None:
        request, hold = self.asked, self.hold
        charge = _charge_for(request, hold, outcome, self._candidates())
        at = runtime.time()
        step: Literal["settle", "record"] = "settle" if self._held else "record"
        lines = watched(hold.quote) if hold is not None and hold.quote.warns else ()
        crossings = await self._write(runtime, Unwritten(step, request.record.id, at, charge), lines)
        self._over()
        if hold is not None and charge.finish_reason == "budget":
            self._tell_of_the_cut(hold, charge)
            if isinstance(error, BudgetExceeded) and error.was_cut:
                cost = Amounts(charge.usd or 0, charge.input_tokens + charge.output_tokens)
                await tell_how_far(error, hold.quote, cost, self._accounts, runtime)
        if hold is not None and crossings:
            tell(request, hold.quote, crossings)
        if at >= self._sweeper.next_at:
            self._sweeper.sweep(at)
        if hold is not None and charge.usd is not None:
            request.record.note("budget", decision="settled", actual_nanos=charge.usd, estimated=charge.estimated)

    def _tell_of_the_cut(self, hold: Hold, charge: Charge) -> None:
        accounts = ", ".join(hold.quote.accounts)
        _log.info(
            "call %s: the reply of %s:%s was cut short, after %d tokens, by what is left of its budgets: %s",
            self.asked.record.id, charge.provider, charge.model, charge.output_tokens, accounts,
        )  # fmt: skip

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


def attribution_of(request: Request) -> Attribution:
    """Say who caused a call, for what, and under which plan. For reports alone, so a key may stand for the user."""
    record = request.record
    return Attribution(request.user or record.key, request.tenant, request.feature, record.plan)


def _charge_for(request: Request, hold: Hold | None, outcome: str, prices: Sequence[Price] = ()) -> Charge:
    """Add up what a call's attempts cost, also those that somebody left running.

    Without a meter inside, what was held is all that is known. `prices` are those of all models that might have served
    the request as it was asked for.
    """
    record = request.record
    running = _running(record, hold)
    attempts = list(record.attempts)  # after `running`: one that ends meanwhile is among both, and not among neither
    unfinished = _unfinished(running, attempts) if running else ()
    served = record.served_among(attempts)
    attribution = attribution_of(request)
    if served is None and not unfinished:
        held = NOTHING if hold is None else hold.held
        usd = held.usd if hold is not None and hold.counts_money else None
        return Charge(
            usd, request.provider, request.model, output_tokens=held.tokens, attempts=0, estimated=True,
            outcome=outcome, asked=request.model, attribution=attribution,
        )  # fmt: skip
    usage = served.usage if served is not None and len(attempts) == 1 else _together(attempts)
    cost = cost_of(attempts)
    parts: tuple[Part, ...] = ()
    for part in unfinished:
        usage = usage._replace(
            input_tokens=usage.input_tokens + part.input_tokens, output_tokens=usage.output_tokens + part.output_tokens
        )
        cost = None if cost is None or part.usd is None else cost + part.usd
    if len(attempts) + len(unfinished) > 1:
        parts = (*_parts(attempts, record.gone_on), *unfinished)
    reason = None if served is None else served.finish_reason
    return Charge(
        cost,
        request.provider if served is None else served.provider,
        request.model if served is None else served.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        len(attempts) + len(unfinished),
        usage.estimated or bool(unfinished),
        outcome,
        "budget" if reason == "length" and hold is not None and hold.sets_length else reason,
        request.model,
        record.degraded is not None,
        sum([attempt.saved_nanos for attempt in attempts]),
        _saved_by_routing(served, prices) if served is not None and prices else 0,
        0 if cost is None or hold is None or not hold.counts_money else max(0, cost - hold.held.usd),
        parts,
        attribution,
        usage.details,
    )


def _running(record: CallRecord, hold: Hold | None) -> list[tuple[Any, tuple[int, int]]]:
    """Give the attempts that somebody left running, with what they may cost at most. None is begun from here on."""
    record.is_settled = True
    return list(record.running.items()) if hold is None else hold.at_end()


def _together(attempts: Sequence[Attempt]) -> Usage:
    usage = Usage()
    for attempt in attempts:
        usage += attempt.usage
    return usage


def _parts(attempts: Sequence[Attempt], gone_on: Collection[int]) -> list[Part]:
    return [_part(each, gone_on=place in gone_on) for place, each in enumerate(attempts)]


def _part(attempt: Attempt, *, gone_on: bool) -> Part:
    usage = attempt.usage
    return Part(
        attempt.kind,
        attempt.provider,
        attempt.model,
        GONE_ON if gone_on else attempt.outcome,
        attempt.cost_nanos,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.details,
    )


def _unfinished(running: Sequence[tuple[Any, tuple[int, int]]], attempts: Sequence[Attempt]) -> Sequence[Part]:
    """Give those of the attempts that ran, as somebody looked, that have not ended since."""
    return [_so_far(*each) for each in running if getattr(each[0], "ended", None) not in attempts]


def _so_far(attempt: Any, most: tuple[int, int]) -> Part:
    """Count an attempt as what it may cost at most, or where nothing is held for it, as what is likely until now."""
    request: Request | None = getattr(attempt, "request", None)
    if request is None:
        return Part("hedge", "", "", "abandoned", most[0], 0, most[1])
    provider = request.provider or ""
    if any(most):
        return Part(attempt.kind, provider, request.model, "abandoned", most[0], 0, most[1])
    usage, cost = attempt.so_far()
    return Part(attempt.kind, provider, request.model, "abandoned", cost, usage.input_tokens, usage.output_tokens)


def _saved_by_routing(served: Attempt, prices: Sequence[Price]) -> int:
    if served.cost_nanos is None or not served.usage.total_tokens:  # nothing was served, and nothing saved
        return 0
    costs = [price.cost(served.usage) for price in prices]
    return max([0, *[cost - served.cost_nanos for cost in costs if cost is not None]])
