"""Sections and tables as plain text, which a page, a terminal and other programs show alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from inferkit.economics.formatting import NOTHING, count, money, name, share
from inferkit.economics.report.rows import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.economics.render.timeline import Timeline
    from inferkit.economics.report.report import Report

__all__ = ["SHOWN", "NamedRow", "Pairs", "Section", "Table", "bars", "named_rows", "plans_of", "result", "together"]

SHOWN = 20


@dataclass(frozen=True)
class Table:
    """Cells of text: the first of a row names it, `words` columns are text, those after them numbers.

    `bars` are values, one for each row or None, drawn beside it; `total` is a last row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    bars: Sequence[int | None] = ()
    total: Sequence[str] = ()


class Pairs(NamedTuple):
    """Two amounts for each name, in nano-dollars; None is not known."""

    kinds: tuple[str, str]
    rows: Sequence[tuple[str, int | None, int | None]]


@dataclass(frozen=True)
class Section:
    """A part of a report: a title, a paragraph, and a table, all of plain text.

    `chart` is what a page draws between them; `folded` is a table that it shows on demand, under its name.
    """

    title: str
    paragraph: str = ""
    table: Table | None = None
    chart: Timeline | Pairs | None = None
    folded: tuple[str, Table] | None = None


class NamedRow(NamedTuple):
    """A name and a row; the `rest` is what stands for many."""

    label: str
    row: Row
    rest: bool = False


def named_rows(rows: Sequence[Row], unnamed: str = "(none)", shown: int = SHOWN) -> list[NamedRow]:
    """Name the first rows; those after them are one, unless that would be a single one."""
    shown = len(rows) if len(rows) <= shown + 1 else shown
    named = [NamedRow(name(row.name, unnamed), row) for row in rows[:shown]]
    rest = rows[shown:]
    return [*named, NamedRow(f"{count(len(rest))} others", together(rest), rest=True)] if rest else named


def bars(shown: Sequence[NamedRow], amount: Literal["calls", "cost", "margin"]) -> list[int | None]:
    """Give what is drawn beside lines: nothing for the rest, which would dwarf them."""
    return [None if line.rest else getattr(line.row, amount) for line in shown]


def together(rows: Sequence[Row]) -> Row:
    """Add rows up."""
    return Row(
        None,
        sum(row.calls for row in rows),
        sum(row.input_tokens for row in rows),
        sum(row.output_tokens for row in rows),
        sum(row.cost for row in rows),
        sum(row.revenue for row in rows),
        before=sum(row.before for row in rows),
    )


def result(row: Row, *, known: bool = True) -> tuple[str, str, str]:
    """Write revenue, margin and the margin's share; nothing where the revenue is not known, since that is not zero."""
    return (money(row.revenue), money(row.margin), share(row.margin_share)) if known else (NOTHING, NOTHING, NOTHING)


def plans_of(report: Report, line: NamedRow) -> str:
    """Write the plans of a line, and which of them have no known price."""
    nothing = "" if line.rest else NOTHING
    return ", ".join(_plan(report, each) for each in line.row.plans) or nothing


def _plan(report: Report, plan: str) -> str:
    return f"{name(plan)} (price not known)" if plan in report.unknown_plans else name(plan)
