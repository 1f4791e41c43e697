"""What a period cost, what it brought in, and what was saved and wasted: one pass over the ledger's journal.

All groupings come from one table of cells (customer, user, feature, plan, model), so that they add up to the same
totals. A customer's revenue is spread over its calls evenly.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from inferkit.economics.report.calls import recorded_calls
from inferkit.economics.report.revenue import Customer, subscription_periods
from inferkit.economics.report.tabulation import Cell, Sums, Tabulation
from inferkit.economics.report.waste import saved_by_tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from inferkit.economics.report.revenue import SubscriptionPeriod
    from inferkit.economics.report.waste import Savings, Waste
    from inferkit.ledger.journal import Entry, Tally
    from inferkit.ledger.protocols import Journal
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = ["DIMENSIONS", "Dimension", "Period", "Report", "Reported", "Row", "build_report", "summarise"]

Dimension = Literal["customer", "user", "tenant", "plan", "feature", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("customer", "user", "tenant", "plan", "feature", "model")


class Period(NamedTuple):
    """From `since` until before `until`, aware instants. Days are those of the time zone `zone`."""

    since: datetime
    until: datetime
    zone: str = "UTC"


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


class Reported(NamedTuple):
    """What providers themselves say that calls cost, and what was booked for these; money in nano-dollars."""

    calls: int = 0
    usd: int = 0
    booked: int = 0


_NOTHING_REPORTED = Reported()


@dataclass(frozen=True)
class Report:
    """The economics of a period.

    `unprofitable` are the customers that cost more than they brought in, the worst first; `below_target` those that
    left less than their plan's target margin. `days` is the cost of each day by model. `unpriced` counts calls whose
    cost is not known and is missing here, `estimated` those whose cost is an upper bound, `unknown_plans` plans whose
    price is not known. `reported` are the calls whose provider says what they cost.
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
    reported: Reported = _NOTHING_REPORTED

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
    ledger: Journal,
    period: Period,
    *,
    plans: Iterable[Plan],
    baseline: Price | None = None,
) -> Report:
    """Read the journal of `ledger` and work out the economics of a period.

    `plans` say what customers pay. Those who were assigned none pay for the plan that their calls were under, from the
    first such call in the period on. `baseline` prices the calls of local models, to say what they saved. Raises
    `LedgerError`.
    """
    since, until = period.since.timestamp(), period.until.timestamp()
    return summarise(
        recorded_calls(ledger, since, until),
        subscription_periods(ledger.assignments(), since, until),
        ledger.tallies(since=since, until=until),
        period,
        plans={plan.name: plan for plan in plans},
        baseline=baseline,
    )


def summarise(
    calls: Iterable[Entry],
    assigned: Sequence[SubscriptionPeriod],
    tallies: Iterable[Tally],
    period: Period,
    *,
    plans: Mapping[str, Plan],
    baseline: Price | None,
) -> Report:
    """Do as `build_report`, with calls, subscriptions and tallies from wherever they come."""
    table = Tabulation(assigned, ZoneInfo(period.zone), baseline)
    for entry in calls:
        table.add(entry)
    everyone = [*assigned, *table.unassigned(plans, period.until.timestamp())]
    table.spread(everyone, plans)
    savings, refused = saved_by_tallies(tallies, table.savings)
    named = {subscription.plan for subscription in everyone} | {
        cell.plan for cell in table.cells if cell.plan is not None
    }
    return Report(
        period,
        dict(table.cells),
        {day: dict(costs) for day, costs in sorted(table.days.items())},
        savings,
        table.waste,
        refused,
        plans,
        table.unpriced,
        table.estimated,
        tuple(sorted(named - plans.keys())),
        Reported(*table.reported),
    )


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
