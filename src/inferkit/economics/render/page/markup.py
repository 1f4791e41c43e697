"""Sections and tables as HTML. All text in them is plain; it is escaped here, and nowhere else."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferkit.economics.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Section", "Table", "escape", "render_section"]


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


@dataclass(frozen=True)
class Section:
    """A part of the page: a title, a paragraph, and a table, all of plain text.

    `figure` stands between them and is the one thing that is HTML already; `folded` is a table that is shown on demand,
    under its name.
    """

    title: str
    paragraph: str = ""
    table: Table | None = None
    figure: str = field(default="", repr=False)
    folded: tuple[str, Table] | None = None


def escape(text: str) -> str:
    """Make plain text safe as content and in attributes, with what cannot be printed as its escape."""
    return html.escape(printable(text))


def render_section(section: Section, number: int) -> str:
    """Write a section as HTML; `number` tells its ids apart from other sections'."""
    heading = f"section-{number}"
    parts = [f'<section aria-labelledby="{heading}"><h2 id="{heading}">{escape(section.title)}</h2>']
    if section.paragraph:
        parts.append(f"<p>{escape(section.paragraph)}</p>")
    parts.append(section.figure)
    if section.table is not None:
        parts.append(_table(section.table, section.title))
    if section.folded is not None:
        name, table = section.folded
        parts.append(f"<details><summary>{escape(name)}</summary>{_table(table, name)}</details>")
    return "\n".join([*filter(None, parts), "</section>"])


def _table(table: Table, label: str) -> str:
    named = f'aria-label="{escape(label)}"'
    head = "".join(f'<th scope="col"{_kind(table, i)}>{escape(column)}</th>' for i, column in enumerate(table.columns))
    drawn = [0, *(value for value in table.bars if value is not None)]
    lines = []
    for number, row in enumerate(table.rows):
        bar = (
            f'<td class="bar" aria-hidden="true">{_bar(table.bars[number] or 0, min(drawn), max(drawn))}</td>'
            if table.bars
            else ""
        )
        lines.append(f"<tr>{_cells(table, row)}{bar}</tr>")
    spare = '<td class="bar" aria-hidden="true"></td>' if table.bars else ""
    foot = f"<tfoot><tr>{_cells(table, table.total)}{spare}</tr></tfoot>" if table.total else ""
    body = "\n".join(lines)
    return (
        f'<div class="wide" role="region" {named} tabindex="0"><table {named}>\n<thead><tr>{head}{spare}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>{foot}</table></div>"
    )


def _cells(table: Table, row: Sequence[str]) -> str:
    first, *rest = row
    return f'<th scope="row">{escape(first)}</th>' + "".join(
        f"<td{_kind(table, i, cell)}>{escape(cell)}</td>" for i, cell in enumerate(rest, start=1)
    )


def _kind(table: Table, column: int, cell: str = "") -> str:
    if column < table.words:
        return ""
    return ' class="number below-zero"' if cell.startswith("-") else ' class="number"'


def _bar(value: int, low: int, high: int) -> str:
    """Draw a value as a bar from zero, on a scale from `low` to `high`; from the left where all are below zero."""
    if not value:
        return ""
    width = abs(value) * 100 / (high - low)
    zero = -low * 100 / (high - low) if high else 0
    left = zero - width if value < 0 < high else zero
    kind = "bar-below-zero" if value < 0 else "bar-above-zero"
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none">'
        f'<rect class="{kind}" x="{left:.2f}" width="{width:.2f}" height="10"/></svg>'
    )
