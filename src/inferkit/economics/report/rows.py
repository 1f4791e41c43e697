"""The lines of a report's tables: cells added up by plan, customer, feature, model..."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeVar

from inferkit.economics.report.revenue import Customer
from inferkit.economics.report.tabulation import Cell, Sums
from inferkit.runtime.yielding import Pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


__all__ = ["DIMENSIONS", "Dimension", "Row", "customer_rows", "ranked", "row_of", "rows_by", "without_callers"]

Dimension = Literal["customer", "user", "tenant", "plan", "feature", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("customer", "user", "tenant", "plan", "feature", "model")
K = TypeVar("K")
_CALLER = Cell._fields.index("plan")  # what comes before it says who made the calls


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
    return ranked(group.row(name) for name, group in groups.items())


def without_callers(cells: Mapping[Cell, Sums]) -> dict[Cell, Sums]:
    """Add up cells that differ in who made the calls alone: these few are all that other rows are made of."""
    groups = _grouped(cells, operator.itemgetter(slice(_CALLER, None)))
    return {Cell(Customer(), None, None, *what): group for what, group in groups.items()}


def customer_rows(cells: Mapping[Cell, Sums]) -> dict[Customer, Row]:
    """Give a row for each customer."""
    groups = _grouped(cells, operator.attrgetter("customer"))
    return {customer: group.row(customer.name) for customer, group in groups.items()}


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Put rows in order, the most expensive first."""
    return sorted(rows, key=lambda row: (-row.cost, -row.revenue, row.name or ""))


def row_of(name: str | None, cells: Mapping[Cell, Sums]) -> Row:
    """Add all cells up."""
    return _grouped(cells, lambda _: None).get(None, _Added()).row(name)


class _Added(Sums):
    """Cells that are added up, and the plans that they are under."""

    __slots__ = ("plans",)

    def __init__(self) -> None:
        super().__init__()
        self.plans: tuple[str, ...] = ()

    def row(self, name: str | None) -> Row:
        return Row(
            name, self.calls, self.input_tokens, self.output_tokens, self.cost, self.revenue,
            tuple(sorted(self.plans)), self.before,
        )  # fmt: skip


def _grouped(cells: Mapping[Cell, Sums], key: Callable[[Cell], K]) -> dict[K, _Added]:
    groups: dict[K, _Added] = {}
    pause = Pauses()
    pauses = pause.are_any
    for cell, sums in cells.items():
        name = key(cell)
        group = groups.get(name)
        if group is None:
            group = groups[name] = _Added()
        group.calls += sums.calls  # written out: a report does so for each cell and dimension
        group.input_tokens += sums.input_tokens
        group.output_tokens += sums.output_tokens
        group.cost += sums.cost
        if sums.revenue:
            group.revenue += sums.revenue
        if sums.before:
            group.before += sums.before
        plan = cell.plan
        if plan is not None and plan not in group.plans:
            group.plans += (plan,)
        if pauses:
            pause()
    return groups
