"""What customers owe for a period: their plans' prices, for the part of each billing period that lies in it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from inferkit.budgets.windows import window
from inferkit.runtime.yielding import Pauses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from inferkit.ledger.journal import Assignment
    from inferkit.plans.plan import Billing, Plan

__all__ = ["Customer", "SubscriptionPeriod", "payer_of", "revenue_of", "subscription_periods", "unassigned_periods"]


class Customer(NamedTuple):
    """Who is on a plan: a user, or a tenant with all its users. Both None: calls that name nobody."""

    user: str | None = None
    tenant: str | None = None

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.user or self.tenant or "(nobody)"


_NOBODY = Customer()


class SubscriptionPeriod(NamedTuple):
    """A customer was on a plan, with so many seats, from `start` until before `end` (seconds since the epoch)."""

    customer: Customer
    plan: str
    seats: int
    start: float
    end: float


def subscription_periods(assignments: Iterable[Assignment], since: float, until: float) -> list[SubscriptionPeriod]:
    """Turn assignments, in the order of their instants, into what overlaps a period, cut to it."""
    current: dict[Customer, Assignment] = {}
    found: list[SubscriptionPeriod] = []

    def leave(customer: Customer, at: float) -> None:
        before = current.pop(customer, None)
        if before is not None and before.plan is not None:
            start, end = max(since, before.at), min(until, at)
            if start < end:
                found.append(SubscriptionPeriod(customer, before.plan, before.seats, start, end))

    pause = Pauses()
    for assignment in assignments:
        pause()
        customer = Customer(assignment.user, assignment.tenant)
        leave(customer, assignment.at)
        current[customer] = assignment
    for customer in list(current):
        leave(customer, until)
    return found


def payer_of(user: str | None, tenant: str | None, assigned: Collection[Customer]) -> Customer:
    """Give who pays for a call: the user if it has a plan of its own, or else the tenant if that has one."""
    own = Customer(user=user)
    if user is not None and own in assigned:
        return own
    shared = Customer(tenant=tenant)
    return shared if user is None or (tenant is not None and shared in assigned) else own


def unassigned_periods(
    calls: Iterable[tuple[Customer, str | None, float]],
    assigned: Collection[Customer],
    plans: Mapping[str, Plan],
    until: float,
) -> list[SubscriptionPeriod]:
    """Give the subscriptions of customers that were assigned no plan and made calls under the default one.

    `calls` say who pays for some, under which plan, and when the first of them was entered.
    """
    found: dict[Customer, tuple[float, str]] = {}
    pause = Pauses()
    pauses = pause.are_any
    for customer, plan, at in calls:
        if pauses:
            pause()
        if plan is not None and customer not in assigned and customer != _NOBODY:
            first = (at, plan)
            found[customer] = min(first, found.get(customer, first))
    return [
        SubscriptionPeriod(customer, name, plans[name].seats if name in plans else 1, at, until)
        for customer, (at, name) in found.items()
    ]


def revenue_of(subscription: SubscriptionPeriod, plans: Mapping[str, Plan]) -> int:
    """Give what a subscription period brings in, in nano-dollars: half of a month brings half of its price.

    Periods that adjoin bring together what one period would. A plan that is not known brings nothing.
    """
    plan = plans.get(subscription.plan)
    if plan is None or not plan.price_nanos:
        return 0
    price = plan.revenue(subscription.seats)
    total = 0
    for start, end in _billing_periods(plan.per, plan.zone, subscription.start, subscription.end):
        length = _milliseconds(end - start)
        owed = [
            price * _milliseconds(min(end, max(start, at)) - start) // length
            for at in (subscription.start, subscription.end)
        ]
        total += owed[1] - owed[0]
    return total


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


@functools.lru_cache(maxsize=1024)
def _billing_periods(per: Billing, zone: str, start: float, end: float) -> tuple[tuple[float, float], ...]:
    """Give the bounds of those that overlap; most customers of a plan are on it for the same time."""
    found, at = [], start
    while at < end:
        period = window(per, at, zone)
        assert period.start is not None
        assert period.end is not None
        at = period.end.timestamp()
        found.append((period.start.timestamp(), at))
    return tuple(found)
