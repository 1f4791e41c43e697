"""What calls notice of a report that is made in the same process."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.scale.books import DAYS, PLANS
from inferkit import Budget, SqliteLedger
from inferkit.budgets.scope import Scope
from inferkit.economics import Period, build_report
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.journal import Charge
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pairs_beside_a_report"]

_WANTED = Amounts(usd=1000, tokens=100, calls=1)
_PAUSE = 0.002  # seconds between two pairs


def pairs_beside_a_report(path: Path, entries: int) -> list[Figure]:
    """Reserve and settle on an event loop every few milliseconds, while a thread makes a report of all entries."""
    took = asyncio.run(_pairs(path))
    after = f"beside a report of {entries:,} entries"
    return [
        Figure(f"pair {after}, median", statistics.median(took) * 1000, "ms"),
        Figure(f"pair {after}, 99th percentile", statistics.quantiles(took, n=100)[-1] * 1000, "ms", at_most=5),
    ]


async def _pairs(path: Path) -> list[float]:
    ledger = SqliteLedger(path)
    until = datetime.now(UTC)
    lines = [Scope(Budget(usd="1000000", per="month", name="all")).line(time.time())]
    period = Period(until - timedelta(days=DAYS + 1), until)
    making = asyncio.create_task(asyncio.to_thread(build_report, ledger, period, plans=PLANS))
    took: list[float] = []
    runtime = current_runtime()
    while not making.done() or len(took) < 100:
        begun = time.perf_counter()
        call, now = f"beside-{begun}", time.time()
        await ledger.accounts.reserve(runtime, call, lines, _WANTED, _WANTED, at=now, lease_seconds=600)
        await ledger.accounts.settle(runtime, call, Charge(700, "openai", "gpt-5-mini", 20, 40), at=now)
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(_PAUSE)
    await making
    ledger.close()
    return took
