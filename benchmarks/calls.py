"""What a call costs beside the same call over bare httpx: missed by the cache, traced, and after a fallback."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks import peers
from benchmarks.application import API_KEY, HEADERS, fresh_question, payload, settings, traced
from benchmarks.figures import Figure
from benchmarks.pace import httpx_block
from benchmarks.server import MODEL, serving
from benchmarks.timing import interleave, interleave_async
from inferkit import AsyncClient, Client, Health, OpenAIChat, Price

if TYPE_CHECKING:
    from benchmarks.timing import AsyncBlock, Block
    from inferkit.client.settings import Settings

__all__ = ["fallback", "miss_async", "miss_sync"]


def _stack_block(client: AsyncClient) -> AsyncBlock:
    async def run(calls: int) -> None:
        for _ in range(calls):
            reply = await client.complete("fast", fresh_question(), max_output_tokens=500)
            assert reply.cost

    return run


def _label(row: str) -> str:
    return f"whole stack {row}" if row.startswith(("without", "over")) else row


def _without_stores(given: Settings) -> Settings:
    """Leave out what is kept between calls, and the budgets with it."""
    given["cache"] = given["ledger"] = False
    del given["budget"]
    return given


def miss_async(*, quick: bool) -> list[Figure]:
    """Measure an async call that the cache does not know, with and without spans, and the peers that are installed."""

    async def measure(server: str) -> list[Figure]:
        async with AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            bare = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))
            plain = await stack.enter_async_context(AsyncClient(**settings(server, home / "plain")))
            spans = await stack.enter_async_context(
                AsyncClient(**settings(server, home / "traced", telemetry=traced()))
            )
            uncached = await stack.enter_async_context(AsyncClient(**settings(server, home / "uncached", cache=False)))
            light = await stack.enter_async_context(AsyncClient(**_without_stores(settings(server, home))))
            rows = {
                "httpx": httpx_block(bare, f"{server}/v1/chat/completions"),
                "stack": _stack_block(plain),
                "traced": _stack_block(spans),
                "without a cache": _stack_block(uncached),
                "without cache and ledger": _stack_block(light),
                **peers.async_blocks(f"{server}/v1", stack),
            }
            if find_spec("aiohttp") is not None:
                given = settings(server, home / "aiohttp", transport="aiohttp")
                rows["over aiohttp"] = _stack_block(await stack.enter_async_context(AsyncClient(**given)))
            times = await interleave_async(rows, calls=100 if quick else 200, rounds=5 if quick else 21)
        others = [
            Figure(
                f"async call, {_label(name)} / httpx",
                times.ratio(name, "httpx"),
                "x",
                at_most=0.9 if name == "over aiohttp" else None,
            )
            for name in rows
            if name not in {"httpx", "stack", "traced"}
        ]
        return [
            Figure("async call, httpx", times.microseconds("httpx"), "µs"),
            Figure("async call, whole stack / httpx", times.ratio("stack", "httpx"), "x", at_most=1.15),
            Figure("async call, with batch span processor / httpx", times.ratio("traced", "httpx"), "x", at_most=1.25),
            *others,
        ]

    with serving() as server:
        return asyncio.run(measure(server))


def miss_sync(*, quick: bool) -> list[Figure]:
    """Measure a sync call that the cache does not know."""
    with ExitStack() as stack:
        server = stack.enter_context(serving())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = stack.enter_context(httpx.Client(headers=HEADERS))
        client = stack.enter_context(Client(**settings(server, home)))

        def with_httpx(calls: int) -> None:
            for _ in range(calls):
                response = bare.post(f"{server}/v1/chat/completions", json=payload())
                assert response.json()["choices"]

        def with_stack(calls: int) -> None:
            for _ in range(calls):
                assert client.complete("fast", fresh_question(), max_output_tokens=500).cost

        rows: dict[str, Block] = {"httpx": with_httpx, "stack": with_stack, **peers.blocks(f"{server}/v1")}
        times = interleave(rows, calls=100 if quick else 200, rounds=5 if quick else 21)
    return [
        Figure("sync call, httpx", times.microseconds("httpx"), "µs"),
        Figure("sync call, whole stack / httpx", times.ratio("stack", "httpx"), "x", at_most=1.20),
        *(
            Figure(f"sync call, {name} / httpx", times.ratio(name, "httpx"), "x")
            for name in rows
            if name not in {"httpx", "stack"}
        ),
    ]


def fallback(*, quick: bool) -> list[Figure]:
    """Measure a call whose first target answers with a 500, and which the second target serves."""

    async def measure(server: str) -> list[Figure]:
        async with AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            bare = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))
            given = settings(server, home, prices={"down:*": Price(input="0.15", output="0.60")})
            given["models"] = {"fast": [f"down:{MODEL}", f"openai:{MODEL}"]}
            given["health"] = Health(breaker=None, retries=None)  # else the one that is down would soon not be asked
            down = OpenAIChat(name="down", base_url=f"{server}/failing/v1", api_key=API_KEY)
            given["providers"] = {**given["providers"], "down": down}
            client = await stack.enter_async_context(AsyncClient(**given))
            rows = {"httpx": httpx_block(bare, f"{server}/v1/chat/completions"), "stack": _stack_block(client)}
            times = await interleave_async(rows, calls=50 if quick else 100, rounds=5 if quick else 21)
        return [Figure("fallback after a 500 / one httpx call", times.ratio("stack", "httpx"), "x", at_most=2.4)]

    with serving() as server:
        return asyncio.run(measure(server))
