"""Results of simulations as pictures: SVG files, each a pure function of the results."""

from __future__ import annotations

import html
import math
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.money import NANOS_PER_USD
from inferkit.economics.formatting import money, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.simulation.results import Result
    from inferkit.simulation.scenario import Simulation

__all__ = ["plots"]

_WIDTH = 960.0
_PANEL = 150.0
_LEFT, _RIGHT, _TOP, _BELOW, _BETWEEN = 56.0, 12.0, 46.0, 26.0, 40.0
_BAR, _ROW = 15.0, 22.0
_BEFORE, _AFTER = 0.35, 0.65  # of an event's length, around it
_STEPS = 90
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a }
.end { text-anchor: end } .middle { text-anchor: middle } .strong { font-weight: 600 }
.grid { stroke: #d0d7de; stroke-width: 1 } .event { fill: #d0d7de; opacity: .45 } .back { fill: #ffffff }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.c1 { stroke: #b4462f } .c2 { stroke: #2f6fb4 } .c3 { stroke: #2f8f5b } .c4 { stroke: #8a5bb4 } .c5 { stroke: #a8821c }
rect.c1 { fill: #b4462f } rect.c2 { fill: #2f6fb4 } rect.c3 { fill: #2f8f5b } rect.c4 { fill: #8a5bb4 }
rect.c5 { fill: #a8821c }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9da7b1 } .back { fill: #0d1117 }
.grid { stroke: #30363d } .event { fill: #484f58 }
}"""
_COLOURS = 5


def plots(scenario: Simulation, results: Sequence[Result]) -> dict[str, str]:
    """Give the pictures by their files' names: what it came to, and how each outage and spike was lived through."""
    found = {"totals.svg": _totals(scenario, results)}
    events = _events(scenario)
    if events:
        found["events.svg"] = _lived_through(scenario, results, events)
    return found


class _Event(NamedTuple):
    title: str
    start: float
    end: float


def _events(scenario: Simulation) -> list[_Event]:
    found = [_Event(f"{spike.times:g} times the traffic", spike.start, spike.end) for spike in scenario.traffic.spikes]
    found += [_Event(f"{each.provider} is {each.kind}", each.start, each.end) for each in scenario.outages]
    return sorted(found, key=lambda event: event.start)


def _lived_through(scenario: Simulation, results: Sequence[Result], events: Sequence[_Event]) -> str:
    """Draw the share of calls answered in time around each event, a panel for each and a line for each policy."""
    parts = [_legend([result.policy.name for result in results])]
    for number, event in enumerate(events):
        top = _TOP + 20 + number * (_PANEL + _BETWEEN + _BELOW)
        length = event.end - event.start
        start = max(0.0, event.start - _BEFORE * length)
        end = min(scenario.seconds, event.end + _AFTER * length)
        step = (end - start) / _STEPS
        across = (_WIDTH - _LEFT - _RIGHT) / (end - start)

        def x(at: float, start: float = start, across: float = across) -> float:
            return _LEFT + (at - start) * across

        def y(share: float, top: float = top) -> float:
            return top + _PANEL * (1 - share)

        when = (scenario.start + timedelta(seconds=event.start)).strftime("%d %B, %H:%M UTC")
        parts.append(f'<text class="strong" x="{_LEFT}" y="{top - 10:.0f}">{_safe(event.title)}, {when}</text>')
        width = (min(end, event.end) - event.start) * across
        parts.append(
            f'<rect class="event" x="{x(event.start):.1f}" y="{top:.0f}" width="{width:.1f}" height="{_PANEL:.0f}"/>'
        )
        parts += [_grid(y(share), f"{share:.0%}") for share in (0.0, 0.5, 1.0)]
        for minutes in _ticks(end - start):
            at = event.start + minutes * 60
            if start <= at <= end:
                label = f'<text class="small middle" x="{x(at):.0f}" y="{top + _PANEL + 16:.0f}">{minutes:g} min</text>'
                parts.append(label)
        for place, result in enumerate(results):
            shares = result.answered_by(step, start, end)
            parts.append(_line(shares, lambda n: x(start + (n + 0.5) * step), y, place))  # noqa: B023 - drawn at once
    height = _TOP + 20 + len(events) * (_PANEL + _BETWEEN + _BELOW) - _BETWEEN + 10
    return _picture("Calls answered in time, around each event", height, parts)


def _totals(scenario: Simulation, results: Sequence[Result]) -> str:
    """Draw what each policy came to: good answers, cost, requests a call and the slow end of the first token."""
    names = [result.policy.name for result in results]

    def requests(result: Result) -> float:
        return result.requests / result.total.calls if result.total.calls else 0.0

    def first(result: Result) -> float:
        return result.total.first[1] if result.total.first else 0.0

    measures: list[tuple[str, list[float], Callable[[float], str]]] = [
        ("answered in time", [each.total.answered for each in results], lambda value: f"{value:.2%}"),
        ("good answers in time", [each.total.goodput for each in results], lambda value: f"{value:.2%}"),
        (
            "cost",
            [each.total.cost / NANOS_PER_USD for each in results],
            lambda value: money(round(value * NANOS_PER_USD)),
        ),
        ("requests a call", [requests(each) for each in results], lambda value: f"{value:.3f}"),
        ("first token, 95 of 100 calls sooner than", [first(each) for each in results], lambda value: f"{value:.2f} s"),
    ]
    parts, y = [], _TOP
    room = _WIDTH - _RIGHT - 150 - 110
    for title, values, said in measures:
        parts.append(f'<text class="strong" x="0" y="{y:.0f}">{_safe(title)}</text>')
        most = max([*values, 1e-9])
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            row = y + 12 + place * _ROW
            parts.append(
                f'<text class="end" x="138" y="{row + _BAR - 3:.0f}">{_safe(name)}</text>'
                f'<rect class="{_colour(place)}" x="150" y="{row:.0f}" width="{max(1.0, value / most * room):.1f}" '
                f'height="{_BAR:.0f}"/><text x="{158 + value / most * room:.1f}" y="{row + _BAR - 3:.0f}">'
                f"{_safe(said(value))}</text>"
            )
        y += 12 + len(results) * _ROW + 26
    days = f"{results[0].total.calls:,} calls in {scenario.days:g} days"
    return _picture(f"{days}, under each policy", y - 20, parts)


def _line(shares: Sequence[float | None], x: Callable[[int], float], y: Callable[[float], float], place: int) -> str:
    """Draw a line through what is known; between two stretches without calls it goes on straight."""
    points = " ".join(f"{x(number):.1f},{y(share):.1f}" for number, share in enumerate(shares) if share is not None)
    return f'<polyline class="line {_colour(place)}" points="{points}"/>'


def _ticks(seconds: float) -> list[float]:
    """Give round minutes, before and after an event's begin, not more than a dozen in the whole."""
    step = next((each for each in (5, 10, 15, 30, 60, 120, 240, 720) if seconds / 60 / each <= 12), 1440)  # noqa: PLR2004
    most = math.ceil(seconds / 60 / step)
    return [number * step for number in range(-most, most + 1)]


def _grid(y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="small end" x="{_LEFT - 8:.0f}" y="{y + 4:.1f}">{label}</text>'
    )


def _legend(names: Sequence[str]) -> str:
    parts, x = [], _LEFT
    for place, name in enumerate(names):
        parts.append(
            f'<rect class="{_colour(place)}" x="{x:.0f}" y="30" width="12" height="12"/>'
            f'<text x="{x + 18:.0f}" y="41">{_safe(name)}</text>'
        )
        x += 18 + 8 * len(name) + 24
    return "".join(parts)


def _colour(place: int) -> str:
    return f"c{place % _COLOURS + 1}"


def _safe(text: str) -> str:
    return html.escape(printable(text))


def _picture(title: str, height: float, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style>\n"
        f'<rect class="back" width="{_WIDTH:.0f}" height="{height:.0f}"/>\n'
        f'<text class="strong" x="0" y="16">{_safe(title)}</text>\n{inside}\n</svg>\n'
    )
