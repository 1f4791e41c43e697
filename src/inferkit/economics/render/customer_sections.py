"""The sections on customers: who pays too little, who misses the target, who only costs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import count, money, plural, share
from inferkit.economics.render.tables import NamedRow, Section, Table, bars, named_rows, plans_of, result, together
from inferkit.economics.report.customers import target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.economics.report.report import Report

__all__ = ["customer_sections"]


def customer_sections(report: Report, shown: int) -> Iterator[Section]:
    """Give those that have somebody in them; that no customer loses money is said too."""
    customers = report.customers
    if customers.paying:
        yield _losing(report, shown)
    if customers.below:
        yield _below(report, shown)
    if customers.free:
        yield _only_cost(report, shown)
    if customers.unclear:
        yield Section(
            "Customers whose revenue is not known",
            "They are on a plan whose price is not known, so it cannot be said whether they pay for what they cost.",
            Table(
                ("Customer", "Plan", "Calls", "Cost"),
                _costs(report, named_rows(customers.unclear, shown=shown)),
                words=2,
            ),
        )


def _losing(report: Report, shown: int) -> Section:
    title = "Paying customers who cost more than they bring in"
    losing, paying = report.customers.losing, report.customers.paying
    if not losing:
        return Section(title, f"There are none among {plural(len(paying), 'paying customer')}.")
    lines = named_rows(losing, shown=shown)
    table = Table(
        ("Customer", "Plan", "Calls", "Cost", "Revenue", "Margin"),
        [
            (
                line.label, plans_of(report, line), count(line.row.calls), money(line.row.cost),
                money(line.row.revenue), money(line.row.margin),
            )
            for line in lines
        ],
        words=2,
        bars=bars(lines, "margin"),
    )  # fmt: skip
    lost = money(-together(losing).margin)
    who = f"{count(len(losing))} of {plural(len(paying), 'paying customer')}"
    return Section(title, f"{who} together lose {lost}, the worst first.", table)


def _below(report: Report, shown: int) -> Section:
    table = Table(
        ("Customer", "Plan", "Cost", "Revenue", "Margin", "Margin %", "Target"),
        [
            (
                line.label, plans_of(report, line), money(line.row.cost), *result(line.row),
                "" if line.rest else share(target_of(report.plans, line.row.plans)),
            )
            for line in named_rows(report.customers.below, shown=shown)
        ],
        words=2,
    )  # fmt: skip
    return Section(
        "Customers below their plan's target margin",
        "They bring in more than they cost, but leave less than was planned. Those who leave least come first.",
        table,
    )


def _only_cost(report: Report, shown: int) -> Section:
    free = report.customers.free
    lines = named_rows(free, shown=shown)
    total = together(free)
    part = f", {share(Decimal(total.cost) / report.total.cost)} of the cost" if report.total.cost > 0 else ""
    table = Table(("Customer", "Plan", "Calls", "Cost"), _costs(report, lines), words=2, bars=bars(lines, "cost"))
    who = plural(len(free), "customer")
    if not report.revenue_known:
        return Section("Customers who cost most", f"{who} cost {money(total.cost)}{part}.", table)
    which = "on a plan without a price, or on none,"
    return Section("Customers who pay nothing", f"{who} {which} cost {money(total.cost)}{part}.", table)


def _costs(report: Report, shown: Sequence[NamedRow]) -> list[tuple[str, ...]]:
    return [(line.label, plans_of(report, line), count(line.row.calls), money(line.row.cost)) for line in shown]
