"""What a period cost, what it brought in, and what was saved and wasted.

All groupings come from one table of cells (customer, user, feature, plan, model), so that they add up to the same
totals. A customer's revenue is spread over its calls evenly.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import format_usd
from inferkit.core.shown import html_of, table_html
from inferkit.economics.report.calls import as_recorded, recorded_calls
from inferkit.economics.report.customers import Customers, sort_customers
from inferkit.economics.report.more_requests import MoreRequests
from inferkit.economics.report.period import Period, check_period, days_of
from inferkit.economics.report.revenue import subscription_periods
from inferkit.economics.report.rows import (
    DIMENSIONS,
    Callers,
    Dimension,
    Row,
    ranked,
    row_of,
    rows_by,
    without_callers,
)
from inferkit.economics.report.tabulation import Cell, Sums, Tabulation
from inferkit.economics.report.waste import Reported, Subtotal, saved_by_tallies
from inferkit.ledger.protocols import Summing
from inferkit.ledger.summary import Pending
from inferkit.runtime import clock
from inferkit.runtime.yielding import without_collections

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.economics.report.revenue import SubscriptionPeriod
    from inferkit.economics.report.waste import Savings, Waste
    from inferkit.ledger.journal import Assignment, Entry, Tally
    from inferkit.ledger.protocols import Records
    from inferkit.ledger.summary import Stretch
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = [
    "DIMENSIONS",
    "Dimension",
    "Period",
    "Report",
    "Reported",
    "Row",
    "build_report",
    "known_since",
    "report_of",
    "store_of",
]

_SHOWN = 10  # rows of each table in a notebook
_NOW = 60.0  # seconds: a period that ends so long ago at most lasts until now


@dataclass(frozen=True, repr=False)
class Report:
    """The economics of a period.

    `days` is the cost of each day by model. `unpriced` counts calls whose cost is not known and is missing here,
    `estimated` those whose cost is an estimate, and what they cost; `unknown_plans` are plans whose price is not known.
    `pending` is what calls hold that are not settled, for a period that lasts until now. `revenue_since` is the instant
    from which revenue is known, in seconds since the epoch, where that lies within the period. `reported` are the
    calls whose provider says what they cost, `overrun` is what calls cost beyond what was held for them.
    `more_requests` are those beyond the first one of a call, by the kind of attempt.
    """

    period: Period
    cells: Mapping[Cell, Sums]
    days: Mapping[str, Mapping[str | None, int]]
    savings: Savings
    waste: Waste
    refused: Mapping[str, int]
    plans: Mapping[str, Plan]
    unpriced: int = 0
    estimated: Subtotal = field(default_factory=Subtotal)
    unknown_plans: tuple[str, ...] = ()
    pending: Pending = field(default_factory=Pending)
    revenue_since: float | None = None
    reported: Reported = field(default_factory=Reported)
    overrun: Subtotal = field(default_factory=Subtotal)
    more_requests: MoreRequests = field(default_factory=MoreRequests)

    @functools.cached_property
    def total(self) -> Row:
        """All of it."""
        return row_of(None, self._few_cells)

    @without_collections()
    def by(self, dimension: Dimension) -> list[Row]:
        """Give a row for each user, plan, feature, model..., the most expensive first.

        Raises `ConfigurationError` for what no report is by.
        """
        if dimension not in DIMENSIONS:
            raise ConfigurationError(f"a report is by {', '.join(DIMENSIONS)}; got {dimension!r}")
        if dimension == "customer":
            return ranked(self._callers.customers.values())
        if dimension in ("user", "tenant"):
            return self._callers.rows_by(dimension)
        return rows_by(self._few_cells, dimension)

    @functools.cached_property
    def customers(self) -> Customers:
        """The customers, by whether they pay, and whether that is enough."""
        return sort_customers(self._callers.customers, self.plans, self.unknown_plans)

    @property
    def unprofitable(self) -> list[Row]:
        """Customers that pay and cost more than that, the worst first. Those who pay nothing are `customers.free`."""
        return self.customers.losing

    @property
    def below_target(self) -> list[Row]:
        """Customers that left something, but less than the target margin of their plan."""
        return self.customers.below

    @property
    def revenue_known(self) -> bool:
        """Whether anything is known of what the period brought in, be it that it is nothing."""
        return any(cell.plan in self.plans or sums.revenue for cell, sums in self.cells.items())

    def __repr__(self) -> str:
        total = self.total
        return (
            f"Report({_days(self.period)}: {total.calls:,} calls, cost {format_usd(total.cost)}, "
            f"revenue {format_usd(total.revenue) if self.revenue_known else 'not known'})"
        )

    def _repr_html_(self) -> str:
        """Show the sums and the dearest customers and models in a notebook; `render_page` has all of it."""
        heads = ("", "calls", "cost", "revenue", "margin")
        parts = [table_html([_as_row("all", self.total)], heads)]
        for dimension in ("customer", "model"):
            rows = self.by(dimension)[:_SHOWN]
            if rows:
                named = [_as_row(row.name or "(none)", row) for row in rows]
                parts.append(table_html(named, (f"by {dimension}", *heads[1:])))
        return html_of(f"Report of {_days(self.period)}", *parts)

    @functools.cached_property
    def _few_cells(self) -> dict[Cell, Sums]:
        return without_callers(self.cells)

    @functools.cached_property
    def _callers(self) -> Callers:
        return Callers(self.cells)


def _as_row(name: str, row: Row) -> tuple[str, ...]:
    return name, f"{row.calls:,}", format_usd(row.cost), format_usd(row.revenue), format_usd(row.margin)


def _days(period: Period) -> str:
    return f"{period.since:%Y-%m-%d} to {period.until:%Y-%m-%d}, {period.zone}"


@without_collections()
def build_report(ledger: Records, period: Period, *, plans: Iterable[Plan], baseline: Price | None = None) -> Report:
    """Read the journal of `ledger` and work out the economics of a period.

    `plans` say what customers pay. Those who were assigned none pay for the plan that their calls were under, from the
    first such call in the period on. `baseline` prices the calls of local models, to say what they saved. Blocks: on an
    event loop, call it in a thread; calls go on meanwhile. Raises `ConfigurationError` for a period that is none, and
    `LedgerError`.
    """
    check_period(period)
    since, until = period.since.timestamp(), period.until.timestamp()
    assignments = list(ledger.assignments())
    assigned = subscription_periods(assignments, since, until)
    table = _tabulated(ledger, period, assigned, baseline)
    known = known_since(assignments, table, since)
    if known is not None:
        earlier = Period(period.since, period.since.fromtimestamp(min(known, until), period.since.tzinfo), period.zone)
        if not table.came_before(_tabulated(ledger, earlier, assigned, baseline)):
            known = None
    tallies = ledger.tallies(since=since, until=until)
    store = store_of(ledger)
    now = clock.time()
    pending = store.pending(now) if isinstance(store, Summing) and until > now - _NOW else Pending()
    known_plans = {plan.name: plan for plan in plans}
    return report_of(table, assigned, tallies, period, plans=known_plans, pending=pending, revenue_since=known)


def store_of(ledger: Records) -> Records:
    """Give what stores a ledger that an application holds, which may add up its entries itself."""
    return getattr(ledger, "journal", ledger)


def _tabulated(
    ledger: Records, period: Period, assigned: Sequence[SubscriptionPeriod], baseline: Price | None
) -> Tabulation:
    """Add up a period's calls: those that are alike in the store, where it can, and the others here."""
    since, until = period.since.timestamp(), period.until.timestamp()
    table = Tabulation(assigned, ZoneInfo(period.zone), baseline)
    store = store_of(ledger)
    if isinstance(store, Summing):
        days, bounds = days_of(period)
        summary = store.summary(bounds)
        for entry in as_recorded(ledger, _apart(table, zip(days, summary.stretches, strict=True)), since, until):
            table.add(entry)
        for total in summary.totals:
            table.add_total(total)
    else:
        for entry in recorded_calls(ledger, since, until):
            table.add(entry)
    return table


def _apart(table: Tabulation, days: Iterable[tuple[str, Stretch]]) -> Iterator[Entry]:
    """Add what days cost to a table, and give the entries of each that are in no total."""
    for day, (spent, apart) in days:
        table.spend(day, spent)
        yield from apart


def known_since(assignments: Iterable[Assignment], table: Tabulation, since: float) -> float | None:
    """Give the instant from which revenue is known: of the first plan that anybody was on. None if that is before."""
    known = [assignment.at for assignment in assignments if assignment.plan is not None]
    if table.first_planned is not None:
        known.append(table.first_planned)
    first = min(known, default=since)
    return first if first > since else None


def _by_name(cost: tuple[str | None, int]) -> str:
    return cost[0] or ""


def report_of(
    table: Tabulation,
    assigned: Sequence[SubscriptionPeriod],
    tallies: Iterable[Tally],
    period: Period,
    *,
    plans: Mapping[str, Plan],
    pending: Pending,
    revenue_since: float | None,
) -> Report:
    """Make the report of calls that were added up."""
    everyone = [*assigned, *table.unassigned(plans, period.until.timestamp())]
    table.spread(everyone, plans)
    savings, refused = saved_by_tallies(tallies, table.savings)
    named = {subscription.plan for subscription in everyone} | {
        cell.plan for cell in table.cells if cell.plan is not None
    }
    return Report(
        period,
        dict(table.cells),
        {day: dict(sorted(costs.items(), key=_by_name)) for day, costs in sorted(table.days.items())},
        savings,
        table.waste,
        refused,
        plans,
        table.unpriced,
        table.estimated,
        tuple(sorted(named - plans.keys())),
        pending,
        revenue_since,
        table.reported,
        table.overrun,
        table.more_requests,
    )
