"""The lines of a report's tables: cells added up by plan, customer, feature, model..."""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeVar

from inferkit.economics.report.tabulation import Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inferkit.economics.report.revenue import Customer
    from inferkit.economics.report.tabulation import Cell

__all__ = ["DIMENSIONS", "Dimension", "Row", "customer_rows", "ranked", "row_of", "rows_by"]

Dimension = Literal["customer", "user", "tenant", "plan", "feature", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("customer", "user", "tenant", "plan", "feature", "model")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. Money is in nano-dollars; `plans` are those that its calls and revenue belong to.

    `before` is the part of the cost from before revenue was known: no margin can say anything of it.
    """

    name: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost: int
    revenue: int
    plans: tuple[str, ...] = ()
    before: int = 0

    @property
    def margin(self) -> int:
        """What remains of the revenue since that is known, in nano-dollars; below zero for a loss."""
        return self.revenue - (self.cost - self.before)

    @property
    def margin_share(self) -> Decimal | None:
        """The margin as a share of the revenue; None where there is none."""
        return Decimal(self.margin) / self.revenue if self.revenue else None


def rows_by(cells: Mapping[Cell, Sums], dimension: Dimension) -> list[Row]:
    """Give a row for each user, plan, feature, model..., the most expensive first."""
    groups = _grouped(cells, operator.attrgetter(dimension))
    return ranked(row_of(name, group) for name, group in groups.items())


def customer_rows(cells: Mapping[Cell, Sums]) -> dict[Customer, Row]:
    """Give a row for each customer."""
    groups = _grouped(cells, lambda cell: cell.customer)
    return {customer: row_of(customer.name, group) for customer, group in groups.items()}


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Put rows in order, the most expensive first."""
    return sorted(rows, key=lambda row: (-row.cost, -row.revenue, row.name or ""))


def row_of(name: str | None, group: Iterable[tuple[Cell, Sums]]) -> Row:
    """Add cells up."""
    total = Sums()
    plans: set[str] = set()
    for cell, sums in group:
        total.add(sums)
        if cell.plan is not None:
            plans.add(cell.plan)
    return Row(
        name, total.calls, total.input_tokens, total.output_tokens, total.cost, total.revenue, tuple(sorted(plans)),
        total.before,
    )  # fmt: skip


def _grouped(cells: Mapping[Cell, Sums], key: Callable[[Cell], K]) -> dict[K, list[tuple[Cell, Sums]]]:
    groups: dict[K, list[tuple[Cell, Sums]]] = defaultdict(list)
    for cell, sums in cells.items():
        groups[key(cell)].append((cell, sums))
    return groups
