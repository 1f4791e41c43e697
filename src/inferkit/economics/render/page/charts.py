"""Charts as inline SVG, each a pure function of its values. Colours are classes, which the page's style defines."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.core.money import NANOS_PER_USD, to_usd
from inferkit.economics.formatting import money, name
from inferkit.economics.render.page.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inferkit.economics.render.page.timeline import Timeline

__all__ = ["columns", "legend", "paired_bars"]

_WIDTH = 960.0
_DIGIT = 7.2  # a digit's width at the size of the labels, with room to spare
_PLOT = 240.0
_TOP = 10.0
_BELOW = 30.0
_WIDEST_COLUMN = 56.0
_ROW = 52.0
_BAR = 15.0
_LABEL = 24


def columns(timeline: Timeline, title: str, summary: str) -> str:
    """Draw what each day cost, as columns of the models' parts, stacked with the dearest at the bottom.

    `title` and `summary` say to those who do not see it what it shows.
    """
    totals = [sum(each) for each in zip(*(_upward(series.values) for series in timeline.series), strict=True)]
    lines = _grid(max(totals))
    left = _DIGIT * max(len(label) for _, label in lines) + 10
    scale = _PLOT / lines[-1][0]
    slot = (_WIDTH - left) / len(totals)
    width = min(slot * 0.74, _WIDEST_COLUMN)
    parts = []
    for value, label in lines:
        y = _TOP + _PLOT - value * scale
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{_WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{left - 8:.1f}" y="{y + 4:.1f}">{escape(label)}</text>')
    parts += [
        _column(timeline, index, left + slot * (index + 0.5) - width / 2, width, scale)
        for index, total in enumerate(totals)
        if total
    ]
    base = _TOP + _PLOT
    parts.append(f'<line class="axis" x1="{left:.1f}" x2="{_WIDTH:.0f}" y1="{base:.1f}" y2="{base:.1f}"/>')
    for index, label in timeline.ticks():
        x = left + slot * (index + 0.5)
        parts.append(f'<text class="middle" x="{x:.1f}" y="{base + 20:.0f}">{escape(label)}</text>')
    return _picture("columns", title, summary, _TOP + _PLOT + _BELOW, parts)


def _column(timeline: Timeline, index: int, x: float, width: float, scale: float) -> str:
    y = _TOP + _PLOT
    said = [f"{timeline.label(index)}: {money(sum(series.values[index] for series in timeline.series))}"]
    parts = []
    for place, series in enumerate(timeline.series):
        value = max(0, series.values[index])
        if value:
            height = value * scale
            y -= height
            kind = series_class(place, other=series.other)
            parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.2f}" width="{width:.1f}" height="{height:.2f}"/>')
            said.append(f"{series.name} {money(value)}")
    return "<g><title>" + "\n".join(map(escape, said)) + f"</title>{''.join(parts)}</g>"


def paired_bars(
    rows: Sequence[tuple[str, int | None, int | None]], kinds: tuple[str, str], title: str, summary: str
) -> str:
    """Draw two amounts for each name, for example its revenue and its cost, one below the other; None is not known."""
    most = max([1, *(amount or 0 for _, *amounts in rows for amount in amounts)])
    left = _DIGIT * max(min(len(label), _LABEL) for label, _, _ in rows) + 24
    room = _WIDTH - left - _DIGIT * max(len(money(most)), 8) - 12
    parts = []
    for number, (label, *amounts) in enumerate(rows):
        y = number * _ROW + 8
        said = ", ".join(f"{kind.lower()} {_amount(amount)}" for kind, amount in zip(kinds, amounts, strict=True))
        parts.append(f"<g><title>{escape(f'{name(label)}: {said}')}</title>")
        parts.append(
            f'<text class="end strong" x="{left - 14:.0f}" y="{y + _BAR + 5:.0f}">{escape(_fit(label))}</text>'
        )
        for place, amount in enumerate(amounts):
            top = y + place * (_BAR + 2)
            width = max(amount * room / most, 1.5) if amount and amount > 0 else 0.0
            kind = ("first", "second")[place]
            parts.append(
                f'<rect class="{kind}" x="{left:.0f}" y="{top:.0f}" width="{width:.1f}" height="{_BAR:.0f}"/>'
                f'<text x="{left + width + 8:.1f}" y="{top + _BAR - 3:.0f}">{_amount(amount)}</text>'
            )
        parts.append("</g>")
    height = len(rows) * _ROW
    parts.append(f'<line class="axis" x1="{left:.0f}" x2="{left:.0f}" y1="0" y2="{height:.0f}"/>')
    return _picture("pairs", title, summary, height, parts)


def legend(entries: Iterable[tuple[str, str, str]]) -> str:
    """Say which colour is what: a class, a name and an amount each."""
    lines = (
        f'<li><svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect class="{kind}" width="12" height="12"/>'
        f"</svg> {escape(label)}{f' <span>{escape(amount)}</span>' if amount else ''}</li>"
        for kind, label, amount in entries
    )
    return f'<ul class="legend">{"".join(lines)}</ul>'


def series_class(place: int, *, other: bool) -> str:
    """Give the class of the colour of a series."""
    return "series-other" if other else f"series-{place + 1}"


def _picture(key: str, title: str, summary: str, height: float, parts: Iterable[str]) -> str:
    return (
        f'<div class="wide"><svg class="chart" role="img" aria-labelledby="{key}-title {key}-summary" '
        f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-summary">{escape(summary)}</desc>\n' + "\n".join(filter(None, parts)) + "\n</svg></div>"
    )


def _amount(amount: int | None) -> str:
    return "not known" if amount is None else money(amount)


def _upward(values: Iterable[int]) -> list[int]:
    """Leave out what is below zero: a correction of an earlier day, which no column can show."""
    return [max(0, value) for value in values]


def _grid(most: int) -> list[tuple[int, str]]:
    """Give round amounts from zero to the first that is not below the most, at most five steps, with their labels."""
    step = 10 ** max(0, len(str(max(1, most))) - 2)
    while step * 5 < most:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    digits = max(0, len(str(NANOS_PER_USD)) - len(str(step)))
    exponent = Decimal(1).scaleb(-max(digits, 2) if digits else 0)
    return [
        (value, f"${to_usd(value).quantize(exponent):,f}" if value else "$0") for value in range(0, most + step, step)
    ]


def _fit(label: str) -> str:
    """Cut a name to the room it has; wide characters take two places."""
    used = 0
    shown = ""
    for character in name(label):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > _LABEL:
            return shown[:-1] + "\N{HORIZONTAL ELLIPSIS}"
        shown += character
    return shown
