"""Looks up how a call's customer and budgets stand, for policies that go by it, and puts it on the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.ledger.decisions import UNITS
from inferkit.routing.standing import BUDGETS, MARGIN, STANDING, BudgetStanding, MarginStanding, Standing

if TYPE_CHECKING:
    from collections.abc import Collection

    from inferkit.budgets.scope import Scope
    from inferkit.core.request import Request
    from inferkit.ledger.protocols import Accounts
    from inferkit.plans.subscriptions import Plans, Subscription

__all__ = ["with_standing"]


async def with_standing(
    accounts: Accounts,
    request: Request,
    needs: Collection[str],
    *,
    plans: Plans | None,
    subscription: Subscription | None,
) -> Request:
    """Give the request with its `Standing`, as far as it is needed. Raises `LedgerError`.

    Where nothing else says what a customer cost in a billing period, the call is charged to an account without a limit
    from here on, which does.
    """
    at = request.runtime.time()
    margin: MarginStanding | None = None
    plan = None if subscription is None else subscription.plan
    if MARGIN in needs and plans is not None and subscription is not None and plan is not None:
        booked = plans.books(subscription, request.user, request.tenant)
        if booked is not None:
            if booked not in request.scopes:
                request = request.replace(scopes=(*request.scopes, booked))
            line, window = booked.line(at), booked.budget.window(at)
            balance = await accounts.balance(request.runtime, line.account, line.window)
            assert window.start is not None
            assert window.end is not None
            elapsed = (at - window.start.timestamp()) / (window.end - window.start).total_seconds()
            revenue = plan.revenue(subscription.seats)
            margin = MarginStanding(plan.name, revenue, balance.posted.usd, plan.margin, min(1.0, max(0.0, elapsed)))
    budgets: list[BudgetStanding] = []
    if BUDGETS in needs:
        for scope in request.scopes:
            budgets += await _left(accounts, request, scope, at)
    return STANDING.on(request, Standing(tuple(budgets), margin))


async def _left(accounts: Accounts, request: Request, scope: Scope, at: float) -> list[BudgetStanding]:
    """Say how each limit of a budget stands. One per call keeps no account."""
    budget = scope.budget
    if budget.per == "call" or budget.name is None:
        return []
    line = scope.line(at)
    balance = await accounts.balance(request.runtime, line.account, line.window, since=line.since)
    return [
        BudgetStanding(line.account, budget.name, unit, limit + extra, posted + held)
        for unit, limit, posted, held, extra in zip(
            UNITS, line[2:5], balance.posted, balance.pending, balance.extra, strict=True
        )
        if limit is not None
    ]
