"""What a call costs that the cache answers, through the whole stack: from memory, from disk, and traced."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.application import settings, traced
from benchmarks.figures import Figure
from benchmarks.server import serving
from benchmarks.timing import interleave_async
from inferkit import AsyncClient, Cache
from inferkit.caching.disk import DiskTier
from inferkit.caching.memory import MemoryTier

if TYPE_CHECKING:
    from benchmarks.timing import AsyncBlock

__all__ = ["cache_hits"]

_QUESTION = [{"role": "user", "content": "Where is my order 48213? It was due on Monday."}]


def cache_hits(*, quick: bool) -> list[Figure]:
    """Measure hits of one question that was asked before."""

    async def measure(server: str, home: Path) -> list[Figure]:
        clients = {
            "memory": AsyncClient(**settings(server, home / "memory")),
            "disk": AsyncClient(
                **settings(server, home / "disk", cache=Cache(None, DiskTier(home / "disk" / "cache")))
            ),
            "traced": AsyncClient(
                **settings(server, home / "traced", cache=Cache(MemoryTier()), telemetry=traced()),
            ),
        }

        def block(client: AsyncClient) -> AsyncBlock:
            async def run(calls: int) -> None:
                for _ in range(calls):
                    reply = await client.complete("fast", _QUESTION)
                    assert reply.cache == "hit"

            return run

        for client in clients.values():
            await client.complete("fast", _QUESTION)
        rows = {name: block(client) for name, client in clients.items()}
        times = await interleave_async(rows, calls=500 if quick else 2000, rounds=5 if quick else 15)
        for client in clients.values():
            await client.aclose()
        return [
            Figure("cache hit, memory tier", times.microseconds("memory"), "µs", at_most=30),
            Figure("cache hit, disk tier", times.microseconds("disk"), "µs", at_most=80),
            Figure("cache hit, memory tier, with sampled spans", times.microseconds("traced"), "µs", at_most=60),
        ]

    with serving() as server, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(server, Path(folder)))
