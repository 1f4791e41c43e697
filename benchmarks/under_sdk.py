"""What the whole stack costs under somebody's SDK, beside the same SDK alone: the same program, with one line more."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.application import API_KEY, fresh_question, settings
from benchmarks.figures import Figure
from benchmarks.server import EVENTS, MODEL, serving
from benchmarks.timing import interleave, interleave_async
from inferkit import AsyncClient, Client, Price
from inferkit.integrations import wrap

if TYPE_CHECKING:
    from benchmarks.timing import AsyncBlock, Block

__all__ = ["under_sdk"]

_PRICE = Price(input="0.15", output="0.60")  # nobody lists models of a server at this address


def _asking(sdk: Any) -> AsyncBlock:
    async def run(calls: int) -> None:
        for _ in range(calls):
            answer = await sdk.chat.completions.create(
                model=MODEL, messages=fresh_question(), max_completion_tokens=500
            )
            assert answer.choices

    return run


def _streaming(sdk: Any) -> AsyncBlock:
    async def run(calls: int) -> None:
        for _ in range(calls):
            count = 0
            async for _ in await sdk.chat.completions.create(
                model=MODEL, messages=fresh_question(), max_completion_tokens=500, stream=True
            ):
                count += 1
            assert count >= EVENTS

    return run


def under_sdk(*, quick: bool) -> list[Figure]:
    """Measure OpenAI's SDK alone, and over the whole stack; nothing where it is not installed."""
    if find_spec("openai") is None:
        return []
    with serving() as server:
        return [*asyncio.run(_async(server, quick=quick)), *_sync(server, quick=quick)]


async def _async(server: str, *, quick: bool) -> list[Figure]:
    openai = import_module("openai")
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        llm = await stack.enter_async_context(AsyncClient(**settings(server, home / "whole", on_unpriced=_PRICE)))
        light = await stack.enter_async_context(AsyncClient(cache=False, ledger=False))
        alone = await stack.enter_async_context(openai.AsyncOpenAI(base_url=f"{server}/v1", api_key=API_KEY))
        sdks = {"alone": alone, "whole": wrap(alone, llm, feature="benchmark"), "light": wrap(alone, light)}
        if find_spec("aiohttp") is not None:
            given = settings(server, home / "aiohttp", on_unpriced=_PRICE) | {"transport": "aiohttp"}
            over_aiohttp = await stack.enter_async_context(AsyncClient(**given))
            sdks["aiohttp"] = wrap(alone, over_aiohttp, feature="benchmark")
        calls, rounds = (50, 5) if quick else (200, 21)
        whole = await interleave_async({name: _asking(sdk) for name, sdk in sdks.items()}, calls=calls, rounds=rounds)
        streams = await interleave_async(
            {name: _streaming(sdk) for name, sdk in sdks.items()}, calls=max(1, calls // 20), rounds=rounds
        )
    found = [
        Figure("under the openai SDK, async call, SDK alone", whole.microseconds("alone"), "µs"),
        Figure("under the openai SDK, async call, whole stack / SDK", whole.ratio("whole", "alone"), "x", at_most=1.25),
        Figure("under the openai SDK, async call, without cache and ledger / SDK", whole.ratio("light", "alone"), "x"),
        Figure(
            f"under the openai SDK, stream of {EVENTS} chunks, whole stack / SDK",
            streams.ratio("whole", "alone"),
            "x",
            at_most=1.25,
        ),
    ]
    if "aiohttp" in sdks:
        found += [
            Figure(
                f"under the openai SDK, {what}, whole stack over aiohttp / SDK",
                times.ratio("aiohttp", "alone"),
                "x",
                at_most=1.25,
            )
            for what, times in (("async call", whole), (f"stream of {EVENTS} chunks", streams))
        ]
    return found


def _sync(server: str, *, quick: bool) -> list[Figure]:
    openai = import_module("openai")

    def asking(sdk: Any) -> Block:
        def run(calls: int) -> None:
            for _ in range(calls):
                answer = sdk.chat.completions.create(model=MODEL, messages=fresh_question(), max_completion_tokens=500)
                assert answer.choices

        return run

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        llm = stack.enter_context(Client(**settings(server, home, on_unpriced=_PRICE)))
        alone = stack.enter_context(openai.OpenAI(base_url=f"{server}/v1", api_key=API_KEY))
        sdks = {"alone": alone, "whole": wrap(alone, llm)}
        calls, rounds = (50, 5) if quick else (200, 21)
        times = interleave({name: asking(sdk) for name, sdk in sdks.items()}, calls=calls, rounds=rounds)
    return [
        Figure("under the openai SDK, sync call, whole stack / SDK", times.ratio("whole", "alone"), "x", at_most=1.25)
    ]
