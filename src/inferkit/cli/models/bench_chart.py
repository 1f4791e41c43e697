"""Draws what `inferkit models bench` measured: a row for each file and setting, a column of bars for each figure."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

from inferkit.cli.models.naming import bytes_of
from inferkit.economics.formatting import plural, printable
from inferkit.local.measuring.bench import labels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inferkit.local.measuring.bench import Bench, Loss, Speed

__all__ = ["draw"]

_WIDTH, _LABELS, _ROW, _TOP, _BAR = 960.0, 190.0, 30.0, 74.0, 16.0
_GAP, _FIGURE = 22.0, 66.0
_LONGEST = 26

_STYLE = """
svg { font: 13px system-ui, sans-serif; background: #fff; }
text { fill: #24292f; } .small { fill: #57606a; font-size: 12px; } .title { font-size: 16px; font-weight: 600; }
.end { text-anchor: end; } .bar { fill: #2f6fb3; } .first { fill: #8c959f; } .axis { stroke: #8c959f; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .small { fill: #9aa4af; }
  .bar { fill: #6cb0f5; } .first { fill: #6e7681; } .axis { stroke: #6e7681; }
}
"""


class _Column(NamedTuple):
    """A figure of each row, with how it is written; None leaves a row empty. `whole` is what a full bar is."""

    title: str
    values: tuple[tuple[float, str] | None, ...]
    whole: float | None = None


def draw(found: Bench) -> str:
    """Give the drawing as SVG, for a light and for a dark background."""
    rows, columns = found.speeds, tuple(_columns(found))
    height = _TOP + _ROW * len(rows) + 52
    width = (_WIDTH - _LABELS - _GAP * len(columns)) / len(columns)
    parts = [f'<text class="title" x="0" y="20">{html.escape(_title(found))}</text>']
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number + _BAR - 3
        parts.append(f'<text class="end" x="{_LABELS - 12:.0f}" y="{y:.0f}">{html.escape(_label(found, row))}</text>')
    for place, column in enumerate(columns):
        parts += _bars(found, column, _LABELS + place * (width + _GAP), width)
    foot = f"{found.cores} cores, prompts of {found.plan.prompt} tokens, replies of {found.plan.generate}"
    text = f"; loss on {found.losses[0].tokens:,} tokens" if found.losses else ""
    parts.append(f'<text class="small" x="0" y="{height - 14:.0f}">{foot}{text}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" '
        f'width="{_WIDTH:.0f}" height="{height:.0f}"><title>{html.escape(_title(found))}</title>'
        f"<desc>{html.escape(_described(found))}</desc><style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _columns(found: Bench) -> Iterator[_Column]:
    rows = found.speeds
    yield _Column("reply, tokens/s", tuple((row.generate, _rate(row.generate)) for row in rows))
    yield _Column("prompt, tokens/s", tuple((row.prompt, _rate(row.prompt)) for row in rows))
    if all(row.memory for row in rows):
        yield _Column("memory at most", tuple((row.memory or 0, bytes_of(row.memory or 0)) for row in rows))
    losses = {loss.model.path: loss for loss in found.losses}
    if losses:
        yield _Column("perplexity", tuple(_of_loss(found, place, losses, "perplexity") for place in range(len(rows))))
    if any(loss.same_tokens is not None for loss in losses.values()):
        yield _Column(
            "same words", tuple(_of_loss(found, place, losses, "same_tokens") for place in range(len(rows))), 1
        )


def _of_loss(found: Bench, place: int, losses: dict[Path, Loss], what: str) -> tuple[float, str] | None:
    """Give a figure of a file, in the first of its rows."""
    path = found.speeds[place].model.path
    if any(row.model.path == path for row in found.speeds[:place]):
        return None
    value: float | None = getattr(losses[path], what)
    if value is None:
        return None
    return (value, f"{value:.2f}") if what == "perplexity" else (value, f"{100 * value:.0f} %")


def _bars(found: Bench, column: _Column, left: float, width: float) -> Iterator[str]:
    most = column.whole or max((value[0] for value in column.values if value is not None), default=1.0) or 1.0
    bottom = _TOP + _ROW * len(column.values) - 8
    yield f'<text class="small" x="{left:.1f}" y="{_TOP - 18:.0f}">{column.title}</text>'
    yield f'<line class="axis" x1="{left:.1f}" x2="{left:.1f}" y1="{_TOP - 8:.0f}" y2="{bottom:.0f}"/>'
    for number, value in enumerate(column.values):
        if value is None:
            continue
        y = _TOP + _ROW * number
        length = max(1.0, (width - _FIGURE) * value[0] / most)
        kind = "first" if found.speeds[number].model is found.reference else "bar"
        yield f'<rect class="{kind}" x="{left:.1f}" y="{y:.1f}" width="{length:.1f}" height="{_BAR:.0f}"/>'
        yield f'<text x="{left + length + 6:.1f}" y="{y + _BAR - 3:.0f}">{value[1]}</text>'


def _label(found: Bench, row: Speed) -> str:
    """Name a row: the file, and what differs between its rows."""
    name = printable(labels(found)[row.model.path])
    name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    parts = [name]
    if len({one.threads for one in found.speeds}) > 1:
        parts.append(plural(row.threads, "thread"))
    if len({one.batch for one in found.speeds}) > 1:
        parts.append(f"batch {row.batch}")
    return ", ".join(parts)


def _title(found: Bench) -> str:
    model = found.reference or found.speeds[0].model
    return f"{printable(model.name)}: speed, memory and loss" if found.losses else f"{printable(model.name)}: speed"


def _described(found: Bench) -> str:
    """Say in words what the drawing shows."""
    rows = (
        f"{_label(found, row)}: {_rate(row.generate)} tokens of a reply a second, {_rate(row.prompt)} of a prompt"
        for row in found.speeds
    )
    return "; ".join(rows) + "."


def _rate(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - three digits are enough
