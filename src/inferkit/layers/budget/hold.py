"""What the budget layer holds for a call while it runs, for the layers inside it to ask and to extend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.layers.budget.landing import kept_for_landing
from inferkit.layers.budget.quote import input_of
from inferkit.layers.budget.refusal import exceeded, ran_past
from inferkit.ledger.amounts import NOTHING, Amounts, Grant, Refusal
from inferkit.pricing.estimates import input_tokens
from inferkit.pricing.terms import PLAIN

if TYPE_CHECKING:
    from inferkit.budgets.scope import Scope
    from inferkit.core.errors import BudgetExceeded
    from inferkit.core.request import Request
    from inferkit.layers.budget.quote import Quote
    from inferkit.ledger.protocols import Accounts
    from inferkit.pricing.estimates import LearnedEstimates
    from inferkit.pricing.habits import Model
    from inferkit.pricing.price_book import PriceBook
    from inferkit.pricing.prices import Price

__all__ = ["Hold"]

_NO_LIMIT = 2**63


class Hold:
    """A reservation that covers the attempts of one call, also where several run at the same time.

    `counts_money` and `counts_tokens` say what the budgets that pay are limited in. `truncates` is true where a stream
    that runs past the hold ends with the finish reason "budget" rather than with `BudgetExceeded`: unless a budget
    that pays says "raise". `lands` is true where a local model ends what was cut: what that may take is kept free
    of what the attempts may write, where enough is left beside it. `cap` is how many output tokens the candidate
    that goes first may ask for.
    """

    def __init__(
        self,
        accounts: Accounts,
        request: Request,
        *,
        quote: Quote,
        grant: Grant,
        lease: float,
        prices: PriceBook,
        learned: LearnedEstimates | None = None,
    ) -> None:
        self.quote = quote
        self.held = grant.amounts
        self.counts_money = quote.counts_money
        self.counts_tokens = quote.counts_tokens
        self.truncates = not [scope for scope in quote.scopes if scope.budget.on_exceed == "raise"]
        landing = [scope for scope in quote.scopes if scope.budget.on_exceed == "land"]
        self.lands = bool(landing) and request.operation == "chat"
        self.refusal: Refusal | None = None
        self.cap = quote.output_within(grant.amounts)
        self._inputs: dict[Model, int] = {} if quote.model is None else {quote.model: quote.input}
        self._accounts = accounts
        self._request = request
        self._lease = lease
        self._waiting: set[object] = set()
        self._is_over = False
        self._prices = prices
        self._learned = learned
        self._kept: Amounts | None = None if self.lands else NOTHING
        if self.lands and self.cap is not None and self.cap < (quote.output or 0):
            less = quote.output_within(_less(grant.amounts, self._for_landing()))
            self.cap = self.cap if less is None or less < quote.least else less

    def _for_landing(self) -> Amounts:
        """Give what is kept for a landing."""
        if self._kept is None:
            kept = kept_for_landing(self._request, self._prices)
            self._kept = Amounts(kept.usd if self.counts_money else 0, kept.tokens if self.counts_tokens else 0)
        return self._kept

    @property
    def sets_length(self) -> bool:
        """Whether it is the budgets that say how long the reply may be, and not the caller."""
        asked = self._request
        return self.quote.output is not None and (asked.max_output_tokens is None or asked.record.clamped)

    def input_bound(self, request: Request) -> int:
        """How many input tokens a request may come to on its model: as was reserved for, while it stays as it was.

        What other calls taught in the meantime does not count: a call that was granted must not fail over it.
        """
        quote = self.quote
        if quote.output is None or request.messages is not self._request.messages:
            return input_tokens(request, self._learned)
        model = (request.provider or "", request.model)
        known = self._inputs.get(model)
        if known is None:
            known = self._inputs[model] = input_of(request, model, self._prices, quote.terms, self._learned)
        return known

    def bounds(self, request: Request, price: Price | None) -> Price | None:
        """Give the price whose bounds cover an attempt on the terms that the call asks for. Raises `UnpricedModel`."""
        terms = self.quote.terms
        if terms is PLAIN or not self.counts_money:
            return price
        return self._prices.price_on(request.provider or "", request.model, terms)

    def left(self) -> tuple[int, int]:
        """Nano-dollars and tokens of what is held that no attempt has used, and none that runs may still use."""
        record = self._request.record
        nanos, tokens = self.held.usd, self.held.tokens
        for attempt in record.attempts:
            nanos -= attempt.cost_nanos or 0
            tokens -= attempt.usage.input_tokens + attempt.usage.output_tokens
        for most_nanos, most_tokens in list(record.running.values()):  # one may end meanwhile, in any thread
            nanos -= most_nanos
            tokens -= most_tokens
        return nanos, tokens

    async def cover(self, attempt: object, request: Request, price: Price | None) -> int | None:
        """Commit to `attempt` what it may cost, until it leaves `record.running`; give the output that it may ask for.

        Each attempt is capped at its own model's price. More is held where too little is left for it, and where the
        budgets do not allow that, its output is lowered to what they do allow. Raises `BudgetExceeded` where even the
        least is not covered; then nothing is committed. None: it may write as much as it likes.
        """
        quote = self.quote
        stated = self.cap if request.max_output_tokens is None else request.max_output_tokens
        if stated is None:
            return None
        price = self.bounds(request, price)
        tokens, wanted, output = self.input_bound(request), stated, stated
        if stated == self.cap and quote.output is not None:  # as the budget layer had set it, for the first candidate
            wanted = quote.output
            output = stated if (request.provider, request.model) == quote.model else wanted
        least, start = min(wanted, quote.least), output
        while True:
            refusal = await self._commit(attempt, *_most(price, tokens, output))
            if refusal is None:
                break
            lower = None
            if not quote.whole or not quote.refuser(refusal):
                kept = NOTHING if request.attempt_kind == "landing" else self._for_landing()
                lower = self._output_left(refusal, price, tokens, kept)
                if lower is not None and lower < least and any(kept):
                    lower = self._output_left(refusal, price, tokens, NOTHING)
            if lower is None or not least <= lower < output:
                raise self._refused(refusal, self._missing(*_most(price, tokens, least)))
            output = lower
        record = request.record
        record.clamped = output < wanted or (record.clamped and len(record.running) > 1)
        if output < start:
            record.note("budget", decision="lowered", scope=quote.accounts, max_output_tokens=output)
        return output

    def all_for(self, attempt: object, request: Request, price: Price | None) -> int:
        """Give an attempt all that is held and not committed to another; give the output tokens that this pays for."""
        running, tokens = self._request.record.running, self.input_bound(request)
        free = zip(self.left(), self._for_landing(), running[attempt], strict=False)
        nanos, most = (max(0, left - kept) + own for left, kept, own in free)
        running[attempt] = nanos, most
        output = most - tokens if self.counts_tokens else None
        price = self.bounds(request, price) or price
        affordable = price.affordable_output(tokens, nanos) if self.counts_money and price is not None else None
        return min([most for most in (output, affordable) if most is not None], default=_NO_LIMIT)

    async def _commit(self, attempt: object, nanos: int, tokens: int) -> Refusal | None:
        running, more = self._request.record.running, self._missing(nanos, tokens)
        refusal, granted = None, False
        self._waiting.add(attempt)
        running[attempt] = nanos, tokens
        try:
            if any(more):
                self.refusal = refusal = self._single_call_refusal(more) or await self._extend(more)
            granted = refusal is None
        finally:
            if not granted:
                del running[attempt]
            self._waiting.discard(attempt)
        if granted and self._is_over:  # `at_end` did not count it
            del running[attempt]
            raise LedgerError(f"call {self._request.record.id} was settled before another attempt of it could begin")
        return refusal

    def at_end(self) -> list[tuple[object, tuple[int, int]]]:
        """Give each attempt that still runs with what it may cost, in nano-dollars and tokens, for the settlement.

        One that still waits to hear whether it is covered costs nothing: it is not begun any more.
        """
        self._is_over = True
        running = list(self._request.record.running.items())
        return [each for each in running if each[0] not in self._waiting]

    def _output_left(self, refusal: Refusal, price: Price | None, tokens: int, kept: Amounts) -> int | None:
        """How many output tokens are left by what the call holds and the line that refused it can spare, if any."""
        nanos_left, tokens_left = (left - keep for left, keep in zip(self.left(), kept, strict=False))
        spare = refusal.limit - refusal.posted - refusal.pending
        if refusal.unit == "tokens":
            return tokens_left + spare - tokens
        if refusal.unit == "usd" and price is not None:
            return price.affordable_output(tokens, nanos_left + spare)
        return None

    def _refused(self, refusal: Refusal, more: Amounts) -> BudgetExceeded:
        error = exceeded(self.quote, refusal, more=more)
        error.others_may_do = self.quote.refuser(refusal) is None
        return error

    def _missing(self, nanos: int, tokens: int) -> Amounts:
        """What costs nothing is covered, whatever is left."""
        left_nanos, left_tokens = self.left()
        return Amounts(
            max(0, nanos - left_nanos) if self.counts_money and nanos else 0,
            max(0, tokens - left_tokens) if self.counts_tokens else 0,
        )

    def refuser(self, error: BudgetExceeded) -> Scope | None:
        """Give the scope that refused another attempt, if it may take the call to a smaller model."""
        if self.refusal is None or self.refusal.line.account != error.scope:
            return None
        return self.quote.refuser(self.refusal)

    def turn_to(self, quote: Quote) -> None:
        """Pay for what another model needs from here on; what the attempts cost so far stays charged.

        Raises `BudgetExceeded` where a limit on each call forbids it.
        """
        self.quote, self.refusal, self.cap = quote, quote.refusal, quote.output
        self.counts_money, self.counts_tokens = quote.counts_money, quote.counts_tokens
        if self.refusal is not None:
            raise exceeded(quote, self.refusal)
        if quote.model is not None:
            self._inputs.setdefault(quote.model, quote.input)

    def _count(self, more: Amounts) -> None:
        self.held = Amounts(self.held.usd + more.usd, self.held.tokens + more.tokens, self.held.calls)

    async def _extend(self, more: Amounts) -> Refusal | None:
        request, lines = self._request, self.quote.lines
        self._count(more)  # before waiting: an attempt that starts meanwhile asks only for what it needs itself
        if not lines:
            return None
        answer = None
        try:
            answer = await self._accounts.extend(
                request.runtime, request.record.id, lines, more, at=request.runtime.time(), lease_seconds=self._lease
            )
        finally:
            if not isinstance(answer, Grant):
                self._count(Amounts(-more.usd, -more.tokens))
        return None if isinstance(answer, Grant) else answer

    def _single_call_refusal(self, more: Amounts) -> Refusal | None:
        for scope in self.quote.scopes:
            if scope.budget.per != "call":
                continue
            line = self.quote.degrading.line(scope, self.quote.at)
            if line.usd is not None and self.held.usd + more.usd > line.usd:
                return Refusal(line, "usd", line.usd, self.held.usd, 0)
            if line.tokens is not None and self.held.tokens + more.tokens > line.tokens:
                return Refusal(line, "tokens", line.tokens, self.held.tokens, 0)
        return None

    def cut(self) -> BudgetExceeded:
        """Give the error for a stream that ran past the hold."""
        return ran_past(self.quote, self.held)


def _less(amounts: Amounts, kept: Amounts) -> Amounts:
    return Amounts(amounts.usd - kept.usd, amounts.tokens - kept.tokens, amounts.calls)


def _most(price: Price | None, tokens: int, output: int) -> tuple[int, int]:
    """Give the most that an attempt may cost: in nano-dollars, and in tokens."""
    return 0 if price is None else price.upper_bound(tokens, output), tokens + output
