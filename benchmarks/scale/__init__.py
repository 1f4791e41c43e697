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
from benchmarks.figures import as_text
from benchmarks.scale.books import make_book

if TYPE_CHECKING:
    from benchmarks.figures import Figure

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
                if found:  # a run of all sizes takes many minutes
                    print(as_text(f"{function} at {entries:,}", found), file=sys.stderr, flush=True)
                figures += found
    return figures


def _measure(module: str, function: str, path: Path, entries: int) -> list[Figure]:
    figures: list[Figure] = getattr(import_module(module), function)(path, entries)
    return figures
