"""The lines of a report's tables: cells added up by plan, customer, feature, model..."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from inferkit.economics.report.revenue import Customer
from inferkit.economics.report.tabulation import Cell, Sums
from inferkit.runtime.yielding import Pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


__all__ = ["DIMENSIONS", "Callers", "Dimension", "Row", "ranked", "row_of", "rows_by", "without_callers"]

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


class Callers:
    """Cells that differ in what was called alone, added up: rows of customers, users and tenants are made of these."""

    def __init__(self, cells: Mapping[Cell, Sums]) -> None:
        self._groups = _grouped(cells, operator.itemgetter(slice(_CALLER)))

    @functools.cached_property
    def customers(self) -> dict[Customer, Row]:
        """A row for each customer."""
        return {customer: group.row(customer.name) for customer, group in self._by(0).items()}

    def rows_by(self, dimension: Literal["user", "tenant"]) -> list[Row]:
        """Give a row for each user or tenant, the most expensive first."""
        groups = self._by(Cell._fields.index(dimension))
        return ranked(group.row(name) for name, group in groups.items())

    def _by(self, place: int) -> dict[Any, _Added]:
        """Add up who has the same there; most are the only one."""
        found: dict[Any, _Added] = {}
        shared: set[Any] = set()
        pause = Pauses()
        pauses = pause.are_any
        for who, group in self._groups.items():
            name = who[place]
            other = found.setdefault(name, group)
            if other is not group:
                if name not in shared:
                    shared.add(name)
                    found[name] = other = other.copy()
                other.add(group)
            if pauses:
                pause()
        return found


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Put rows in order, the most expensive first."""
    return sorted(rows, key=lambda row: (-row.cost, -row.revenue, row.name or ""))


def row_of(name: str | None, cells: Mapping[Cell, Sums]) -> Row:
    """Add all cells up."""
    return _grouped(cells, lambda _: None).get(None, _Added()).row(name)


class _Added(Sums):
    """Cells that are added up, and the plans that they are under."""

    __slots__ = ("_row", "plans")

    def __init__(self) -> None:
        super().__init__()
        self.plans: tuple[str, ...] = ()
        self._row: Row | None = None

    def copy(self) -> _Added:
        made = _Added()
        made.add(self)
        return made

    def add(self, other: _Added) -> None:
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost
        self.revenue += other.revenue
        self.before += other.before
        self.plans += tuple([plan for plan in other.plans if plan not in self.plans])

    def row(self, name: str | None) -> Row:
        """Give it as a row, which who has the same name in another table shares."""
        row = self._row
        if row is None or row.name != name:
            plans = self.plans if len(self.plans) < 2 else tuple(sorted(self.plans))  # noqa: PLR2004
            row = self._row = Row(
                name, self.calls, self.input_tokens, self.output_tokens, self.cost, self.revenue, plans, self.before
            )
        return row


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
