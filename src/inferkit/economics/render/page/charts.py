"""Charts as inline SVG, each a pure function of its values. Colours are classes, which the page's style defines.

Each is drawn twice, for a wide screen and for a narrow one; the style shows the one that fits.
"""

from __future__ import annotations

import html
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.money import NANOS_PER_USD, to_usd
from inferkit.economics.formatting import money, name, plural, printable
from inferkit.economics.render.tables import Pairs
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

    from inferkit.economics.render.timeline import Timeline

__all__ = ["chart", "columns", "legend", "paired_bars"]

_DIGIT = 7.2  # a digit's width at the size of the labels, with room to spare
_PLOT = 240.0
_TOP = 10.0
_BELOW = 30.0
_WIDEST_COLUMN = 56.0
_BAR = 15.0
_LABEL = 24


class Screen(NamedTuple):
    """How wide a drawing is, in its own units, and how many labels stand below its columns."""

    name: str
    width: float
    ticks: int


_SCREENS = (Screen("on-wide", 960.0, 10), Screen("on-narrow", 358.0, 4))


def chart(what: Timeline | Pairs, title: str) -> Markup:
    """Draw what a section has to draw, with its legend."""
    if isinstance(what, Pairs):
        key = legend([("first", what.kinds[0], ""), ("second", what.kinds[1], "")])
        drawing = key + "".join(
            paired_bars(what, f"{' and '.join(what.kinds)}: {title}", screen) for screen in _SCREENS
        )
    else:
        key = legend(
            (series_class(place, other=series.other), series.name, money(sum(series.values)))
            for place, series in enumerate(what.series)
        )
        drawing = "".join(columns(what, title, screen) for screen in _SCREENS) + key
    imports.load("markupsafe")
    from markupsafe import Markup

    return Markup(drawing)  # noqa: S704 - all that came from outside is escaped


def escape(text: str) -> str:
    """Make plain text safe as content and in attributes, with what cannot be printed as its escape."""
    return html.escape(printable(text))


def columns(timeline: Timeline, title: str, screen: Screen = _SCREENS[0]) -> str:
    """Draw what each day cost, as columns of the models' parts, stacked with the dearest at the bottom."""
    upward = [sum(each) for each in zip(*(_upward(series.values) for series in timeline.series), strict=True)]
    lines = _grid(max(upward))
    left = _DIGIT * max(len(label) for _, label in lines) + 10
    scale = _PLOT / lines[-1][0]
    slot = (screen.width - left) / len(upward)
    width = min(slot * 0.74, _WIDEST_COLUMN)
    base = _TOP + _PLOT
    parts = []
    for value, label in lines:
        y = base - value * scale
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{screen.width:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{left - 8:.1f}" y="{y + 4:.1f}">{escape(label)}</text>')
    parts += [
        _column(timeline, index, left + slot * (index + 0.5) - width / 2, width, scale)
        for index, total in enumerate(upward)
        if total
    ]
    parts.append(f'<line class="axis" x1="{left:.1f}" x2="{screen.width:.0f}" y1="{base:.1f}" y2="{base:.1f}"/>')
    for index, label in timeline.ticks(screen.ticks):
        parts.append(_tick(label, left + slot * (index + 0.5), base + 20, screen.width))
    return _picture("columns", title, _summary(timeline), screen, base + _BELOW, parts)


def _tick(label: str, x: float, y: float, width: float) -> str:
    """Write a label below its column, and within the drawing."""
    half = _DIGIT * len(label) / 2
    if x + half > width:
        return f'<text class="end" x="{width:.1f}" y="{y:.0f}">{escape(label)}</text>'
    return f'<text class="middle" x="{max(x, half):.1f}" y="{y:.0f}">{escape(label)}</text>'


def _summary(timeline: Timeline) -> str:
    totals = timeline.totals
    dearest = max(range(len(totals)), key=totals.__getitem__)
    return (
        f"Stacked columns by model, from {timeline.label(0)} to {timeline.label(len(totals) - 1)}. The dearest is "
        f"{timeline.label(dearest)} with {money(totals[dearest])}; the average is {money(sum(totals) // len(totals))}."
    )


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


def paired_bars(pairs: Pairs, title: str, screen: Screen = _SCREENS[0]) -> str:
    """Draw two amounts for each name, one below the other: beside the name, or below it where there is no room."""
    kinds, rows = pairs
    most = max([1, *(amount or 0 for _, *amounts in rows for amount in amounts)])
    beside = screen is _SCREENS[0]
    left = _DIGIT * max(min(len(label), _LABEL) for label, _, _ in rows) + 24 if beside else 1.0
    room = screen.width - left - _DIGIT * max(len(money(most)), 8) - 12
    step, down = (52.0, 8.0) if beside else (68.0, 24.0)
    parts = []
    for number, (label, *amounts) in enumerate(rows):
        y = number * step + down
        said = ", ".join(f"{kind.lower()} {_amount(amount)}" for kind, amount in zip(kinds, amounts, strict=True))
        parts.append(f"<g><title>{escape(f'{name(label)}: {said}')}</title>")
        place = (
            f'class="end strong" x="{left - 14:.0f}" y="{y + _BAR + 5:.0f}"'
            if beside
            else f'class="strong" x="0" y="{y - 8:.0f}"'
        )
        parts.append(f"<text {place}>{escape(_fit(label))}</text>")
        for order, amount in enumerate(amounts):
            top = y + order * (_BAR + 2)
            width = max(amount * room / most, 1.5) if amount and amount > 0 else 0.0
            kind = ("first", "second")[order]
            parts.append(
                f'<rect class="{kind}" x="{left:.0f}" y="{top:.0f}" width="{width:.1f}" height="{_BAR:.0f}"/>'
                f'<text x="{left + width + 8:.1f}" y="{top + _BAR - 3:.0f}">{_amount(amount)}</text>'
            )
        parts.append("</g>")
    height = len(rows) * step
    if beside:
        parts.append(f'<line class="axis" x1="{left:.0f}" x2="{left:.0f}" y1="0" y2="{height:.0f}"/>')
    summary = f"Two bars each for {plural(len(rows), 'plan')}. The table below has the numbers."
    return _picture("pairs", title, summary, screen, height, parts)


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


def _picture(  # noqa: PLR0917
    key: str, title: str, summary: str, screen: Screen, height: float, parts: Sequence[str]
) -> str:
    key = f"{key}-{screen.name}"
    return (
        f'<svg class="chart {screen.name}" role="img" aria-labelledby="{key}-title {key}-summary" '
        f'viewBox="0 0 {screen.width:.0f} {height:.0f}"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-summary">{escape(summary)}</desc>\n' + "\n".join(parts) + "\n</svg>"
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
