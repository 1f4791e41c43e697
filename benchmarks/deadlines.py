"""By how much a call outlives its deadline, in real time: whatever a server does not do, on four wires."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure
from inferkit import Anthropic, AsyncClient, DeadlineExceeded, Gemini, OpenAIChat, OpenAIResponses
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["deadlines"]

_SECONDS = 1.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\n"
_EVENTS = _OK + b"content-type: text/event-stream\r\n\r\n"
_STALLS: Mapping[str, tuple[bytes, bytes]] = {  # what is sent at once, and again and again
    "silent": (b"", b""),
    "half a head": (_OK + b"content-ty", b""),
    "head": (_EVENTS, b""),
    "comments": (_EVENTS, b": still here\n\n"),
    "fields": (_OK, b"x-filler: y\r\n"),
    "half a body": (_OK + b"content-type: application/json\r\ncontent-length: 99\r\n\r\n{", b""),
}
_PAUSE = 0.02
_ADAPTERS: tuple[Any, ...] = (OpenAIChat, OpenAIResponses, Anthropic, Gemini)


def deadlines(*, quick: bool) -> list[Figure]:
    """Make all kinds of calls at once, several times, each with a deadline."""
    rounds = 3 if quick else 10
    asyncio.run(_round())  # which imports what calls need
    over = sorted(each for _ in range(rounds) for each in asyncio.run(_round()))
    return [
        Figure("calls that nobody answers, on four wires, streamed and whole", len(over), ""),
        Figure("how long after its deadline such a call is over, median", over[len(over) // 2], "s"),
        Figure("how long after its deadline such a call is over, at most", over[-1], "s", at_most=0.3),
    ]


async def _round() -> list[float]:
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(await asyncio.start_server(_Stall(*steps), "127.0.0.1", 0))
            for steps in _STALLS.values()
        ]
        calls = []
        for server in servers:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            for kind in _ADAPTERS:
                adapter = kind(base_url=url, api_key="k", name="p")
                stack.push_async_callback(adapter.aclose)
                llm = await stack.enter_async_context(
                    AsyncClient(providers={"p": adapter}, cache=False, ledger=False, max_retries=0)
                )
                calls += [_late(llm, stream=stream) for stream in (True, False)]
        return await asyncio.gather(*calls)


async def _late(llm: AsyncClient, *, stream: bool) -> float:
    """Make a call, and say how many seconds after its deadline it was over."""
    began = clock.now()
    try:
        if stream:
            async with llm.stream("p:m", "Hello?", timeout=_SECONDS) as reply:
                async for _ in reply:
                    pass
        else:
            await llm.complete("p:m", "Hello?", timeout=_SECONDS)
    except DeadlineExceeded:
        return clock.now() - began - _SECONDS
    raise AssertionError("a call that nobody answers was answered")


class _Stall:
    def __init__(self, first: bytes, piece: bytes) -> None:
        self._first = first
        self._piece = piece

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(self._first)
            while self._piece and not writer.is_closing():
                writer.write(self._piece)
                await writer.drain()
                await asyncio.sleep(_PAUSE)
            await reader.read()
        writer.close()
