"""What customers owe for a period: their plans' prices, for the part of each billing period that lies in it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from inferkit.budgets.windows import window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inferkit.ledger.journal import Assignment
    from inferkit.plans.plan import Billing, Plan

__all__ = ["Customer", "Stay", "revenue_of", "stays"]


class Customer(NamedTuple):
    """Who is on a plan: a user, or a tenant with all its users. Both None: calls that name nobody."""

    user: str | None = None
    tenant: str | None = None

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.user or self.tenant or "(nobody)"


class Stay(NamedTuple):
    """A customer was on a plan, with so many seats, from `start` until before `end` (seconds since the epoch)."""

    customer: Customer
    plan: str
    seats: int
    start: float
    end: float


def stays(assignments: Iterable[Assignment], since: float, until: float) -> list[Stay]:
    """Turn assignments, in the order of their instants, into the stays that overlap a period, cut to it."""
    current: dict[Customer, Assignment] = {}
    found: list[Stay] = []

    def leave(customer: Customer, at: float) -> None:
        before = current.pop(customer, None)
        if before is not None and before.plan is not None:
            start, end = max(since, before.at), min(until, at)
            if start < end:
                found.append(Stay(customer, before.plan, before.seats, start, end))

    for assignment in assignments:
        customer = Customer(assignment.user, assignment.tenant)
        leave(customer, assignment.at)
        current[customer] = assignment
    for customer in list(current):
        leave(customer, until)
    return found


def revenue_of(stay: Stay, plans: Mapping[str, Plan]) -> int:
    """Give what a stay brings in, in nano-dollars: a month that is stayed in for half its length brings half its price.

    Stays that adjoin bring together what one stay would. A plan that is not known brings nothing.
    """
    plan = plans.get(stay.plan)
    if plan is None or not plan.price_nanos:
        return 0
    price = plan.revenue(stay.seats)
    total = 0
    for start, end in _billing_periods(plan.per, plan.zone, stay.start, stay.end):
        length = _milliseconds(end - start)
        owed = [price * _milliseconds(min(end, max(start, at)) - start) // length for at in (stay.start, stay.end)]
        total += owed[1] - owed[0]
    return total


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


@functools.lru_cache(maxsize=1024)
def _billing_periods(per: Billing, zone: str, start: float, end: float) -> tuple[tuple[float, float], ...]:
    """Give the bounds of those that overlap; most customers of a plan stay for the same time."""
    found, at = [], start
    while at < end:
        period = window(per, at, zone)
        assert period.start is not None
        assert period.end is not None
        at = period.end.timestamp()
        found.append((period.start.timestamp(), at))
    return tuple(found)
