"""A report in a terminal: the same words and tables as on the page, as wide as the terminal is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from inferkit.economics.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from inferkit.economics.render.document import Document
    from inferkit.economics.render.tables import Section, Table

__all__ = ["as_tables"]

_NAME_WIDTH = 12  # characters, however long the figures are
_INDENT = 2


def as_tables(document: Document) -> RenderableType:
    """Give what rich prints."""
    figures = [f"{figure.what} {figure.amount}" for figure in document.figures]
    parts: list[RenderableType] = [
        _line(document.when, "bold"),
        _line(document.findings),
        _Figures(figures),
        *map(_section, document.sections),
        Text("\n").join([_line(f"note: {note}", "dim") for note in document.notes]),
    ]
    return Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts))


class _Figures:
    """What matters most, in lines that break between figures alone: rich breaks at a no-break space, too."""

    def __init__(self, figures: Sequence[str]) -> None:
        self._figures = figures

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines: list[str] = []
        for figure in self._figures:
            joined = f"{lines[-1]}   {figure}" if lines else figure
            if lines and cell_len(joined) <= options.max_width:
                lines[-1] = joined
            else:
                lines.append(figure)
        yield Text("\n").join(map(_line, lines))


def _section(section: Section) -> RenderableType:
    parts: list[RenderableType] = [_line(section.title, "bold")]
    if section.paragraph:
        parts.append(_line(section.paragraph))
    if section.table is not None:
        parts.append(_Fitting(section.table))
    return Group(*parts)


class _Fitting:
    """A table, or where the terminal is too narrow for one, a line for each figure of a row."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = _grid(self._table)
        if Measurement.get(console, options.update(width=1000), grid).minimum <= options.max_width:
            yield grid
        else:
            yield from _listed(self._table)


def _grid(table: Table) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(table.columns):
        if place < table.words:
            grid.add_column(_line(column), overflow="fold", min_width=_NAME_WIDTH)
        else:
            grid.add_column(_line(column), justify="right", no_wrap=True)
    for row in table.rows:
        grid.add_row(*map(_line, row), style="red" if _is_loss(table, row) else None)
    if table.total:
        grid.add_row(*map(_line, table.total), style="bold")
    return grid


def _listed(table: Table) -> Iterator[RenderableType]:
    for row in [*table.rows, *([table.total] if table.total else [])]:
        yield _line(row[0], "bold")
        for column, cell in zip(table.columns[1:], row[1:], strict=True):
            if cell:
                yield Padding(_line(f"{column}: {cell}"), (0, 0, 0, _INDENT))


def _is_loss(table: Table, row: Sequence[str]) -> bool:
    """Whether a margin is below zero, of somebody who pays."""
    named = dict(zip(table.columns, row, strict=True))
    return named.get("Margin", "").startswith("-") and not named.get("Revenue", "").startswith("$0.00")


def _line(text: str, style: str = "") -> Text:
    """Give a text that names from outside are in: neither markup nor control characters do anything."""
    return Text(printable(text), style=style)
