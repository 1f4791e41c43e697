"""A Chat Completions reply as a stream of chunks, from events as they come or from one whole object.

A reply is complete when a `finish_reason` or `[DONE]` was seen. One that ends without either was cut off, which a
close-delimited connection does not tell, and is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ProviderError, Unavailable
from inferkit.providers.errors import refusal
from inferkit.providers.sse import EventTooLong, SSEParser
from inferkit.providers.wires.chat.reply import ChatReply, Malformed, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.chunks import Chunk
    from inferkit.providers.http.exchange import Exchange
    from inferkit.providers.sse import SSEEvent

__all__ = ["StreamedReply", "whole_reply"]


def error_in(content: Any) -> Any:
    """Give the error object of a payload, or None. vLLM sends it bare, Ollama as text."""
    if not isinstance(content, dict):
        return None
    return content.get("error") or (content if content.get("object") == "error" else None)


def _content(event: SSEEvent) -> dict[str, Any]:
    if event.event == "error":
        try:
            content = parse(event.raw)
        except Malformed:
            content = event.data
        return {"error": error_in(content) or content or "error"}
    content = parse(event.raw)
    if type(content) is not dict:
        raise Malformed("it is not an object")
    return content


class StreamedReply:
    """Chunks of a reply that comes as Server-Sent Events."""

    def __init__(self, exchange: Exchange, provider: str) -> None:
        self._exchange = exchange
        self._provider = provider
        self._parser = SSEParser()
        self._reply = ChatReply()
        self._ready: list[Chunk] = []
        self._failure: ProviderError | None = None
        self._done = False

    async def __anext__(self) -> list[Chunk]:
        while not self._ready:
            if self._failure is not None:
                raise self._failure
            if self._done:
                await self._exchange.finish()
                raise StopAsyncIteration
            await self._receive()
        ready, self._ready = self._ready, []
        return ready

    async def prime(self) -> Chunk | None:
        """Wait for the first chunk, and show it without taking it; None if the reply has none."""
        while not self._ready and not self._done:
            if self._failure is not None:
                raise self._failure
            await self._receive()
        return self._ready[0] if self._ready else None

    async def aclose(self) -> None:
        """Close the connection, whatever waits for it."""
        await self._exchange.aclose()

    async def _receive(self) -> None:
        """Read what came, into chunks that are ready, the end, or a failure to raise after them."""
        try:
            piece = await self._exchange.read()
        except Unavailable:
            if not self._reply.finished:
                raise
            self._done = True  # it broke between the reply's end and the stream's
            return
        try:
            if piece:
                self._take(self._parser.feed(piece))
            else:
                self._end()
        except EventTooLong as error:
            self._failure = self._exchange.fault(f"its reply is not usable: {error}")
        except Malformed as error:
            self._failure = self._exchange.fault(f"an event of its stream is not usable: {error}")
        except ProviderError as error:
            self._failure = error

    def _take(self, events: Iterable[SSEEvent]) -> None:
        for event in events:
            raw = event.raw
            if raw == b"[DONE]" or raw.strip() == b"[DONE]":
                self._done = True
                return
            if not raw and event.event == "message":
                continue
            content = _content(event)
            error = error_in(content)
            if error is not None:
                raise refusal(self._provider, None, self._exchange.headers, error)
            self._ready.append(self._reply.chunk(content))

    def _end(self) -> None:
        rest = self._parser.close()
        if rest is not None:
            try:
                self._take([rest])
            except Malformed:  # the end cut it off
                if not self._reply.finished:
                    raise
        if not self._reply.finished and not self._done:
            raise self._exchange.fault("its stream ended before the reply did (no finish reason, no [DONE]); try again")
        self._done = True


async def whole_reply(exchange: Exchange, provider: str) -> Chunk:
    """Read a reply that is one JSON object, as one chunk."""
    data = await exchange.read_whole()
    try:
        content = parse(data)
        error = error_in(content)
        if error is None:
            return ChatReply().whole(content)
    except Malformed as malformed:
        html = "html" in exchange.headers.get("content-type", "").lower()
        hint = "; it sent HTML, so check base_url=" if html else ""
        raise exchange.fault(f"its reply is not usable: {malformed}{hint}") from None
    raise refusal(provider, None, exchange.headers, error)
