"""Rows of a report as lines of a table: the first twenty, and the rest as one line, so that they add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from inferkit.economics.formatting import NOTHING, count, money, name, share
from inferkit.economics.report.report import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from inferkit.economics.report.report import Report

__all__ = ["NamedRow", "bars", "named_rows", "plans_of", "result", "revenue_known", "target_of", "together"]

SHOWN = 20


class NamedRow(NamedTuple):
    """A name and a row; the `rest` is what stands for many."""

    label: str
    row: Row
    rest: bool = False


def named_rows(rows: Sequence[Row], unnamed: str = "(none)") -> list[NamedRow]:
    """Name the rows; those after the twentieth are one, unless that would be a single one."""
    shown = len(rows) if len(rows) <= SHOWN + 1 else SHOWN
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
    )


def result(row: Row, *, known: bool = True) -> tuple[str, str, str]:
    """Write revenue, margin and the margin's share; nothing where the revenue is not known, since that is not zero."""
    return (money(row.revenue), money(row.margin), share(row.margin_share)) if known else (NOTHING, NOTHING, NOTHING)


def revenue_known(report: Report) -> bool:
    """Say whether anything is known of what the period brought in, be it that it is nothing."""
    return any(cell.plan in report.plans or sums.revenue for cell, sums in report.cells.items())


def target_of(report: Report, names: Iterable[str | None]) -> Decimal | None:
    """Give the highest target margin of these plans; None where they have none."""
    plans = [report.plans[each] for each in names if each is not None and each in report.plans]
    return max((plan.margin for plan in plans if plan.margin is not None), default=None)


def plans_of(report: Report, line: NamedRow) -> str:
    """Write the plans of a line, and which of them have no known price."""
    nothing = "" if line.rest else NOTHING
    return ", ".join(_plan(report, each) for each in line.row.plans) or nothing


def _plan(report: Report, plan: str) -> str:
    return f"{name(plan)} (price not known)" if plan in report.unknown_plans else name(plan)
