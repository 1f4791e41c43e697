"""Which customers cost more than they bring in: those who pay, and those who were never going to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.economics.report.revenue import Customer
from inferkit.economics.report.rows import ranked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from decimal import Decimal

    from inferkit.economics.report.rows import Row
    from inferkit.plans.plan import Plan

__all__ = ["Customers", "sort_customers", "target_of"]


@dataclass(frozen=True)
class Customers:
    """The customers of a period. Nobody, who makes the calls that name no user, is none of them.

    `everyone` are all, the dearest first, and `paying` those on a plan with a price. Of these `losing` cost more than
    they bring in, the worst first. `free` are on a plan without a price or on none, and cost something, the dearest
    first; `unclear` are on a plan whose price is not known. `below` left less than their plan's target margin, the
    least first. `unnamed` are the calls that name nobody.
    """

    everyone: list[Row]
    paying: list[Row]
    losing: list[Row]
    free: list[Row]
    unclear: list[Row]
    below: list[Row]
    unnamed: Row | None


def sort_customers(rows: Mapping[Customer, Row], plans: Mapping[str, Plan], unknown: Collection[str]) -> Customers:
    """Sort the customers of a report; `unknown` are the plans whose price is not known."""
    priced = {plan.name for plan in plans.values() if plan.price_nanos}
    unnamed = rows.get(Customer())
    named = ranked(row for customer, row in rows.items() if customer != Customer())
    paying = [row for row in named if row.revenue or priced.intersection(row.plans)]
    others = [row for row in named if row.cost and not row.revenue and not priced.intersection(row.plans)]
    return Customers(
        named,
        paying,
        sorted((row for row in paying if row.margin < 0), key=lambda row: row.margin),
        [row for row in others if not set(unknown).intersection(row.plans)],
        [row for row in others if set(unknown).intersection(row.plans)],
        sorted((row for row in named if _misses_target(row, plans)), key=lambda row: row.margin_share or 0),
        unnamed,
    )


def target_of(plans: Mapping[str, Plan], names: Iterable[str | None]) -> Decimal | None:
    """Give the highest target margin of plans; None where they have none."""
    found = [plans[name] for name in names if name is not None and name in plans]
    return max((plan.margin for plan in found if plan.margin is not None), default=None)


def _misses_target(row: Row, plans: Mapping[str, Plan]) -> bool:
    """Whether a customer left something, but less than planned."""
    target, share = target_of(plans, row.plans), row.margin_share
    return row.margin >= 0 and target is not None and share is not None and share < target
