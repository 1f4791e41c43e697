"""What the budget layer holds for a call while it runs, for the layers inside it to ask and to extend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import BudgetExceeded
from inferkit.layers.budget.refusal import exceeded, ran_past
from inferkit.ledger.amounts import Amounts, Grant, Refusal
from inferkit.pricing.estimates import input_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.budgets.scope import Scope
    from inferkit.core.request import Request
    from inferkit.layers.budget.quote import Demand
    from inferkit.ledger.protocols import Accounts
    from inferkit.pricing.estimates import LearnedEstimates

__all__ = ["Hold"]


class Hold:
    """A reservation that covers the attempts of one call, also where several run at the same time.

    `counts_money` and `counts_tokens` say what the budgets that pay are limited in. `truncates` is true where a stream
    that runs past the hold ends with the finish reason "budget" rather than with `BudgetExceeded`: unless a budget that
    pays says "raise".
    """

    def __init__(
        self,
        accounts: Accounts,
        request: Request,
        *,
        demand: Demand,
        grant: Grant,
        lease: float,
        now: Callable[[], float],
        learned: LearnedEstimates | None = None,
    ) -> None:
        self.demand = demand
        self.held = grant.amounts
        self.counts_money = demand.counts_money
        self.counts_tokens = demand.counts_tokens
        self.truncates = all(scope.budget.on_exceed != "raise" for scope in demand.scopes)
        self.refusal: Refusal | None = None
        self._accounts = accounts
        self._request = request
        self._now = now
        self._lease = lease
        self._learned = learned

    @property
    def sets_length(self) -> bool:
        """Whether it is the budgets that say how long the reply may be, and not the caller."""
        asked = self._request
        return self.demand.output is not None and (asked.max_output_tokens is None or asked.record.clamped)

    def input_bound(self, request: Request) -> int:
        """How many input tokens a request may come to on its model: as was reserved for, while it stays as it was.

        What other calls taught in the meantime does not count: a call that was granted must not fail over it.
        """
        demand = self.demand
        if demand.output is not None and request.messages is self._request.messages:
            if not demand.estimates:
                return demand.input
            reserved = demand.estimates.get((request.provider or "", request.model))
            if reserved is not None:
                return reserved
        return input_tokens(request, self._learned)

    def left(self) -> tuple[int, int]:
        """Nano-dollars and tokens of what is held that no attempt has used, and none that runs may still use."""
        record = self._request.record
        nanos, tokens = self.held.usd, self.held.tokens
        for attempt in record.attempts:
            nanos -= attempt.cost_nanos or 0
            tokens -= attempt.usage.total_tokens
        for most_nanos, most_tokens in list(record.running.values()):  # one may end meanwhile, in any thread
            nanos -= most_nanos
            tokens -= most_tokens
        return nanos, tokens

    async def ensure(self, attempt: object, nanos: int, tokens: int = 0) -> None:
        """Commit to `attempt` what it may cost, until it leaves `record.running`; hold more where too little is left.

        Raises `BudgetExceeded` where the budgets do not allow that; then nothing is committed.
        """
        running, more = self._request.record.running, self._missing(nanos, tokens)
        running[attempt] = nanos, tokens
        try:
            await self._hold_more(more)
        except BaseException:
            del running[attempt]
            raise

    def _missing(self, nanos: int, tokens: int) -> Amounts:
        """What costs nothing is covered, whatever is left."""
        left_nanos, left_tokens = self.left()
        return Amounts(
            max(0, nanos - left_nanos) if self.counts_money and nanos else 0,
            max(0, tokens - left_tokens) if self.counts_tokens else 0,
        )

    async def _hold_more(self, more: Amounts) -> None:
        if not any(more):
            return
        self.refusal = self._single_call_refusal(more) or await self._extend(more)
        if self.refusal is not None:
            raise exceeded(self._request, self.demand, self.refusal, more=more)

    def refuser(self, error: BudgetExceeded) -> Scope | None:
        """Give the scope that refused another attempt, if it may take the call to a smaller model."""
        if self.refusal is None or self.refusal.line.account != error.scope:
            return None
        return self.demand.refuser(self.refusal)

    async def turn_to(self, demand: Demand) -> int | None:
        """Hold what the call needs from here on, by another model; give how many output tokens it may ask for.

        What its attempts cost so far stays charged. Raises `BudgetExceeded` where even the least is not covered.
        """
        self.demand, self.refusal = demand, demand.refusal
        self.counts_money, self.counts_tokens = demand.counts_money, demand.counts_tokens
        if self.refusal is not None:
            raise exceeded(self._request, demand, self.refusal)
        least, more = self._missing(*demand.minimum[:2]), self._missing(*demand.wanted[:2])
        while True:
            try:
                await self._hold_more(more)
                break
            except BudgetExceeded as error:
                lower = None if demand.whole and self.refuser(error) else _lowered(more, least, self.refusal)
                if lower is None:
                    raise
                more = lower
        nanos, tokens = self.left()
        return demand.output_within(
            Amounts(
                max(0, nanos) if self.counts_money else demand.wanted.usd,
                tokens if self.counts_tokens else demand.wanted.tokens,
            )
        )

    def _count(self, more: Amounts) -> None:
        self.held = Amounts(self.held.usd + more.usd, self.held.tokens + more.tokens, self.held.calls)

    async def _extend(self, more: Amounts) -> Refusal | None:
        request, lines = self._request, self.demand.lines
        self._count(more)  # before waiting: an attempt that starts meanwhile asks only for what it needs itself
        if not lines:
            return None
        answer = None
        try:
            answer = await self._accounts.extend(
                request.runtime, request.record.id, lines, more, at=self._now(), lease_seconds=self._lease
            )
        finally:
            if not isinstance(answer, Grant):
                self._count(Amounts(-more.usd, -more.tokens))
        return None if isinstance(answer, Grant) else answer

    def _single_call_refusal(self, more: Amounts) -> Refusal | None:
        for scope in self.demand.scopes:
            if scope.budget.per != "call":
                continue
            line = self.demand.degrading.line(scope, self.demand.at)
            if line.usd is not None and self.held.usd + more.usd > line.usd:
                return Refusal(line, "usd", line.usd, self.held.usd, 0)
            if line.tokens is not None and self.held.tokens + more.tokens > line.tokens:
                return Refusal(line, "tokens", line.tokens, self.held.tokens, 0)
        return None

    def cut(self) -> BudgetExceeded:
        """Give the error for a stream that ran past the hold."""
        return ran_past(self.demand, self.held)


def _lowered(more: Amounts, least: Amounts, refusal: Refusal | None) -> Amounts | None:
    """Give as much of what was refused as the line that refused it can spare, if that is enough."""
    if refusal is None:
        return None
    unit = Amounts._fields.index(refusal.unit)
    spare = refusal.limit - refusal.posted - refusal.pending
    return more._replace(**{refusal.unit: spare}) if least[unit] <= spare < more[unit] else None
