"""The page's sections on customers: who pays too little, who misses the target, who only costs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import count, money, plural, share
from inferkit.economics.render.page.markup import Section, Table
from inferkit.economics.render.page.tables import (
    NamedRow,
    bars,
    named_rows,
    plans_of,
    result,
    revenue_known,
    target_of,
    together,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.economics.render.page.customers import Customers
    from inferkit.economics.report.report import Report, Row

__all__ = ["customer_sections"]


def customer_sections(report: Report, customers: Customers) -> Iterator[Section]:
    """Give those that have somebody in them; that no customer loses money is said too."""
    if customers.paying:
        yield _losing(report, customers)
    if customers.below:
        yield _below(report, customers.below)
    if customers.free:
        yield _only_cost(report, customers)
    if customers.unclear:
        yield _unclear(report, customers.unclear)


def _losing(report: Report, customers: Customers) -> Section:
    title = "Paying customers who cost more than they bring in"
    if not customers.losing:
        return Section(title, f"There are none among {plural(customers.paying, 'paying customer')}.")
    shown = named_rows(customers.losing)
    table = Table(
        ("Customer", "Plan", "Calls", "Cost", "Revenue", "Margin"),
        [
            (
                line.label, plans_of(report, line), count(line.row.calls), money(line.row.cost),
                money(line.row.revenue), money(line.row.margin),
            )
            for line in shown
        ],
        words=2,
        bars=bars(shown, "margin"),
    )  # fmt: skip
    lost = money(-together(customers.losing).margin)
    return Section(title, f"{_of(customers.losing, customers.paying)} together lose {lost}, the worst first.", table)


def _below(report: Report, rows: Sequence[Row]) -> Section:
    table = Table(
        ("Customer", "Plan", "Cost", "Revenue", "Margin", "Margin %", "Target"),
        [
            (
                line.label, plans_of(report, line), money(line.row.cost), *result(line.row),
                "" if line.rest else share(target_of(report, line.row.plans)),
            )
            for line in named_rows(rows)
        ],
        words=2,
    )  # fmt: skip
    return Section(
        "Customers below their plan's target margin",
        "They bring in more than they cost, but leave less than was planned. Those who leave least come first.",
        table,
    )


def _only_cost(report: Report, customers: Customers) -> Section:
    shown = named_rows(customers.free)
    total = together(customers.free)
    part = f", {share(Decimal(total.cost) / report.total.cost)} of the cost" if report.total.cost > 0 else ""
    table = Table(
        ("Customer", "Plan", "Calls", "Cost"),
        _costs(report, shown),
        words=2,
        bars=bars(shown, "cost"),
    )
    who = plural(len(customers.free), "customer")
    if not revenue_known(report):
        return Section("Customers who cost most", f"{who} cost {money(total.cost)}{part}.", table)
    which = "on a plan without a price, or on none,"
    return Section("Customers who pay nothing", f"{who} {which} cost {money(total.cost)}{part}.", table)


def _unclear(report: Report, rows: Sequence[Row]) -> Section:
    table = Table(
        ("Customer", "Plan", "Calls", "Cost"),
        _costs(report, named_rows(rows)),
        words=2,
    )
    return Section(
        "Customers whose revenue is not known",
        "They are on a plan whose price is not known, so it cannot be said whether they pay for what they cost.",
        table,
    )


def _costs(report: Report, shown: Sequence[NamedRow]) -> list[tuple[str, ...]]:
    return [(line.label, plans_of(report, line), count(line.row.calls), money(line.row.cost)) for line in shown]


def _of(rows: Sequence[Row], everyone: int) -> str:
    return f"{count(len(rows))} of {plural(everyone, 'paying customer')}"
