"""Which benchmarks there are, and how one is run."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.figures import Figure

__all__ = ["NAMES", "run"]

_PLACES = {
    "miss-async": ("benchmarks.calls", "miss_async"),
    "miss-sync": ("benchmarks.calls", "miss_sync"),
    "fallback": ("benchmarks.calls", "fallback"),
    "under-sdk": ("benchmarks.under_sdk", "under_sdk"),
    "chunks": ("benchmarks.streams", "chunks"),
    "wires": ("benchmarks.streams", "wire_chunks"),
    "first-token": ("benchmarks.streams", "first_token"),
    "cache-hits": ("benchmarks.cache_hits", "cache_hits"),
    "ledger": ("benchmarks.ledger", "ledger_pairs"),
    "ledger-processes": ("benchmarks.ledger", "ledger_processes"),
    "ledger-full": ("benchmarks.ledger", "ledger_full"),
    "kills": ("benchmarks.kills", "kills"),
    "scale": ("benchmarks.scale", "scale"),
    "concurrency": ("benchmarks.concurrency", "concurrent_calls"),
    "import": ("benchmarks.processes", "imports"),
    "memory": ("benchmarks.processes", "memory"),
    "walk": ("benchmarks.walk", "walk"),
    "protection": ("benchmarks.protection", "protection"),
    "deadlines": ("benchmarks.deadlines", "deadlines"),
    "local": ("benchmarks.local_model", "local_model"),
    "local-words": ("benchmarks.local_model", "local_words"),
}
NAMES = tuple(_PLACES)


def _measure(name: str, quick: bool) -> list[Figure]:
    module, function = _PLACES[name]
    figures: list[Figure] = getattr(import_module(module), function)(quick=quick)
    return figures


def run(name: str, *, quick: bool) -> list[Figure]:
    """Run one benchmark where nothing was imported and no memory used before it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, quick).result()
