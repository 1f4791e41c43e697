"""What a streamed chunk costs, and how much later the first one comes."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import peers
from benchmarks.application import HEADERS, fresh_question, payload, settings, stream_payload
from benchmarks.figures import Figure
from benchmarks.pace import CALL
from benchmarks.server import EVENTS, GATHERED, serving
from benchmarks.timing import interleave_async
from benchmarks.wires import SPOKEN
from inferkit import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from benchmarks.timing import AsyncBlock
    from benchmarks.wires import Spoken

__all__ = ["chunks", "first_token", "wire_chunks"]

_WARM_UP = 20


class _Bare:
    """Streams over httpx alone."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, spoken: Spoken = SPOKEN["chat"]) -> None:
        self._client = client
        self._url = f"{base_url}{spoken.path}"
        self._streamed = f"{base_url}{spoken.streamed_path or spoken.path}"

    async def whole(self) -> None:
        response = await self._client.post(self._url, json=payload())
        assert response.json()

    async def raw(self) -> None:
        async with self._client.stream("POST", self._streamed, json=stream_payload()) as response:
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
            assert len([chunk async for chunk in reply]) >= EVENTS

    async def first(self) -> float:
        """Give the seconds to the first chunk."""
        begun = time.perf_counter()
        async with self._client.stream("fast", fresh_question(), max_output_tokens=500) as reply:
            times = [time.perf_counter() async for _ in reply]
        return times[0] - begun


class _OpenAI:
    """Streams through the openai SDK over aiohttp."""

    def __init__(self, client: Any) -> None:
        self._create = client.chat.completions.create

    async def whole(self) -> None:
        assert (await self._create(**payload())).choices

    async def streamed(self) -> None:
        assert len([event async for event in await self._create(**stream_payload())]) == EVENTS

    async def first(self) -> float:
        """Give the seconds to the first event."""
        begun = time.perf_counter()
        times = [time.perf_counter() async for _ in await self._create(**stream_payload())]
        return times[0] - begun


async def _open(stack: AsyncExitStack, base_url: str) -> tuple[_Bare, dict[str, _Stacked | _OpenAI]]:
    """Give httpx alone, and what is compared with it."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    bare = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))
    others: dict[str, _Stacked | _OpenAI] = {}
    for name, library in (("whole stack", "httpx"), ("whole stack over aiohttp", "aiohttp")):
        if find_spec(library) is None:
            continue
        given = settings(base_url, home / library, transport=library)
        others[name] = _Stacked(await stack.enter_async_context(AsyncClient(**given)))
    openai = peers.openai_over_aiohttp(f"{base_url}/v1")
    if openai is not None:
        others["openai over aiohttp"] = _OpenAI(await stack.enter_async_context(openai))
    return _Bare(bare, f"{base_url}/v1"), others


def _block(call: Callable[[], Awaitable[None]]) -> AsyncBlock:
    async def run(calls: int) -> None:
        for _ in range(calls):
            await call()

    return run


async def _a_chunk(server: str, *, rounds: int) -> dict[str, float]:
    """Give what a chunk takes, in µs: httpx's raw bytes, its lines and json, and each of the others in all."""
    async with AsyncExitStack() as stack:
        bare, others = await _open(stack, server)
        rows = {"whole": _block(bare.whole), "raw": _block(bare.raw), "parsed": _block(bare.parsed)}
        pairs = {"raw": "whole", "parsed": "whole"}
        for name, other in others.items():
            rows[name], rows[f"{name}, whole"] = _block(other.streamed), _block(other.whole)
            pairs[name] = f"{name}, whole"
        times = await interleave_async(rows, calls=20, rounds=rounds)
    return {streamed: times.difference(streamed, whole) / EVENTS for streamed, whole in pairs.items()}


def chunks(*, quick: bool) -> list[Figure]:
    """Measure what a stream takes more than a whole reply, by its chunks: httpx's bytes, its lines, and the others."""
    rounds = 5 if quick else 25
    with serving() as server:
        one = asyncio.run(_a_chunk(server, rounds=rounds))
        many = asyncio.run(_a_chunk(f"{server}/gathered", rounds=rounds))
    figures = [
        Figure("streamed chunk, httpx raw bytes", one["raw"], "µs"),
        Figure("streamed chunk, httpx lines and json", one["parsed"], "µs"),
        Figure("streamed chunk, whole stack in all", one["whole stack"], "µs", at_most=14),
        Figure("streamed chunk, whole stack on top of raw bytes", one["whole stack"] - one["raw"], "µs"),
        Figure(f"streamed chunk, {GATHERED} a read, whole stack in all", many["whole stack"], "µs"),
        Figure(
            f"streamed chunk, {GATHERED} a read, on top of raw bytes",
            many["whole stack"] - many["raw"],
            "µs",
            at_most=4,
        ),
    ]
    for name in [name for name in one if name not in {"raw", "parsed", "whole stack"}]:
        goal = 8 if name == "whole stack over aiohttp" else None
        figures += [
            Figure(f"streamed chunk, {name}", one[name], "µs", at_most=goal),
            Figure(f"streamed chunk, {GATHERED} a read, {name}", many[name], "µs"),
        ]
    return figures


def wire_chunks(*, quick: bool) -> list[Figure]:
    """Measure what a streamed chunk takes on each wire beside httpx's raw bytes, at one event a read and at many."""
    rounds = 5 if quick else 15

    async def measure(server: str) -> dict[str, float]:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))
            rows = {}
            for wire, spoken in SPOKEN.items():
                home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                bare = _Bare(http, f"{server}{spoken.base}", spoken)
                client = await stack.enter_async_context(AsyncClient(**settings(server, home, wire=wire)))
                rows[f"{wire}, raw"], rows[f"{wire}, raw whole"] = _block(bare.raw), _block(bare.whole)
                ours = _Stacked(client)
                rows[f"{wire}, stack"], rows[f"{wire}, stack whole"] = _block(ours.streamed), _block(ours.whole)
            times = await interleave_async(rows, calls=20, rounds=rounds)
        own = {
            wire: (
                times.difference(f"{wire}, stack", f"{wire}, stack whole")
                - times.difference(f"{wire}, raw", f"{wire}, raw whole")
            )
            / EVENTS
            for wire in SPOKEN
        }
        return {**own, "unit": times.microseconds("chat, raw whole")}

    with serving() as server:
        one = asyncio.run(measure(server))
        many = asyncio.run(measure(f"{server}/gathered"))
    return [
        Figure("async call, httpx, which says how fast this machine is", many["unit"], "µs"),
        *(Figure(f"streamed chunk, {wire}, on top of raw bytes", one[wire], "µs") for wire in SPOKEN),
        *(
            Figure(f"streamed chunk, {wire}, {GATHERED} a read, on top of raw bytes", many[wire], "µs", at_most=4)
            for wire in SPOKEN
        ),
        *(
            Figure(
                f"streamed chunk, {wire}, {GATHERED} a read, in such calls of httpx",
                many[wire] / many["unit"] * 100,
                "%",
                at_most=4 / CALL * 100,
            )
            for wire in SPOKEN
        ),
    ]


def first_token(*, quick: bool) -> list[Figure]:
    """Measure the time from asking to the first token, of httpx and of the others, in turn."""

    async def measure(server: str) -> list[Figure]:
        async with AsyncExitStack() as stack:
            bare, others = await _open(stack, f"{server}/paused")
            rows = {"httpx": bare.first, **{name: other.first for name, other in others.items()}}
            times: dict[str, list[float]] = {name: [] for name in rows}
            for number in range(70 if quick else 320):
                for name, first in rows.items():
                    seconds = await first()
                    if number >= _WARM_UP:
                        times[name].append(seconds)
        base = statistics.median(times.pop("httpx"))
        goals = {"whole stack": 0.15}
        return [
            Figure("time to first token, httpx", base * 1000, "ms"),
            *(
                Figure(
                    f"time to first token, added by {_named(name)}",
                    (statistics.median(found) - base) * 1000,
                    "ms",
                    at_most=goals.get(name),
                )
                for name, found in times.items()
            ),
        ]

    with serving() as server:
        return asyncio.run(measure(server))


def _named(name: str) -> str:
    return f"the {name}" if name.startswith("whole") else name
