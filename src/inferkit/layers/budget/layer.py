"""Reserves what a call may cost before it is sent, and settles what it did cost, once, however it ended.

The cap holds by construction: a reservation is an upper bound, and where the budget does not buy the output that was
asked for, `max_output_tokens` is lowered to what it buys.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from inferkit.core.errors import BudgetExceeded, ConfigurationError, LedgerError
from inferkit.core.shown import shown
from inferkit.layers.budget.degrade import NO_DEGRADING, Degrading, degraded
from inferkit.layers.budget.hold import Hold
from inferkit.layers.budget.landing import Landed
from inferkit.layers.budget.quote import Quote, quote_of
from inferkit.layers.budget.refusal import exceeded
from inferkit.layers.budget.settlement import Settlement
from inferkit.layers.budget.standing import with_standing
from inferkit.layers.budget.sweeper import Sweeper
from inferkit.layers.budget.thresholds import tell_of_thresholds
from inferkit.layers.budget.truncation import Truncated
from inferkit.layers.resolve import resolved
from inferkit.layers.route import planned
from inferkit.ledger.amounts import Grant

if TYPE_CHECKING:
    from inferkit.budgets.scope import Scope
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response
    from inferkit.ledger.amounts import Refusal
    from inferkit.ledger.protocols import Accounts
    from inferkit.plans.subscriptions import Plans, Subscription
    from inferkit.pricing.estimates import LearnedEstimates
    from inferkit.pricing.price_book import PriceBook
    from inferkit.routing.combining import Routes

__all__ = ["BudgetLayer"]

_log = logging.getLogger("inferkit")
_MARGIN_SECONDS = 60.0


class BudgetLayer:
    """Charges each call to `request.scopes`, and enters calls without any in the ledger's journal.

    `plans` says which allowance each customer has, `prices` what the candidates charge, and `routes` which of them goes
    first: that one is reserved for, and each other one when it is asked. The input counts as what `learned` expects, or
    as its strict bound. A call whose caller sets no `max_output_tokens` is held to `default_output_tokens`; one for
    which the budget buys fewer than `min_output_tokens` is refused with `BudgetExceeded`, or taken to the smaller model
    that the budget names. A hold is leased for `lease_seconds`, or until the call's deadline. `on_store_error` says
    whether a call goes ahead when the ledger cannot be written: "block" or "allow".
    """

    role = "budget"

    def __init__(
        self,
        accounts: Accounts | None,
        *,
        prices: PriceBook,
        routes: Routes | None = None,
        plans: Plans | None = None,
        learned: LearnedEstimates | None = None,
        default_output_tokens: int = 4096,
        min_output_tokens: int = 16,
        lease_seconds: float = 600.0,
        on_store_error: Literal["block", "allow"] = "block",
    ) -> None:
        if on_store_error not in ("block", "allow"):
            raise ConfigurationError(f'on_store_error is "block" or "allow"; got {on_store_error!r}')
        if not 0 < min_output_tokens <= default_output_tokens:
            raise ConfigurationError("min_output_tokens is at least 1 and at most default_output_tokens")
        if lease_seconds <= 0:
            raise ConfigurationError(f"lease_seconds is above zero; got {lease_seconds}")
        self._accounts = accounts
        self._sweeper = None if accounts is None else Sweeper(accounts)
        self._prices = prices
        self._routes = routes
        self._plans = plans
        self._learned = learned
        self._default_output = default_output_tokens
        self._min_output = min_output_tokens
        self._lease = lease_seconds
        self._blocks = on_store_error == "block"

    def __repr__(self) -> str:
        on_store_error = "block" if self._blocks else "allow"
        return shown(self, *([] if self._plans is None else [self._plans]), on_store_error=on_store_error)

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        accounts, sweeper = self._accounts, self._sweeper
        if accounts is None or sweeper is None:
            if request.scopes:
                raise ConfigurationError("a budget needs a ledger to keep count in; pass ledger=SqliteLedger(path)")
            return await call_next(request)
        subscription = None
        if self._plans is not None:
            subscription, request = await self._under_plan(self._plans, request)
        if not request.candidates:
            request = resolved(request)
        if self._routes is not None and not self._routes.are_plain:
            request = await self._with_standing(accounts, request, self._routes.needs(request.model), subscription)
        settlement = Settlement(accounts, request, self._prices, sweeper)
        try:
            if request.scopes:
                request = await self._reserve(accounts, request, settlement)
            response = await self._send(request, call_next, settlement)
            if settlement.hold is not None and settlement.hold.lands:
                return response.through(Landed(response, request, call_next), on_close=settlement.at_end)
            if settlement.hold is not None and settlement.hold.truncates:
                return response.through(Truncated(response), on_close=settlement.at_end)
            return response.map(on_close=settlement.at_end)
        except BaseException as error:
            try:
                await settlement.after_failure(error)
            finally:  # an interrupt may come meanwhile, and `error` may keep the settlement alive
                settlement.abandon()
            raise

    async def standing(self, request: Request) -> Request:
        """Give a request, which is not going to be sent, with how it stands. Raises `LedgerError`."""
        if self._accounts is None or self._routes is None:
            return request
        subscription, needs = None, self._routes.needs(request.model)
        if self._plans is not None:
            subscription, request = await self._under_plan(self._plans, request)
        return await self._with_standing(self._accounts, request, needs, subscription)

    def close(self) -> None:
        """Leave the ledger alone from now on, as far as no call needs it."""
        if self._sweeper is not None:
            self._sweeper.close()

    async def _under_plan(self, plans: Plans, request: Request) -> tuple[Subscription | None, Request]:
        """Add the allowance of the customer's plan to what pays."""
        user, tenant = request.user, request.tenant
        try:
            subscription = await plans.look_up(request.runtime, user, tenant, request.plan)
        except LedgerError as error:
            if self._blocks:
                raise
            _log.warning("a call goes ahead without its plan, as configured: %s", error)
            return None, request
        if subscription.plan is None:
            return None, request
        request.record.plan = subscription.plan.name
        scopes = plans.scopes(subscription, user, tenant)
        return subscription, request.replace(scopes=(*request.scopes, *scopes)) if scopes else request

    async def _with_standing(
        self, accounts: Accounts, request: Request, needs: frozenset[str], subscription: Subscription | None
    ) -> Request:
        """Add how the call stands, for a policy that goes by it."""
        if not needs:
            return request
        try:
            return await with_standing(accounts, request, needs, plans=self._plans, subscription=subscription)
        except LedgerError as error:
            if self._blocks:
                raise
            _log.warning("a call is routed without what its budgets have left, as configured: %s", error)
            return request

    async def _reserve(self, accounts: Accounts, asked: Request, settlement: Settlement) -> Request:
        """Reserve, or refuse with `BudgetExceeded`; give the request as it may be sent."""
        request, at, degrading = asked, asked.runtime.time(), _degrading(asked)
        while True:
            quote = self._quote(request, at, degrading)
            try:
                answer = await self._ask(request, quote, settlement)
            except LedgerError as error:
                if self._blocks:
                    error.request_id = request.record.id
                    raise
                _log.warning("a call goes ahead without its budget, as configured: %s", error)
                request.record.note("budget", decision="ledger failed", error=type(error).__name__)
                return request
            if isinstance(answer, Grant):
                return self._hold(accounts, request, quote, answer, settlement)
            scope = quote.refuser(answer)
            if scope is None:
                await tell_of_thresholds(accounts, request.runtime, request, quote)
                request.record.note("budget", decision="refused", scope=answer.line.account, unit=answer.unit)
                raise exceeded(quote, answer)
            degrading = degrading.by(scope)
            request = degraded(asked, scope, answer, instead_of=request.model)

    def _quote(self, request: Request, at: float, degrading: Degrading) -> Quote:
        return quote_of(
            planned(self._routes, request),
            self._prices,
            at,
            default_output=self._default_output,
            min_output=self._min_output,
            degrading=degrading,
            learned=self._learned,
        )

    async def _ask(self, request: Request, quote: Quote, settlement: Settlement) -> Grant | Refusal:
        if quote.refusal is not None:
            return quote.refusal
        if not quote.lines:
            return Grant(quote.wanted)
        lease = self._lease_of(request)
        if quote.whole:
            answer = await settlement.reserve(request, quote, quote.wanted, lease=lease)
            if isinstance(answer, Grant) or quote.refuser(answer) is not None:
                return answer
        return await settlement.reserve(request, quote, quote.minimum, lease=lease)

    def _lease_of(self, request: Request) -> float:
        """How long a hold for this request lasts, in seconds."""
        if request.deadline is None:
            return self._lease
        return max(0.0, request.deadline - request.runtime.now()) + _MARGIN_SECONDS

    def _hold(
        self, accounts: Accounts, request: Request, quote: Quote, grant: Grant, settlement: Settlement
    ) -> Request:
        record = request.record
        lease = self._lease_of(request)
        record.hold = settlement.hold = hold = Hold(
            accounts, request, quote=quote, grant=grant, lease=lease, prices=self._prices, learned=self._learned
        )
        output = hold.cap
        record.clamped = output is not None and output < (quote.output or 0)
        facts: dict[str, Any] = {
            "decision": "lowered" if record.clamped else "reserved",
            "scope": quote.accounts,
            "estimate_nanos": grant.amounts.usd,
        }
        if grant.remaining[0] is not None:
            facts["remaining_nanos"] = grant.remaining[0]
        record.note("budget", **facts)
        return request if output is None else request.replace(max_output_tokens=output)

    async def _send(self, request: Request, call_next: Handler, settlement: Settlement) -> Response:
        """Call on, and once more for each budget that does not cover another attempt and names a smaller model."""
        hold, scope = settlement.hold, None
        while True:
            try:
                if hold is not None and scope is not None:
                    request = self._turn(request, hold, scope, settlement.asked)
                return await call_next(request)
            except BudgetExceeded as error:
                scope = None if hold is None else hold.refuser(error)
                if scope is None:
                    raise

    def _turn(self, request: Request, hold: Hold, scope: Scope, asked: Request) -> Request:
        """Take a call to the scope's smaller model, after attempts that came to nothing."""
        assert hold.refusal is not None
        smaller = degraded(asked, scope, hold.refusal, instead_of=request.model)
        quote = self._quote(smaller, hold.quote.at, hold.quote.degrading.by(scope))
        hold.turn_to(quote)
        smaller.record.clamped = False  # the hold says otherwise where it is
        return smaller if quote.output is None else smaller.replace(max_output_tokens=quote.output)


def _degrading(request: Request) -> Degrading:
    if (
        request.operation == "embed"
    ):  # vectors of another model would be of another kind, and compare with none of these
        return NO_DEGRADING
    for scope in request.scopes:
        if scope.budget.degrade_to is not None:
            return Degrading.of(request)
    return NO_DEGRADING
