"""What customers owe for a period: their plans' prices, for the part of each billing period that lies in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inferkit.budgets.windows import window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inferkit.budgets.book import Assignment
    from inferkit.budgets.plan import Plan

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

    A plan that is not known brings nothing.
    """
    plan = plans.get(stay.plan)
    if plan is None or not plan.price_nanos:
        return 0
    price = plan.revenue(stay.seats)
    total = 0
    for start, end in _billing_periods(plan, stay.start, stay.end):
        overlap = min(end, stay.end) - max(start, stay.start)
        total += price * round(overlap * 1000) // round((end - start) * 1000)
    return total


def _billing_periods(plan: Plan, start: float, end: float) -> Iterator[tuple[float, float]]:
    at = start
    while at < end:
        period = window(plan.per, at, plan.zone)
        assert period.start is not None
        assert period.end is not None
        yield period.start.timestamp(), period.end.timestamp()
        at = period.end.timestamp()
