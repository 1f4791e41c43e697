"""What a streamed chunk costs, and how much later the first one comes."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.application import HEADERS, fresh_question, payload, settings, stream_payload
from benchmarks.figures import Figure
from benchmarks.server import EVENTS, GATHERED, serving
from benchmarks.timing import interleave_async
from inferkit import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from benchmarks.timing import AsyncBlock

__all__ = ["chunks", "first_token"]


class _Bare:
    """Streams over httpx alone."""

    def __init__(self, client: httpx.AsyncClient, base_url: str) -> None:
        self._client = client
        self._url = f"{base_url}/chat/completions"

    async def whole(self) -> None:
        response = await self._client.post(self._url, json=payload())
        assert response.json()["choices"]

    async def raw(self) -> None:
        async with self._client.stream("POST", self._url, json=stream_payload()) as response:
            async for _ in response.aiter_raw():
                pass

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        async with self._client.stream("POST", self._url, json=stream_payload()) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])

    async def parsed(self) -> None:
        assert len([event async for event in self.events()]) == EVENTS

    async def first(self) -> float:
        """Give the seconds to the first event."""
        begun = time.perf_counter()
        times = [time.perf_counter() async for _ in self.events()]
        return times[0] - begun


class _Stacked:
    """Streams through the whole stack."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def whole(self) -> None:
        await self._client.complete("fast", fresh_question(), max_output_tokens=500)

    async def streamed(self) -> None:
        async with self._client.stream("fast", fresh_question(), max_output_tokens=500) as reply:
            assert len([chunk async for chunk in reply]) == EVENTS

    async def first(self) -> float:
        """Give the seconds to the first chunk."""
        begun = time.perf_counter()
        async with self._client.stream("fast", fresh_question(), max_output_tokens=500) as reply:
            times = [time.perf_counter() async for _ in reply]
        return times[0] - begun


async def _open(stack: AsyncExitStack, base_url: str) -> tuple[_Bare, _Stacked]:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    bare = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))
    client = await stack.enter_async_context(AsyncClient(**settings(base_url, home)))
    return _Bare(bare, f"{base_url}/v1"), _Stacked(client)


def _block(call: Callable[[], Awaitable[None]]) -> AsyncBlock:
    async def run(calls: int) -> None:
        for _ in range(calls):
            await call()

    return run


async def _a_chunk(server: str, *, rounds: int) -> tuple[float, float, float]:
    """Give what a chunk takes, in µs: httpx's raw bytes, its lines and json, and the stack in all."""
    async with AsyncExitStack() as stack:
        bare, stacked = await _open(stack, server)
        rows = {
            "whole": _block(bare.whole),
            "raw": _block(bare.raw),
            "parsed": _block(bare.parsed),
            "stack, whole": _block(stacked.whole),
            "stack": _block(stacked.streamed),
        }
        times = await interleave_async(rows, calls=20, rounds=rounds)
    pairs = (("raw", "whole"), ("parsed", "whole"), ("stack", "stack, whole"))
    raw, parsed, in_all = (times.difference(streamed, whole) / EVENTS for streamed, whole in pairs)
    return raw, parsed, in_all


def chunks(*, quick: bool) -> list[Figure]:
    """Measure what a stream takes more than a whole reply, by its chunks: httpx's bytes, its lines, and the stack."""
    rounds = 5 if quick else 25
    with serving() as server:
        raw, parsed, in_all = asyncio.run(_a_chunk(server, rounds=rounds))
        raw_16, _, in_all_16 = asyncio.run(_a_chunk(f"{server}/gathered", rounds=rounds))
    return [
        Figure("streamed chunk, httpx raw bytes", raw, "µs"),
        Figure("streamed chunk, httpx lines and json", parsed, "µs"),
        Figure("streamed chunk, whole stack in all", in_all, "µs", at_most=14),
        Figure("streamed chunk, whole stack on top of raw bytes", in_all - raw, "µs"),
        Figure(f"streamed chunk, {GATHERED} a read, whole stack in all", in_all_16, "µs"),
        Figure(f"streamed chunk, {GATHERED} a read, on top of raw bytes", in_all_16 - raw_16, "µs", at_most=4),
    ]


def first_token(*, quick: bool) -> list[Figure]:
    """Measure the time from asking to the first token, of httpx and of the stack, in turn."""

    async def measure(server: str) -> list[Figure]:
        async with AsyncExitStack() as stack:
            bare, stacked = await _open(stack, f"{server}/paused")
            for _ in range(20):
                await bare.first()
                await stacked.first()
            pairs = [(await bare.first(), await stacked.first()) for _ in range(50 if quick else 300)]
        bare_seconds, stack_seconds = (statistics.median(times) for times in zip(*pairs, strict=True))
        added = (stack_seconds - bare_seconds) * 1000
        return [
            Figure("time to first token, httpx", bare_seconds * 1000, "ms"),
            Figure("time to first token, added by the whole stack", added, "ms", at_most=0.25),
        ]

    with serving() as server:
        return asyncio.run(measure(server))
