"""A report as tables in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from inferkit.economics.formatting import count, money, name, period, plural, reported, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from inferkit.economics.report.report import Dimension, Report, Row
    from inferkit.economics.report.waste import Subtotal
    from inferkit.economics.what_if.what_if import WhatIf

__all__ = ["as_tables"]

_NAME_WIDTH = 12  # characters, however long the figures are


def as_tables(report: Report, what_if: WhatIf | None, *, by: Sequence[Dimension], top: int) -> RenderableType:
    """Give what rich prints: the totals, a table for each of `by` with its `top` rows, losses, savings and waste."""
    total = report.total
    head = Text()
    head.append(f"{period(report.period)}\n", style="bold")
    head.append(
        f"revenue {money(total.revenue)}   cost {money(total.cost)}   margin {money(total.margin)} "
        f"({share(total.margin_share)})   {plural(total.calls, 'call')}"
    )
    parts: list[RenderableType] = [head]
    parts += [_rows(f"by {dimension}", report.by(dimension), top) for dimension in by]
    if report.unprofitable:
        parts.append(_rows("cost more than they bring in", report.unprofitable, top, plans=True))
    if report.below_target:
        parts.append(_rows("below their plan's target margin", report.below_target, top, plans=True))
    parts.append(_subtotals("saved", report.savings.kinds, report.savings.usd))
    parts.append(_subtotals("wasted", report.waste.kinds, report.waste.usd))
    if report.refused:
        parts.append(_refused(report.refused, top))
    parts += _lines([f"note: {note}" for note in notes(report)], style="dim")
    if what_if is not None:
        parts += _what_if(what_if)
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts))


def notes(report: Report) -> Iterable[str]:
    """Say what the figures leave out."""
    yield from reported(report)
    if report.unpriced > 0:
        yield f"the price of {plural(report.unpriced, 'call')} is not known; they count as nothing here"
    if report.estimated > 0:
        yield f"{plural(report.estimated, 'call')} estimated: no usage was reported, or the process died"
    for plan in report.unknown_plans:
        yield f'the price of plan "{plan}" is not known: name it in a file of plans (--plans)'
    if report.total.revenue:
        yield "a customer's revenue is spread over its calls evenly"


def _rows(title: str, rows: Sequence[Row], top: int, *, plans: bool = False) -> Table:
    table = _table(title)
    table.add_column(overflow="fold", min_width=_NAME_WIDTH)
    if plans:
        table.add_column("plan", overflow="fold")
    for column in ("calls", "cost", "revenue", "margin", "%"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows[:top]:
        figures = [count(row.calls), money(row.cost), money(row.revenue), money(row.margin), share(row.margin_share)]
        named = [_line(", ".join(row.plans))] if plans else []
        loss = "red" if row.margin < 0 < row.revenue else None
        table.add_row(_line(name(row.name)), *named, *figures, style=loss)
    if len(rows) > top:
        rest = rows[top:]
        costs, revenues = sum(row.cost for row in rest), sum(row.revenue for row in rest)
        table.add_row(
            f"{count(len(rest))} more", *([""] if plans else []), count(sum(row.calls for row in rest)), money(costs),
            money(revenues), money(revenues - costs), "", style="dim",
        )  # fmt: skip
    return table


def _subtotals(title: str, kinds: Mapping[str, Subtotal], total: int) -> Table:
    table = _table(title)
    table.add_column()
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    for kind, subtotal in kinds.items():
        if subtotal.calls:
            table.add_row(kind, count(subtotal.calls), money(subtotal.usd))
    table.add_row("in all", "", money(total), style="bold")
    return table


def _refused(refused: Mapping[str, int], top: int) -> Table:
    table = _table("refused")
    table.add_column("budget", overflow="fold")
    table.add_column("calls", justify="right", no_wrap=True)
    for scope, calls in list(refused.items())[:top]:
        table.add_row(_line(scope), count(calls))
    if len(refused) > top:
        table.add_row(f"{count(len(refused) - top)} more", count(sum(list(refused.values())[top:])), style="dim")
    return table


def _what_if(what_if: WhatIf) -> list[RenderableType]:
    table = _table(f"what if: {what_if.scenario.name}")
    table.add_column("plan", overflow="fold")
    for column in ("cost", "then", "revenue", "then", "margin", "then"):
        table.add_column(column, justify="right", no_wrap=True)
    for plan, before, after in what_if.by("plan"):
        table.add_row(_line(name(plan)), *_compared(before, after))
    table.add_row("in all", *_compared(what_if.before.total, what_if.after.total), style="bold")
    return [table, *_lines(what_if.sentences)]


def _compared(before: Row | None, after: Row | None) -> list[str]:
    figures = []
    for figure in ("cost", "revenue", "margin"):
        figures += [money(0 if row is None else getattr(row, figure)) for row in (before, after)]
    return figures


def _table(title: str) -> Table:
    return Table(
        title=_line(title, style="bold"), title_justify="left", title_style="", box=None, pad_edge=False,
        padding=(0, 2, 0, 0),
    )  # fmt: skip


def _lines(texts: Sequence[str], style: str = "") -> list[RenderableType]:
    return [Text("\n").join([_line(text, style) for text in texts])] if texts else []


def _line(text: str, style: str = "") -> Text:
    """Give a text that names from outside are in: neither markup nor control characters do anything."""
    return Text(name(text), style=style)
