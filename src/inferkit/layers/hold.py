"""What the budget layer holds for a call while it runs, for the layers inside it to ask and to extend."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit._errors import BudgetExceeded
from inferkit._types import Usage
from inferkit.budgets.bounds import input_tokens_bound
from inferkit.budgets.ledger import NOTHING, Amounts, Charge, Grant, Payer, Refusal
from inferkit.budgets.money import format_usd, to_usd
from inferkit.budgets.windows import rolling_end

if TYPE_CHECKING:
    from datetime import datetime

    from inferkit._types import Request
    from inferkit.budgets.budget import Budget
    from inferkit.budgets.ledger import Ledger
    from inferkit.layers.budget import BudgetLayer
    from inferkit.layers.demand import Demand

__all__ = ["Hold", "charge_for", "exceeded"]


class Hold:
    """A reservation that covers the attempts of one call.

    `counts_money` and `counts_tokens` say what the budgets that pay are limited in. `truncates` is true where a stream
    that runs past the hold ends with the finish reason "budget" rather than with `BudgetExceeded`: only if every budget
    that pays says so.
    """

    def __init__(
        self,
        layer: BudgetLayer,
        ledger: Ledger,
        request: Request,
        *,
        demand: Demand,
        grant: Grant,
        lease: float,
    ) -> None:
        self.demand = demand
        self.held = grant.amounts
        self.counts_money = demand.counts_money
        self.counts_tokens = demand.counts_tokens
        self.truncates = all(scope.budget.on_exceed == "truncate" for scope in demand.scopes)
        self._layer = layer
        self._ledger = ledger
        self._request = request
        self._lease = lease

    def input_bound(self, request: Request) -> int:
        """Upper bound of a request's input in tokens, which need not be counted again while it stays as it was."""
        if self.demand.output is not None and request.messages is self._request.messages:
            return self.demand.input
        return input_tokens_bound(request)

    def left(self) -> tuple[int, int]:
        """Nano-dollars and tokens that the attempts so far have left of what is held."""
        usage = Usage()
        nanos = 0
        for attempt in self._request.record.attempts:
            usage += attempt.usage
            nanos += attempt.cost_nanos or 0
        return self.held.usd - nanos, self.held.tokens - usage.total_tokens

    async def ensure(self, nanos: int, tokens: int = 0) -> None:
        """Make sure that what is left covers an attempt that may cost so much. Raises `BudgetExceeded` if it cannot."""
        left_nanos, left_tokens = self.left()
        more = Amounts(
            max(0, nanos - left_nanos) if self.counts_money else 0,
            max(0, tokens - left_tokens) if self.counts_tokens else 0,
        )
        if not any(more):
            return
        demand, request, ledger = self.demand, self._request, self._ledger
        refusal = self._single_call_refusal(more)
        if refusal is None and demand.lines:

            def step(*, wait: bool) -> Grant | Refusal:
                return ledger.extend(
                    request.record.id,
                    demand.lines,
                    more,
                    at=self._layer.now(),
                    lease_seconds=self._lease,
                    wait=wait,
                )

            answer = await self._layer.store(request.runtime, ledger, step)
            refusal = answer if isinstance(answer, Refusal) else None
        if refusal is not None:
            raise exceeded(request, demand, refusal, more=more)
        self.held = Amounts(self.held.usd + more.usd, self.held.tokens + more.tokens, self.held.calls)

    def _single_call_refusal(self, more: Amounts) -> Refusal | None:
        for scope in self.demand.scopes:
            if scope.budget.per != "call":
                continue
            line = scope.line(self.demand.at)
            if line.usd is not None and self.held.usd + more.usd > line.usd:
                return Refusal(line, "usd", line.usd, self.held.usd, 0)
            if line.tokens is not None and self.held.tokens + more.tokens > line.tokens:
                return Refusal(line, "tokens", line.tokens, self.held.tokens, 0)
        return None

    def cut(self, partial: str) -> BudgetExceeded:
        """Give the error for a stream that ran past the hold."""
        scope = next((s for s in self.demand.scopes if s.budget.on_exceed == "raise"), self.demand.scopes[0])
        budget = scope.budget
        unit = "usd" if budget.usd is not None else "tokens"
        error = BudgetExceeded(
            f"the reply was cut: it ran past what budget {scope.account} held for it, because the provider did not "
            "keep to max_output_tokens",
            scope=scope.account,
            limit=to_usd(budget.nanos or 0) if unit == "usd" else Decimal(budget.tokens or 0),
            spent=to_usd(self.held.usd) if unit == "usd" else Decimal(self.held.tokens),
            unit=unit,
            partial=partial,
        )
        error.request_id = self._request.record.id
        return error


def exceeded(request: Request, demand: Demand, refusal: Refusal, *, more: Amounts | None = None) -> BudgetExceeded:
    """Give the error for a call that a budget does not cover: which, how far it is, until when, what to do.

    `more` is what another attempt needs beyond what the call holds already.
    """
    line, unit = refusal.line, refusal.unit
    scope = next(s for s in demand.scopes if s.account == line.account and s.line(demand.at).window == line.window)
    used = refusal.posted + refusal.pending
    least = demand.minimum if more is None else more
    needed = {"usd": least.usd, "tokens": least.tokens, "calls": least.calls}[unit]
    need = f"the call needs at least {_amount(unit, needed)}"
    if more is not None:
        need = f"another attempt of this one needs {_amount(unit, needed)} more"
    end = _free_again(scope.budget, refusal, demand.at)
    if scope.budget.per == "call":
        until, advice = "", "raise the limit, shorten the prompt, or use a cheaper model"
    elif end is None:
        until, advice = "", "raise the limit"
    else:
        anew = f"it starts anew at {end:%Y-%m-%d %H:%M}"
        if line.since is not None:
            anew = f"some of it comes free at {end:%Y-%m-%d %H:%M:%S}"
        until, advice = f"; {anew} UTC", "wait until then, or raise the limit"
    running = f" and {_amount(unit, refusal.pending)} held by running calls" if refusal.pending else ""
    limit = {"usd": line.usd, "tokens": line.tokens, "calls": line.calls}[unit] or 0
    whole = "" if limit == refusal.limit else f" ({_amount(unit, refusal.limit)} with grace and credit)"
    error = BudgetExceeded(
        f"budget {line.account} of {_amount(unit, limit)} {scope.budget.period}{whole} does not cover this call: "
        f"{_amount(unit, refusal.posted)} spent{running}, and {need}{until}; {advice}",
        scope=line.account,
        limit=to_usd(refusal.limit) if unit == "usd" else Decimal(refusal.limit),
        spent=to_usd(used) if unit == "usd" else Decimal(used),
        unit=unit,
        resets_at=end,
    )
    error.request_id = request.record.id
    error.attempts = tuple(request.record.attempts)
    return error


def _free_again(budget: Budget, refusal: Refusal, at: float) -> datetime | None:
    """Give the end of the period, or when the first of what was spent in a rolling window leaves it."""
    if isinstance(budget.per, timedelta):
        return None if refusal.oldest is None else rolling_end(budget.per, refusal.oldest)
    return budget.window(at).end


def charge_for(request: Request, hold: Hold | None, outcome: str) -> Charge:
    """Add up what a call's attempts cost. Without a meter inside, what was held is all that is known."""
    attempts = request.record.attempts
    payer = Payer(request.user, request.tenant)
    if not attempts:
        held = NOTHING if hold is None else hold.held
        usd = held.usd if hold is not None and hold.counts_money else None
        return Charge(
            usd, request.provider, request.model, output_tokens=held.tokens, attempts=0, estimated=True,
            outcome=outcome, payer=payer,
        )  # fmt: skip
    usage = Usage()
    for attempt in attempts:
        usage += attempt.usage
    last = attempts[-1]
    return Charge(
        request.record.cost_nanos,
        last.provider,
        last.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        len(attempts),
        usage.estimated,
        outcome,
        payer,
    )


def _amount(unit: str, amount: int) -> str:
    if unit == "usd":
        return format_usd(amount)
    return f"{amount:,} {unit if amount != 1 else unit[:-1]}"
