"""How long reports take, and how much memory."""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.scale.books import DAYS, PLANS
from inferkit import Budget, Price
from inferkit.economics import Period, Report, Scenario, build_report, play
from inferkit.economics.report.report import DIMENSIONS
from inferkit.ledger.sqlite.journal import SqliteRecords

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["last_hour", "month", "what_if"]

_A_MILLION = 1_000_000


def month(path: Path, entries: int) -> list[Figure]:
    """Measure a report of all entries, and the memory of the process that makes it."""
    seconds, _ = _timed(path, timedelta(days=DAYS + 1))
    goals = entries == _A_MILLION
    return [
        Figure(f"report of {entries:,} entries", seconds, "s", at_most=3 if goals else None),
        Figure(f"report of {entries:,} entries, memory", _megabytes(), "MB", at_most=200 if goals else None),
    ]


def last_hour(path: Path, entries: int) -> list[Figure]:
    """Measure a report of the last hour, in all and for each customer in it: who made a call then, or pays."""
    seconds, report = min((_timed(path, timedelta(hours=1)) for _ in range(5)), key=itemgetter(0))
    name = f"report of the last hour of {entries:,} entries"
    return [
        Figure(name, seconds * 1000, "ms"),
        Figure(f"{name}, for each customer in it", seconds * 1e6 / len(report.by("user")), "µs"),
    ]


def what_if(path: Path, entries: int) -> list[Figure]:
    """Measure a replay with another price, and a limit for each user that a few of them meet, and its memory."""
    _, report = _timed(path, timedelta(days=DAYS + 1))
    scenario = Scenario(
        "a limit and a price",
        limits=(Budget(usd="0.125", per="month", each="user", name="cap"),),
        prices={"openai:gpt-5": Price(input="0.30", output="2.20")},
    )
    begun = time.perf_counter()
    play(SqliteRecords(path), report, scenario)
    seconds = time.perf_counter() - begun
    goals = entries == _A_MILLION
    return [
        Figure(f"what-if over {entries:,} entries", seconds, "s", at_most=10 if goals else None),
        Figure(f"what-if over {entries:,} entries, memory", _megabytes(), "MB", at_most=200 if goals else None),
    ]


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _timed(path: Path, back: timedelta) -> tuple[float, Report]:
    until = datetime.now(UTC)
    begun = time.perf_counter()
    report = build_report(SqliteRecords(path), Period(until - back, until), plans=PLANS)
    for dimension in DIMENSIONS:
        report.by(dimension)
    return time.perf_counter() - begun, report
