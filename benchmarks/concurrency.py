"""Fifty calls at once: how many a second, and at what cost, over httpx and over aiohttp."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks import peers
from benchmarks.application import HEADERS, fresh_question, payload, settings
from benchmarks.figures import Figure
from benchmarks.server import serving
from inferkit import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["concurrent_calls"]

_AT_ONCE = 50


async def _aiohttp_alone(stack: AsyncExitStack, url: str) -> Callable[[], Awaitable[object]]:
    session = await stack.enter_async_context(import_module("aiohttp").ClientSession(headers=HEADERS))

    async def call() -> object:
        async with session.post(url, json=payload()) as response:
            return await response.json()

    return call


async def _block(call: Callable[[], Awaitable[object]], calls: int) -> tuple[float, float]:
    """Make the calls, fifty at a time; give wall and CPU seconds a call."""

    async def worker() -> None:
        for _ in range(calls // _AT_ONCE):
            await call()

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
    return (time.perf_counter() - begun) / calls, (time.process_time() - cpu) / calls


def concurrent_calls(*, quick: bool) -> list[Figure]:
    """Measure wall and CPU time a call with fifty in flight, all of them new to the cache."""

    async def measure(server: str) -> list[Figure]:
        url = f"{server}/v1/chat/completions"
        rows: dict[str, Callable[[], Awaitable[object]]] = {}
        async with AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))

            def bare(name: str, client: httpx.AsyncClient) -> None:
                rows[name] = lambda: client.post(url, json=payload())

            def whole(name: str, client: AsyncClient) -> None:
                rows[name] = lambda: client.complete("fast", fresh_question(), max_output_tokens=500)

            bare("httpx", await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS)))
            whole("whole stack", await stack.enter_async_context(AsyncClient(**settings(server, home / "plain"))))
            if find_spec("aiohttp") is not None:
                given = settings(server, home / "aiohttp", transport="aiohttp")
                whole("whole stack over aiohttp", await stack.enter_async_context(AsyncClient(**given)))
                rows["aiohttp alone"] = await _aiohttp_alone(stack, url)
            openai = peers.openai_over_aiohttp(f"{server}/v1")
            if openai is not None:
                create = (await stack.enter_async_context(openai)).chat.completions.create
                rows["openai over aiohttp"] = lambda: create(**payload())
            for call in rows.values():
                await _block(call, 200)
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
            for _ in range(3 if quick else 11):
                for name, call in rows.items():
                    times[name].append(await _block(call, 500))
        return _figures(times)

    with serving() as server:
        return asyncio.run(measure(server))


def _figures(times: dict[str, list[tuple[float, float]]]) -> list[Figure]:
    base = times["httpx"]
    figures = [Figure("50 at once, httpx", 1 / statistics.median([wall for wall, _ in base]), "calls/s")]
    for name in list(times)[1:]:
        pairs = list(zip(times[name], base, strict=True))
        faster = statistics.median([other[0] / one[0] for one, other in pairs])
        cost = statistics.median([one[1] / other[1] for one, other in pairs])
        has_goal = name == "whole stack over aiohttp"
        figures += [
            Figure(f"50 at once, {name}: calls a second / httpx", faster, "x", at_least=2.5 if has_goal else None),
            Figure(f"50 at once, {name}: CPU a call / httpx", cost, "x", at_most=0.4 if has_goal else None),
        ]
    return figures
