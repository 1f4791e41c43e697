"""What keeping a budget costs: alone, by four processes on one ledger, and by threads that wait for the disk."""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.timing import interleave
from inferkit import Budget, Ledger, SqliteLedger
from inferkit.budgets.scope import Scope
from inferkit.ledger.amounts import Amounts, Grant
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.database import Database
from inferkit.ledger.sqlite.ledger import SqliteStore
from inferkit.ledger.sqlite.schema import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.timing import Block
    from inferkit.ledger.amounts import Line

__all__ = ["ledger_full", "ledger_pairs", "ledger_processes"]

_WANTED = Amounts(usd=1000, tokens=100, calls=1)
_CHARGE = Charge(700, "openai", "gpt-4o-mini", 20, 40)
_PROCESSES = 4
_THREADS = 16
_START_SECONDS = 1.5  # until all processes have been started


def _pair(ledger: Ledger, lines: Sequence[Line], call: str) -> bool:
    """Reserve and settle one call; say whether it was granted."""
    answer = ledger.reserve(call, lines, _WANTED, _WANTED, at=time.time(), lease_seconds=600)
    if not isinstance(answer, Grant):
        return False
    return bool(ledger.settle(call, _CHARGE, at=time.time()))


def ledger_pairs(*, quick: bool) -> list[Figure]:
    """Measure one process, with one budget and with three."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqliteLedger(Path(folder) / "ledger.sqlite")
        now = time.time()
        budgets = [Budget(usd="1000000", per="month", name=name) for name in ("everything", "team", "user")]
        three = [Scope(budget).line(now) for budget in budgets]
        one = three[:1]
        done = 0

        def run(calls: int, lines: Sequence[Line]) -> None:
            nonlocal done
            for _ in range(calls):
                done += 1
                assert _pair(ledger, lines, f"call-{done}")

        rows: dict[str, Block] = {"one": lambda calls: run(calls, one), "three": lambda calls: run(calls, three)}
        times = interleave(rows, calls=500 if quick else 2000, rounds=5 if quick else 15)
        ledger.close()
    return [
        Figure("budget, reserve and settle", times.microseconds("one"), "µs", at_most=40),
        Figure("budget, reserve and settle under three budgets", times.microseconds("three"), "µs"),
    ]


def _spend(path: str, line: Line, name: str, begin: float, end: float) -> int:
    """From the instant `begin` on, reserve and settle until `end`, or until the budget is spent; count the pairs."""
    ledger = SqliteLedger(path)
    time.sleep(max(0.0, begin - time.time()))
    pairs = 0
    while time.time() < end and _pair(ledger, [line], f"{name}-{pairs}"):
        pairs += 1
    ledger.close()
    return pairs


def _spend_together(path: Path, line: Line, seconds: float) -> list[int]:
    SqliteLedger(path).close()
    begin = time.time() + _START_SECONDS
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_PROCESSES, mp_context=context) as pool:
        running = [
            pool.submit(_spend, str(path), line, str(number), begin, begin + seconds) for number in range(_PROCESSES)
        ]
        return [one.result() for one in running]


def ledger_processes(*, quick: bool) -> list[Figure]:
    """Measure four processes on one budget: how many pairs in all, how fairly, and whether the limit is exact."""
    seconds = 1.0 if quick else 4.0
    calls = 2000
    with tempfile.TemporaryDirectory() as folder:
        roomy = Scope(Budget(calls=2**50, per="month", name="roomy")).line(time.time())
        counts = _spend_together(Path(folder) / "roomy.sqlite", roomy, seconds)
        tight = Scope(Budget(calls=calls, per="month", name="tight")).line(time.time())
        granted = sum(_spend_together(Path(folder) / "tight.sqlite", tight, 60.0))
    return [
        Figure("budget, 4 processes, pairs a second in all", sum(counts) / seconds, "/s", at_least=20_000),
        Figure("budget, 4 processes, slowest / fastest", min(counts) / max(counts), "x", at_least=0.25),
        Figure("budget, 4 processes, calls granted beyond the limit", granted - calls, "calls", at_most=0),
    ]


def ledger_full(*, quick: bool) -> list[Figure]:
    """Measure sixteen threads that wait for the disk at every step: together, and each for itself."""
    seconds, rounds = (0.3, 2) if quick else (2.0, 5)
    rates: dict[str, list[float]] = {"together": [], "alone": []}
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        stores = {row: SqliteStore(Path(folder) / f"{row}.sqlite", durability="full") for row in rates}
        one_by_one = Database(Path(folder) / "alone.sqlite", MIGRATIONS, "full")
        stores["alone"].close()
        stores["alone"].database = one_by_one  # the same file, with one commit for each step
        ledgers = {row: Ledger(store) for row, store in stores.items()}
        for _ in range(rounds):
            for row, ledger in ledgers.items():
                rates[row].append(_threads_on(ledger, seconds, numbers))
        for ledger in ledgers.values():
            ledger.close()
    rate = statistics.median(rates["together"])
    ratios = [one / other for one, other in zip(rates["together"], rates["alone"], strict=True)]
    return [
        Figure("budget, full durability, 16 threads, pairs a second in all", rate, "/s"),
        Figure("budget, full durability, 16 threads / one commit a step", statistics.median(ratios), "x", at_least=2),
    ]


def _threads_on(ledger: Ledger, seconds: float, numbers: Iterator[int]) -> float:
    """Reserve and settle in sixteen threads; give the pairs a second of all of them."""
    lines = [Scope(Budget(usd="1000000", per="month", name="everything")).line(time.time())]
    counts = [0] * _THREADS
    end = time.perf_counter() + seconds

    def work(thread: int) -> None:
        while time.perf_counter() < end:
            assert _pair(ledger, lines, f"call-{next(numbers)}")
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(_THREADS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)
