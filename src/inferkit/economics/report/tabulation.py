"""One table of all calls, from which every grouping of a report is made: what they cost, and what they brought in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from inferkit.economics.report.calls import attempt_costs, name_of, total_of
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod, revenue_of
from inferkit.economics.report.waste import Reported, Savings, Subtotal, Waste

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

    from inferkit.ledger.journal import Attribution, Entry
    from inferkit.ledger.summary import ModelName, Total
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
    """Amounts of a cell; money in nano-dollars. `before` is the part of the cost from before revenue was known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    revenue: int = 0
    before: int = 0

    def add(self, other: Sums) -> None:
        """Add the amounts of another one."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost
        self.revenue += other.revenue
        self.before += other.before


class Tabulation:
    """Adds up calls, by cell and by day, and what they saved and wasted."""

    def __init__(self, assigned: Iterable[SubscriptionPeriod], zone: ZoneInfo, baseline: Price | None) -> None:
        self.cells: dict[Cell, Sums] = defaultdict(Sums)
        self.days: dict[str, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
        self.waste = Waste()
        self.savings = Savings(baseline=baseline)
        self.unpriced = 0
        self.estimated = Subtotal()
        self.overrun = Subtotal()
        self.reported = Reported()
        self.first_planned: float | None = None
        """When the first call under a plan was entered."""
        self._assigned = {subscription.customer for subscription in assigned}
        self._first: dict[Customer, tuple[str, float]] = {}  # the plan of those who were assigned none, and since when
        self._customers: dict[tuple[str | None, str | None], Customer] = {}
        self._zone = zone
        self._day = (-1.0, "")

    def add(self, entry: Entry) -> None:
        """Add a call."""
        total = total_of(entry)
        if total is not None:
            self.add_total(total)
            self.spend(self._day_of(entry.at), {(total.provider, total.model): total.usd})
            return
        charge = entry.charge
        customer = self._payer(charge.attribution, entry.at)
        if charge.usd is None:
            self.unpriced += entry.calls
        elif charge.estimated:
            self.estimated.add(max(0, entry.calls), charge.usd)
        if charge.overrun:
            self.overrun.add(entry.calls, charge.overrun)
        if charge.usd is not None and charge.details.reported_nanos is not None:
            self.reported.add(entry.calls, charge.details.reported_nanos, charge.usd)
        day = self._day_of(entry.at)
        for attempt in attempt_costs(charge, entry.calls):
            self._cell(customer, charge.attribution, (attempt.provider, attempt.model)).add(
                Sums(attempt.calls, attempt.input_tokens, attempt.output_tokens, attempt.usd)
            )
            self.spend(day, {(attempt.provider, attempt.model): attempt.usd})
        self.waste.add(entry)
        self.savings.add(entry)

    def add_total(self, total: Total) -> None:
        """Add calls that are alike; `spend` adds what they cost to days."""
        customer = self._payer(total.attribution, total.first)
        if not total.priced:
            self.unpriced += total.calls
        elif total.estimated:
            self.estimated.add(total.calls, total.usd)
        if total.overrun:
            self.overrun.add(total.calls, total.overrun)
        if total.priced and total.is_reported:
            self.reported.add(total.calls, total.reported, total.usd)
        sums = self._cell(customer, total.attribution, (total.provider, total.model))
        sums.calls += total.calls
        sums.input_tokens += total.input_tokens
        sums.output_tokens += total.output_tokens
        sums.cost += total.usd
        self.waste.add_total(total)
        self.savings.add_total(total)

    def set_days(self, days: Mapping[str, Mapping[str | None, int]]) -> None:
        """Begin with what days cost already."""
        for day, costs in days.items():
            self.days[day].update(costs)

    def take_back(self, entry: Entry) -> None:
        """Take back what a call added to its day."""
        day = self.days[self._day_of(entry.at)]
        for attempt in attempt_costs(entry.charge, entry.calls):
            name = name_of(attempt.provider, attempt.model)
            day[name] -= attempt.usd
            if not day[name] and attempt.usd:
                del day[name]

    def add_total_before(self, total: Total) -> None:
        """Note of calls that are alike that they are from before revenue was known."""
        customer = self._payer(total.attribution, total.first)
        self._cell(customer, total.attribution, (total.provider, total.model)).before += total.usd

    def spend(self, day: str, costs: Mapping[ModelName, int]) -> None:
        """Add to what a day cost."""
        for (provider, model), usd in costs.items():
            self.days[day][name_of(provider, model)] += usd

    def _cell(self, customer: Customer, attribution: Attribution, model: ModelName) -> Sums:
        user, tenant, feature, plan = attribution
        return self.cells[Cell(customer, user, tenant, plan, feature, name_of(*model))]

    def _payer(self, attribution: Attribution, at: float) -> Customer:
        """Give who pays for a call, and note since when it is under a plan."""
        user, tenant, _, plan = attribution
        customer = self._customers.get((user, tenant))
        if customer is None:
            customer = self._customers[user, tenant] = self._customer(user, tenant)
        if plan is not None:
            if self.first_planned is None or at < self.first_planned:
                self.first_planned = at
            if customer != Customer() and customer not in self._assigned:
                first = self._first.get(customer)
                if first is None or at < first[1]:
                    self._first[customer] = (plan, at)
        return customer

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

    def add_before(self, entry: Entry) -> None:
        """Note of a call that it is from before revenue was known."""
        charge = entry.charge
        customer = self._payer(charge.attribution, entry.at)
        for attempt in attempt_costs(charge, entry.calls):
            self._cell(customer, charge.attribution, (attempt.provider, attempt.model)).before += attempt.usd

    def came_before(self, earlier: Tabulation) -> bool:
        """Note which part of the cost is from before revenue was known. False where no customer made a call then."""
        if all(cell.customer == Customer() for cell in earlier.cells):
            return False
        for cell, sums in earlier.cells.items():
            self.cells[cell].before += sums.cost
        return True

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
            same = [(cell, calls) for cell, calls in mine if cell.plan == subscription.plan] or list(mine)
            if not same:
                who = subscription.customer
                same = [(Cell(who, who.user, who.tenant, subscription.plan, None, None), 1)]
            same.sort(key=_order)  # so that whatever is left of a division is always left at the same place
            all_calls = sum(calls for _, calls in same)
            passed = 0
            for cell, calls in same:
                before = revenue * passed // all_calls
                passed += calls
                self.cells[cell._replace(plan=subscription.plan)].revenue += revenue * passed // all_calls - before


def _order(counted: tuple[Cell, int]) -> tuple[str, ...]:
    return tuple([name or "" for name in counted[0][1:]])
