"""What a period cost, what it brought in, and what was saved and wasted: one pass over the ledger's book.

All groupings come from one table of cells (customer, user, feature, plan, model), so that they add up to the same
totals. A customer's revenue is spread over its calls evenly.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from inferkit.economics.calls import name_of, recorded_calls, shares
from inferkit.economics.revenue import Customer, Stay, revenue_of, stays
from inferkit.economics.waste import Savings, Waste, saved_by_tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from inferkit.budgets.book import Entry, Tally
    from inferkit.budgets.ledger import Ledger
    from inferkit.budgets.plan import Plan
    from inferkit.budgets.prices import Price

__all__ = ["DIMENSIONS", "Dimension", "Period", "Report", "Row", "build_report", "summarise"]

Dimension = Literal["customer", "user", "tenant", "plan", "feature", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("customer", "user", "tenant", "plan", "feature", "model")
_QUARTER = 900  # seconds; the clocks of no zone change within one


class Period(NamedTuple):
    """From `since` until before `until`, aware instants. Days are those of the time zone `zone`."""

    since: datetime
    until: datetime
    zone: str = "UTC"


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


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. Money is in nano-dollars; `plans` are those that its calls and revenue belong to."""

    name: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost: int
    revenue: int
    plans: tuple[str, ...] = ()

    @property
    def margin(self) -> int:
        """What remains of the revenue, in nano-dollars; below zero for a loss."""
        return self.revenue - self.cost

    @property
    def margin_share(self) -> Decimal | None:
        """The margin as a share of the revenue; None where there is none."""
        return Decimal(self.margin) / self.revenue if self.revenue else None


@dataclass(frozen=True)
class Report:
    """The economics of a period.

    `unprofitable` are the customers that cost more than they brought in, the worst first; `below_target` those that
    left less than their plan's target margin. `days` is the cost of each day by model. `unpriced` counts calls whose
    cost is not known and is missing here, `estimated` those whose cost is an upper bound, `unknown_plans` plans whose
    price is not known.
    """

    period: Period
    cells: Mapping[Cell, Sums]
    days: Mapping[str, Mapping[str | None, int]]
    savings: Savings
    waste: Waste
    refused: Mapping[str, int]
    plans: Mapping[str, Plan]
    unpriced: int = 0
    estimated: int = 0
    unknown_plans: tuple[str, ...] = field(default=())

    @property
    def total(self) -> Row:
        """All of it."""
        return _row(None, self.cells.items())

    def by(self, dimension: Dimension) -> list[Row]:
        """Give a row for each user, plan, feature, model..., the most expensive first."""
        if dimension == "customer":
            return _rows(self.cells, lambda cell: cell.customer)
        return _rows(self.cells, operator.attrgetter(dimension))

    @property
    def unprofitable(self) -> list[Row]:
        """Customers that cost more than they brought in."""
        return sorted((row for row in self._customers if row.margin < 0), key=lambda row: row.margin)

    @property
    def below_target(self) -> list[Row]:
        """Customers that left something, but less than the target margin of their plan."""
        return [row for row in self._customers if row.margin >= 0 and self._misses_target(row)]

    @property
    def _customers(self) -> list[Row]:
        """Those that have a name; calls that name nobody are no customer's."""
        named = {cell: sums for cell, sums in self.cells.items() if cell.customer != Customer()}
        return _rows(named, lambda cell: cell.customer)

    def _misses_target(self, row: Row) -> bool:
        targets = [plan.margin for name in row.plans if (plan := self.plans.get(name)) and plan.margin is not None]
        return bool(targets) and row.margin_share is not None and row.margin_share < max(targets)


def build_report(
    ledger: Ledger,
    period: Period,
    *,
    plans: Iterable[Plan],
    baseline: Price | None = None,
) -> Report:
    """Read the book of `ledger` and work out the economics of a period.

    `plans` say what customers pay. Those who were assigned none pay for the plan that their calls were under, from the
    first such call in the period on. `baseline` prices the calls of local models, to say what they saved. Raises
    `LedgerError`.
    """
    since, until = period.since.timestamp(), period.until.timestamp()
    return summarise(
        recorded_calls(ledger, since, until),
        stays(ledger.assignments(), since, until),
        ledger.tallies(since=since, until=until),
        period,
        plans={plan.name: plan for plan in plans},
        baseline=baseline,
    )


def summarise(
    calls: Iterable[Entry],
    assigned: Sequence[Stay],
    tallies: Iterable[Tally],
    period: Period,
    *,
    plans: Mapping[str, Plan],
    baseline: Price | None,
) -> Report:
    """Do as `build_report`, with calls, stays and tallies from wherever they come."""
    builder = _Builder(assigned, ZoneInfo(period.zone), baseline)
    for entry in calls:
        builder.add(entry)
    everyone = [*assigned, *builder.unassigned(period.until.timestamp())]
    builder.spread(everyone, plans)
    savings, refused = saved_by_tallies(tallies, builder.savings)
    named = {stay.plan for stay in everyone} | {cell.plan for cell in builder.cells if cell.plan is not None}
    return Report(
        period,
        dict(builder.cells),
        {day: dict(costs) for day, costs in sorted(builder.days.items())},
        savings,
        builder.waste,
        refused,
        plans,
        builder.unpriced,
        builder.estimated,
        tuple(sorted(named - plans.keys())),
    )


class _Builder:
    """Adds up calls."""

    def __init__(self, assigned: Iterable[Stay], zone: ZoneInfo, baseline: Price | None) -> None:
        self.cells: dict[Cell, Sums] = defaultdict(Sums)
        self.days: dict[str, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
        self.waste = Waste()
        self.savings = Savings(baseline=baseline)
        self.unpriced = self.estimated = 0
        self._assigned = {stay.customer for stay in assigned}
        self._first: dict[Customer, tuple[str, float]] = {}  # the plan of those who were assigned none, and since when
        self._zone = zone
        self._day = (-1.0, "")

    def add(self, entry: Entry) -> None:
        charge = entry.charge
        user, tenant, feature, plan = charge.payer
        customer = self._customer(user, tenant)
        if plan is not None and customer != Customer() and customer not in self._assigned:
            first = self._first.get(customer)
            if first is None or entry.at < first[1]:
                self._first[customer] = (plan, entry.at)
        if charge.usd is None:
            self.unpriced += entry.calls
        elif charge.estimated and entry.calls > 0:
            self.estimated += entry.calls
        day = self._day_of(entry.at)
        for share in shares(charge, entry.calls):
            model = name_of(share.provider, share.model)
            cell = Cell(customer, user, tenant, plan, feature, model)
            self.cells[cell].add(Sums(share.calls, share.input_tokens, share.output_tokens, share.usd))
            self.days[day][model] += share.usd
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

    def unassigned(self, until: float) -> list[Stay]:
        """Give the stays of customers that were assigned no plan and made calls under the default one."""
        return [Stay(customer, plan, 1, first, until) for customer, (plan, first) in self._first.items()]

    def spread(self, all_stays: Iterable[Stay], plans: Mapping[str, Plan]) -> None:
        """Spread what each stay brings in over the customer's calls under the plan, evenly, or else over all of them.

        Without calls it stands by itself.
        """
        cells_of: dict[Customer, list[tuple[Cell, int]]] = defaultdict(list)
        for cell, sums in self.cells.items():
            if sums.calls > 0:
                cells_of[cell.customer].append((cell, sums.calls))
        for stay in all_stays:
            revenue, mine = revenue_of(stay, plans), cells_of.get(stay.customer, [])
            same = [(cell, calls) for cell, calls in mine if cell.plan == stay.plan] or mine
            if not same:
                same = [(Cell(stay.customer, stay.customer.user, stay.customer.tenant, stay.plan, None, None), 1)]
            all_calls = sum(calls for _, calls in same)
            passed = 0
            for cell, calls in same:
                before = revenue * passed // all_calls
                passed += calls
                self.cells[cell._replace(plan=stay.plan)].revenue += revenue * passed // all_calls - before


def _rows(cells: Mapping[Cell, Sums], key: Callable[[Cell], Customer | str | None]) -> list[Row]:
    groups: dict[Customer | str | None, list[tuple[Cell, Sums]]] = defaultdict(list)
    for cell, sums in cells.items():
        groups[key(cell)].append((cell, sums))
    rows = [_row(of.name if isinstance(of, Customer) else of, group) for of, group in groups.items()]
    return sorted(rows, key=lambda row: (-row.cost, -row.revenue, row.name or ""))


def _row(name: str | None, group: Iterable[tuple[Cell, Sums]]) -> Row:
    total = Sums()
    plans: set[str] = set()
    for cell, sums in group:
        total.add(sums)
        if cell.plan is not None:
            plans.add(cell.plan)
    return Row(
        name, total.calls, total.input_tokens, total.output_tokens, total.cost, total.revenue, tuple(sorted(plans))
    )
