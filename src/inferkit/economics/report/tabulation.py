"""One table of all calls, from which every grouping of a report is made: what they cost, and what they brought in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from inferkit.economics.report.calls import attempt_costs, name_of
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod, revenue_of
from inferkit.economics.report.waste import Savings, Waste

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

    from inferkit.ledger.journal import Entry
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = ["Cell", "Sums", "Tabulation"]

_QUARTER = 900  # seconds; the clocks of no zone change within one


class Cell(NamedTuple):
    """What calls have in common. None where it is not known."""

    customer: Customer
    user: str | None
    tenant: str | None
    plan: str | None
    feature: str | None
    model: str | None


@dataclass(slots=True)
class Sums:
    """Amounts of a cell; money in nano-dollars."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    revenue: int = 0

    def add(self, other: Sums) -> None:
        """Add the amounts of another one."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost
        self.revenue += other.revenue


class Tabulation:
    """Adds up calls, by cell and by day, and what they saved and wasted."""

    def __init__(self, assigned: Iterable[SubscriptionPeriod], zone: ZoneInfo, baseline: Price | None) -> None:
        self.cells: dict[Cell, Sums] = defaultdict(Sums)
        self.days: dict[str, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
        self.waste = Waste()
        self.savings = Savings(baseline=baseline)
        self.unpriced = self.estimated = 0
        self.reported = [0, 0, 0]  # calls, what their providers say that they cost, what was booked
        self._assigned = {subscription.customer for subscription in assigned}
        self._first: dict[Customer, tuple[str, float]] = {}  # the plan of those who were assigned none, and since when
        self._zone = zone
        self._day = (-1.0, "")

    def add(self, entry: Entry) -> None:
        """Add a call."""
        charge = entry.charge
        user, tenant, feature, plan = charge.attribution
        customer = self._customer(user, tenant)
        if plan is not None and customer != Customer() and customer not in self._assigned:
            first = self._first.get(customer)
            if first is None or entry.at < first[1]:
                self._first[customer] = (plan, entry.at)
        if charge.usd is None:
            self.unpriced += entry.calls
        elif charge.estimated and entry.calls > 0:
            self.estimated += entry.calls
        reported = charge.details.reported_nanos
        if reported is not None and charge.usd is not None:
            for place, more in enumerate((entry.calls, reported, charge.usd)):
                self.reported[place] += more
        day = self._day_of(entry.at)
        for attempt in attempt_costs(charge, entry.calls):
            model = name_of(attempt.provider, attempt.model)
            cell = Cell(customer, user, tenant, plan, feature, model)
            self.cells[cell].add(Sums(attempt.calls, attempt.input_tokens, attempt.output_tokens, attempt.usd))
            self.days[day][model] += attempt.usd
        self.waste.add(entry)
        self.savings.add(entry)

    def _customer(self, user: str | None, tenant: str | None) -> Customer:
        """Give who pays for a call: the user if it has a plan of its own, or else the tenant if that has one."""
        own = Customer(user=user)
        if user is not None and own in self._assigned:
            return own
        shared = Customer(tenant=tenant)
        return shared if user is None or (tenant is not None and shared in self._assigned) else own

    def _day_of(self, at: float) -> str:
        """Give the date, of which a quarter of an hour has only one, in every zone."""
        quarter = at // _QUARTER
        if self._day[0] != quarter:
            self._day = (quarter, datetime.fromtimestamp(at, self._zone).date().isoformat())
        return self._day[1]

    def unassigned(self, plans: Mapping[str, Plan], until: float) -> list[SubscriptionPeriod]:
        """Give the subscriptions of customers that were assigned no plan and made calls under the default one."""
        return [
            SubscriptionPeriod(customer, name, plans[name].seats if name in plans else 1, first, until)
            for customer, (name, first) in self._first.items()
        ]

    def spread(self, subscriptions: Iterable[SubscriptionPeriod], plans: Mapping[str, Plan]) -> None:
        """Spread what each brings in over the customer's calls under the plan, evenly, or else over all of them.

        Without calls it stands by itself.
        """
        cells_of: dict[Customer, list[tuple[Cell, int]]] = defaultdict(list)
        for cell, sums in self.cells.items():
            if sums.calls > 0:
                cells_of[cell.customer].append((cell, sums.calls))
        for subscription in subscriptions:
            revenue, mine = revenue_of(subscription, plans), cells_of.get(subscription.customer, [])
            same = [(cell, calls) for cell, calls in mine if cell.plan == subscription.plan] or mine
            if not same:
                who = subscription.customer
                same = [(Cell(who, who.user, who.tenant, subscription.plan, None, None), 1)]
            all_calls = sum(calls for _, calls in same)
            passed = 0
            for cell, calls in same:
                before = revenue * passed // all_calls
                passed += calls
                self.cells[cell._replace(plan=subscription.plan)].revenue += revenue * passed // all_calls - before
