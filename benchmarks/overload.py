"""Ten times as many calls as a provider on the loopback can answer: what gets done, by whom, in real time."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter

from benchmarks.figures import Figure
from inferkit import AsyncClient, InferkitError, OpenAIChat, RateLimit

__all__ = ["tenfold_load"]

_AT_ONCE, _TAKES = 8, 1.0  # requests at a time, seconds each
_CAPACITY = _AT_ONCE / _TAKES  # calls a second
_FIRST = 5.0  # seconds that do not count: it learns from refusals how much may run
_TENANTS = {"greedy": 7.3, "busy": 2.0, "modest": 0.5}  # times the capacity, at the usual priority
_IMPORTANT = 0.2  # times the capacity, at the highest
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_DONE = {
    "id": "1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class _Provider:
    """Answers so many requests at once, and refuses what comes besides with 429."""

    def __init__(self) -> None:
        self.running = self.refused = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                status, body = await self._answer()
                text = json.dumps(body).encode()
                line = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
                writer.write(line.encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _answer(self) -> tuple[int, object]:
        if self.running >= _AT_ONCE:
            self.refused += 1
            return 429, {"error": {"message": "too many at once", "type": "rate_limit"}}
        self.running += 1
        try:
            await asyncio.sleep(_TAKES)
        finally:
            self.running -= 1
        return 200, _DONE


async def _load(seconds: float) -> tuple[Counter[str], int, int]:
    """Put the load on for so many seconds, and those before that do not count.

    Give who got how many replies to what was asked in that time, how many replies came in it, and how many requests
    were refused in all.
    """
    provider, done, came = _Provider(), Counter[str](), 0
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    adapter = OpenAIChat(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", name="p")
    limits = {"p:m": RateLimit(concurrent=50, queue=30)}
    llm = AsyncClient(providers={"p": adapter}, limits=limits, cache=False, ledger=False)

    async def call(who: str, priority: int, *, counts: bool) -> None:
        try:
            await llm.complete("p:m", "Hello", tenant=who, priority=priority, timeout=6)
        except InferkitError:
            return
        nonlocal came
        came += _FIRST <= asyncio.get_running_loop().time() - begun < _FIRST + seconds
        done[who] += counts

    async def come(group: asyncio.TaskGroup, who: str, priority: int, share: float) -> None:
        loop, gap = asyncio.get_running_loop(), 1 / (share * _CAPACITY)
        for number in range(int((_FIRST + seconds) / gap)):
            await asyncio.sleep(max(0.0, begun + number * gap - loop.time()))
            group.create_task(call(who, priority, counts=number * gap >= _FIRST))

    await llm.complete("p:m", "Hello")  # a first call loads what it needs, in which time others would pile up
    begun = asyncio.get_running_loop().time()
    async with llm, asyncio.TaskGroup() as group:
        group.create_task(come(group, "important", 9, _IMPORTANT))
        for who, share in _TENANTS.items():
            group.create_task(come(group, who, 0, share))
    server.close()
    return done, came, provider.refused


def tenfold_load(*, quick: bool) -> list[Figure]:
    """Put the load on for some seconds."""
    seconds = 20.0 if quick else 60.0
    done, came, refused = asyncio.run(_load(seconds))
    shares = [done[who] for who in _TENANTS]
    important = done["important"] / (seconds * _IMPORTANT * _CAPACITY)
    return [
        Figure("tenfold load: replies, of what the provider can give", came / (seconds * _CAPACITY), "x",
               at_least=0.9),
        Figure("tenfold load: calls of the highest priority that got theirs", important, "x", at_least=1.0),
        Figure("tenfold load: the tenant with the fewest replies, of the one with the most", min(shares) / max(shares),
               "x", at_least=0.6),
        Figure("tenfold load: requests that the provider refused, the first seconds included", refused, "requests"),
    ]  # fmt: skip
