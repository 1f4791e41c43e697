"""Which customers cost more than they bring in: those who pay, and those who were never going to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.economics.report.revenue import Customer

if TYPE_CHECKING:
    from inferkit.economics.report.report import Report, Row

__all__ = ["Customers", "customers_of"]

NOBODY = Customer().name


@dataclass(frozen=True)
class Customers:
    """The customers of a period. Nobody, who makes the calls that name no user, is none of them.

    `losing` pay, and cost more than that, the worst first. `free` are on a plan without a price or on none, and cost
    something, the dearest first; `unclear` are on a plan whose price is not known. `below` left less than their plan's
    target margin, the least first. `unnamed` are the calls that name nobody.
    """

    everyone: int
    paying: int
    losing: list[Row]
    free: list[Row]
    unclear: list[Row]
    below: list[Row]
    unnamed: Row | None


def customers_of(report: Report) -> Customers:
    """Sort the customers of a report."""
    priced = {plan.name for plan in report.plans.values() if plan.price_nanos}
    unknown = set(report.unknown_plans)
    rows = report.by("customer")
    named = [row for row in rows if row.name != NOBODY]
    paying = [row for row in named if row.revenue or priced.intersection(row.plans)]
    others = [row for row in named if row.cost and not row.revenue and not priced.intersection(row.plans)]
    return Customers(
        len(named),
        len(paying),
        sorted((row for row in paying if row.margin < 0), key=lambda row: row.margin),
        [row for row in others if not unknown.intersection(row.plans)],
        [row for row in others if unknown.intersection(row.plans)],
        sorted((row for row in report.below_target if row.name != NOBODY), key=lambda row: row.margin_share or 0),
        next((row for row in rows if row.name == NOBODY), None),
    )
