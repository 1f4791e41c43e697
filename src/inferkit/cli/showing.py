"""How commands show what they found: tables as wide as the terminal, JSON, and how far they are."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from inferkit.core.money import NANOS_PER_USD, to_usd
from inferkit.economics.formatting import printable
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

__all__ = ["Column", "dollars", "exact", "out", "pairs", "progress", "say", "show_table", "write_json"]

_GAP = 2
_LEAST, _NAME = 8, 28  # characters of a column that may be folded: the least, and what others make way for
_CENTS, _FINEST = 2, 4  # decimals
_SOON_SECONDS = 0.5  # before it is worth a word how far a command is


class Column(NamedTuple):
    """A column: `rank` says how soon it is left out where the terminal is narrow, 0 that it never is.

    `fold` is for names, which may take several lines; `right` for numbers.
    """

    title: str
    rank: int = 0
    right: bool = False
    fold: bool = False


def out() -> Console:
    """Give the terminal, which writes what its encoding does not have in another way."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, markup=False, emoji=False)


def say(text: str, style: str = "") -> None:
    """Print a line; control characters in it do nothing."""
    out().print(Text(printable(text), style=style))


def write_json(value: object) -> None:
    """Write what another program reads."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, styles: Sequence[str] = ()) -> None:
    """Print a table without the columns that are empty, and without those of the highest rank until it fits."""
    console = out()
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max([cell_len(row[place]) for row in rows], default=0) for place in range(len(columns))]
    kept = [place for place, width in enumerate(widths) if width]
    while kept:
        needed = sum(_needed(columns[place], widths[place]) + _GAP for place in kept) - _GAP
        last = max(kept, key=lambda place: (columns[place].rank, place))
        if needed <= console.width or not columns[last].rank:
            break
        kept.remove(last)
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for place in kept:
        column = columns[place]
        grid.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.fold,
            overflow="fold",
            min_width=min(widths[place], _LEAST) if column.fold else None,
        )
    for number, row in enumerate(rows):
        style = styles[number] if styles else None
        grid.add_row(*[Text(row[place]) for place in kept], style=style or None)
    console.print(grid)


def _needed(column: Column, width: int) -> int:
    return max(cell_len(column.title), min(width, _NAME) if column.fold else width)


def pairs(rows: Sequence[tuple[str, str]], *, indent: int = 0) -> None:
    """Print what is known of one thing, a line for each fact."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for what, said in rows:
        grid.add_row(Text(what), Text(printable(said)))
    out().print(Padding(grid, (0, 0, 0, indent)))


def dollars(nanos: int | None) -> str:
    """Write what a call cost: to the cent from a dollar on, else to four decimals or two significant digits."""
    if nanos is None:
        return "no price"
    sign, size = ("-", -nanos) if nanos < 0 else ("", nanos)
    if not size:
        return "$0"
    usd = to_usd(size)
    decimals = _CENTS if size >= NANOS_PER_USD else max(_FINEST, 1 - usd.adjusted())
    whole, _, rest = f"{round(usd, decimals):,f}".partition(".")
    return f"{sign}${whole}.{rest.rstrip('0'):0<{_CENTS}}"


def exact(nanos: int | None) -> str | None:
    """Write an amount as JSON has it: all of it, in dollars."""
    amount: Decimal | None = None if nanos is None else to_usd(nanos)
    return None if amount is None else f"{amount:f}"


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], object]]:
    """Give what is told how far a command is, `(done, of)`; it shows that where it takes a while, in a terminal."""
    console = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True)
    begun = clock.now()
    task: Any = None

    def step(done: int, of: int) -> None:
        nonlocal task
        if task is None:
            if not console.is_terminal or clock.now() - begun < _SOON_SECONDS:
                return
            bar.start()
            task = bar.add_task(what, total=of)
        bar.update(task, completed=done, total=of)

    try:
        yield step
    finally:
        if task is not None:
            bar.stop()
