"""What a step of the ledger costs where much was entered, much is held, or many processes died."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import anyio.to_thread

from benchmarks.figures import Figure
from benchmarks.timing import interleave
from inferkit import Budget, LedgerError, SqliteLedger
from inferkit.budgets.scope import Scope
from inferkit.caching.disk import DiskStore
from inferkit.caching.entry import CachedReply
from inferkit.core.chunks import Chunk
from inferkit.ledger.amounts import Amounts, Grant, Line, Refusal
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite import leases, postings
from inferkit.ledger.sqlite.checkpoints import log_of
from inferkit.ledger.unwritten import Unwritten
from inferkit.runtime import writer
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.timing import Block

__all__ = ["cache_limit", "dead_holds", "locked", "pairs", "refusals", "saturated"]

_ONCE = 10_000  # entries: what does not depend on their number is measured there
_HELD = 10_000
_WANTED = Amounts(usd=1000, tokens=100, calls=1)
_CHARGE = Charge(700, "openai", "gpt-4o-mini", 20, 40)
_MIB = 2**20
_names = itertools.count()


def _line(name: str, **limits: object) -> Line:
    return Scope(Budget(per="month", name=name, **limits)).line(time.time())  # type: ignore[arg-type]


def _pairs(ledger: SqliteLedger, lines: Sequence[Line], number: int, watched: Sequence[Line] = ()) -> None:
    for _ in range(number):
        call = f"pair-{next(_names)}-{number}"
        assert isinstance(ledger.reserve(call, lines, _WANTED, _WANTED, at=time.time(), lease_seconds=600), Grant)
        assert ledger.settle(call, _CHARGE, at=time.time(), watched=watched)


def _hold(ledger: SqliteLedger, number: int, lease: float) -> None:
    """Have so many calls hold something, in one transaction."""
    line = _line("many", calls=2**50)

    def step(cursor: sqlite3.Cursor) -> None:
        for _ in range(number):
            at = time.time()
            call = f"held-{os.getpid()}-{next(_names)}"
            postings.reserve(
                cursor,
                call,
                [line],
                _WANTED,
                _WANTED,
                at=at,
                lease=at + lease,
                sent=True,
                attribution=_CHARGE.attribution,
            )

    ledger.accounts.database.write(step)  # type: ignore[attr-defined]


def pairs(path: Path, entries: int) -> list[Figure]:
    """Measure a pair of steps, and one under a budget that tells of thresholds."""
    plain, telling = _line("plain", usd="1000000"), _line("telling", usd="1000000", warn_at=("0.5", "0.9"))
    with contextlib.closing(SqliteLedger(path)) as ledger:
        rows: dict[str, Block] = {
            "plain": lambda calls: _pairs(ledger, [plain], calls),
            "telling": lambda calls: _pairs(ledger, [telling], calls, [telling]),
        }
        times = interleave(rows, calls=500, rounds=9)
    return [
        Figure(f"{entries:,} entries: reserve and settle", times.microseconds("plain"), "µs"),
        Figure(
            f"{entries:,} entries: the same with warn_at / without", times.ratio("telling", "plain"), "x", at_most=1.3
        ),
    ]


def refusals(path: Path, entries: int) -> list[Figure]:
    """Measure a refusal where nothing is held, and where ten thousand calls hold something."""
    tight = _line("tight", calls=1)

    def refuse(number: int) -> None:
        for _ in range(number):
            call = f"refused-{next(_names)}"
            answer = ledger.reserve(call, [tight], _WANTED, _WANTED, at=time.time(), lease_seconds=600)
            assert isinstance(answer, Refusal)

    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.reserve(f"first-{next(_names)}", [tight], _WANTED, _WANTED, at=time.time(), lease_seconds=600)
        none = interleave({"refusal": refuse}, calls=500, rounds=9).microseconds("refusal")
        _hold(ledger, _HELD, lease=3600)
        many = interleave({"refusal": refuse}, calls=500, rounds=9).microseconds("refusal")
        ledger.sweep(time.time() + 86_400)
    return [
        Figure(f"{entries:,} entries: a refusal", none, "µs"),
        Figure(f"{entries:,} entries: the same beside {_HELD:,} open holds / none", many / none, "x", at_most=1.3),
    ]


def dead_holds(path: Path, entries: int) -> list[Figure]:
    """Measure sweeps of ten thousand dead holds: their transactions, and how long the loop stands still meanwhile.

    Beside a loop that has something to do every half a millisecond, and beside one that never waits: that takes the
    interpreter's lock again before another thread has it, after each of its system calls.
    """
    lengths: list[float] = []
    sweep = leases.sweep

    def timed(cursor: sqlite3.Cursor, at: float, most: int, seconds: float) -> leases.Swept:
        begun = time.thread_time()
        try:
            return sweep(cursor, at, most, seconds)
        finally:
            lengths.append(time.thread_time() - begun)

    async def measure(ledger: SqliteLedger, pause: float) -> float:
        task = asyncio.ensure_future(ledger.accounts.sweep(current_runtime(), time.time() + 86_400))
        longest, last = 0.0, time.perf_counter()
        while not task.done():
            await asyncio.sleep(pause)
            now = time.perf_counter()
            longest, last = max(longest, now - last - pause), now
        assert task.result() >= _HELD
        return longest

    figures: list[Figure] = []
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for loop, pause, at_most in (("", 0.0005, 10), (" beside a loop that never waits", 0.0, None)):
            _hold(ledger, _HELD, lease=0)
            lengths.clear()
            leases.sweep = timed  # type: ignore[assignment]
            try:
                stood = asyncio.run(measure(ledger, pause))
            finally:
                leases.sweep = sweep
            what = f"{entries:,} entries: a sweep of {_HELD:,}{loop}"
            figures += [
                Figure(f"{what}, longest transaction", max(lengths) * 1e3, "ms", at_most=at_most),
                Figure(f"{what}, longest stop of the loop", stood * 1e3, "ms"),
            ]
    return figures


def _saturate(path: str, name: str, seconds: float) -> int:
    ledger, line, done = SqliteLedger(path), _line("roomy", calls=2**50), 0
    end = time.time() + seconds
    while time.time() < end:
        call = f"{name}-{done}"
        ledger.reserve(call, [line], _WANTED, _WANTED, at=time.time(), lease_seconds=600)
        ledger.settle(call, _CHARGE, at=time.time())
        done += 1
    ledger.close()
    return done


def saturated(path: Path, entries: int) -> list[Figure]:
    """Measure how large the log becomes while four processes write as fast as they can."""
    if entries != _ONCE:
        return []
    seconds, largest, stop = 10.0, 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not stop.wait(0.005):
            largest = max(largest, log_of(path))

    thread = threading.Thread(target=watch)
    thread.start()
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_saturate, str(path), f"saturating-{number}", seconds) for number in range(4)]
        done = sum(each.result() for each in running)
    stop.set()
    thread.join()
    return [
        Figure("4 processes without a pause: pairs a second", done / seconds, "/s"),
        Figure("4 processes without a pause: largest log", largest / _MIB, "MiB", at_most=64),
    ]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def locked(path: Path, entries: int) -> list[Figure]:
    """Lock the ledger for twelve seconds while a hundred calls end, and a hundred others would begin."""
    if entries != _ONCE:
        return []
    number, line = 100, _line("locked", usd="1000000")
    calls = [f"locked-{each}" for each in range(number)]

    async def settle(ledger: SqliteLedger, call: str) -> None:
        try:
            await ledger.accounts.settle(current_runtime(), call, _CHARGE, at=time.time())
        except LedgerError:
            ledger.accounts.write_later(Unwritten("settle", call, time.time(), _CHARGE))

    async def ask(ledger: SqliteLedger, call: str) -> None:
        with contextlib.suppress(LedgerError):
            await ledger.accounts.reserve(
                current_runtime(), call, [line], _WANTED, _WANTED, at=time.time(), lease_seconds=600
            )

    async def main(ledger: SqliteLedger) -> int:
        limiter, most = anyio.to_thread.current_default_thread_limiter(), 0
        tasks = [asyncio.ensure_future(settle(ledger, call)) for call in calls]
        tasks += [asyncio.ensure_future(ask(ledger, f"asking-{call}")) for call in calls]
        with _lock(path):
            end = time.perf_counter() + 12
            while time.perf_counter() < end:
                await asyncio.sleep(0.05)
                most = max(most, int(limiter.borrowed_tokens))
        await asyncio.gather(*tasks)
        return most

    with contextlib.closing(SqliteLedger(path)) as ledger:
        for call in calls:
            ledger.reserve(call, [line], _WANTED, _WANTED, at=time.time(), lease_seconds=600)
        threads = asyncio.run(main(ledger))
    with contextlib.closing(SqliteLedger(path)) as ledger:
        entered = {each: list(ledger.entries(call=each)) for each in calls}
    wrong = sum([each.charge.usd for each in found] != [_CHARGE.usd] for found in entered.values())
    return [
        Figure("locked for 12 s: settlements lost or wrong, of 100", wrong, "calls", at_most=0),
        Figure("locked for 12 s: the application's threads taken, of 40", threads, "threads", at_most=0),
    ]


def cache_limit(_: Path, entries: int) -> list[Figure]:
    """Lower the limit of a cache on disk from 64 MiB to 1, and measure the puts after it."""
    if entries != _ONCE:
        return []
    reply = CachedReply((Chunk("x" * 10_000),), stored_at=1.0)
    longest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        roomy = DiskStore(folder)
        for first in range(0, 6500, 500):
            roomy.put_all([((first + each).to_bytes(32), reply, None) for each in range(500)])
        roomy.close()
        store = DiskStore(folder, size_limit=_MIB)
        store.open()
        for number in range(400):
            begun = time.perf_counter()
            store.put((10**6 + number).to_bytes(32), reply)
            longest = max(longest, time.perf_counter() - begun)
            time.sleep(0.002)
        while store._making_room:  # noqa: SLF001 - so that its folder can be removed
            writer.disk.flush()
        store.close()
    return [Figure("a cache of 64 MiB lowered to 1: longest put", longest * 1e3, "ms")]
