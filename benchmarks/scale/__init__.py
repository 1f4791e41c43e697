"""What grows with a ledger, and what must not: rows measured on ledgers of more and more entries.

A row is a function of a ledger's file and the number of its entries that gives figures. `_ROWS` lists them.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import ENTRIES
from benchmarks.figures import Figure, as_text
from benchmarks.scale.books import make_book

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["scale"]

_SIZES = (10_000, 100_000, 1_000_000)
_ROWS: tuple[tuple[str, str], ...] = (
    ("benchmarks.scale.reports", "month"),
    ("benchmarks.scale.reports", "last_hour"),
    ("benchmarks.scale.reports", "what_if"),
    ("benchmarks.scale.meanwhile", "pairs_beside_a_report"),
    ("benchmarks.scale.steps", "pairs"),
    ("benchmarks.scale.steps", "refusals"),
    ("benchmarks.scale.steps", "dead_holds"),
    ("benchmarks.scale.steps", "saturated"),
    ("benchmarks.scale.steps", "locked"),
    ("benchmarks.scale.steps", "cache_limit"),
)


def scale(*, quick: bool) -> list[Figure]:
    """Measure each row on ledgers of each size, in a process of its own, so that its memory is its own."""
    more = [int(float(size)) for size in os.environ.get(ENTRIES, "").split(",") if size]
    figures: list[Figure] = []
    for entries in sorted({*(_SIZES[:1] if quick else _SIZES), *more}):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.sqlite"
            make_book(path, entries)
            for module, function in _ROWS:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    found = pool.submit(_measure, module, function, path, entries).result()
                found += _in_calls([each for each in found if each.unit == "s" and each.at_most is not None])
                if found:  # a run of all sizes takes many minutes
                    print(as_text(f"{function} at {entries:,}", found), file=sys.stderr, flush=True)
                figures += found
    return figures


def _in_calls(found: list[Figure]) -> Iterator[Figure]:
    """Say how many calls of bare httpx take as long: machines differ, and change their pace, by more than half."""
    if not found:
        return
    from benchmarks.pace import CALL, call_of_httpx  # not where a row is measured: httpx takes 14 MB
    from benchmarks.server import serving

    with serving() as server:
        call = call_of_httpx(server)
    yield Figure("async call, httpx, which says how fast this machine is", call, "µs")
    for each in found:
        assert each.at_most is not None
        yield Figure(f"{each.what}, in such calls", each.value * 1e6 / call, "calls", at_most=each.at_most * 1e6 / CALL)


def _measure(module: str, function: str, path: Path, entries: int) -> list[Figure]:
    figures: list[Figure] = getattr(import_module(module), function)(path, entries)
    return figures
