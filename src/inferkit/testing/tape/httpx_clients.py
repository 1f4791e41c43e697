"""HTTP clients of httpx and httpx2 for other people's SDKs: what goes through them is recorded, or comes from a player.

Each library takes its own types alone, so the transports are made for one of them, and serve its plain and its async
clients alike.
"""

from __future__ import annotations

import functools
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from inferkit.runtime import clock
from inferkit.testing.tape.recorder import OneRecording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from inferkit.testing.tape.player import Player
    from inferkit.testing.tape.recorded import Recorded

__all__ = ["Library", "make_client", "recording", "redirected"]

Library = Literal["httpx", "httpx2"]
_END = b"data: [DONE]\n\n"  # after which OpenAI's SDK reads no further
_SECONDS = 600.0  # what SDKs allow a reply, as long as nobody says otherwise


def make_client(library: Library | None, below: Callable[[Any], Any], *, is_async: bool) -> Any:
    """Make a client of a library, httpx2 where it is installed; `below` makes its transport, for the library."""
    module = import_module(library or ("httpx2" if find_spec("httpx2") is not None else "httpx"))
    kind = module.AsyncClient if is_async else module.Client
    return kind(transport=below(module), timeout=_SECONDS, follow_redirects=True)


def redirected(library: Any, player: Player) -> Any:
    """Make a transport that sends everything to a player."""
    return _kinds(library)[1](library, player)


def recording(library: Any, add: Callable[[Recorded], None], secrets: Iterable[str]) -> Any:
    """Make a transport that sends everything where it is to go, and records what comes."""
    body, _, transport = _kinds(library)
    return transport(library, body, add, tuple(secrets))


@functools.lru_cache(maxsize=8)
def _kinds(library: Any) -> tuple[Any, Any, Any]:
    bases = (library.BaseTransport, library.AsyncBaseTransport)
    return (
        type("RecordedBody", (_RecordedBody, library.SyncByteStream, library.AsyncByteStream), {}),
        type("RedirectedTransport", (_HttpxRedirected, *bases), {}),
        type("RecordingTransport", (_HttpxRecorder, *bases), {}),
    )


def _like(library: Any, request: Any, url: Any, **headers: str) -> Any:
    """Give a request as another one that goes elsewhere, so that the SDK's own errors name what it asked for."""
    given = request.headers.copy()
    given.update(headers)
    return library.Request(request.method, url, headers=given, content=request.content, extensions=request.extensions)


def _for_once(library: Any) -> Any:
    """Have connections closed with their replies: an SDK's async client often outlives its event loop unclosed."""
    return library.Limits(max_keepalive_connections=0)


class _Below:
    """What a transport sends with: made for the first request of plain clients, and for that of async ones."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._plain: Any = None
        self._async: Any = None

    def close(self) -> None:
        """Close the connections of plain clients."""
        if self._plain is not None:
            self._plain.close()

    async def aclose(self) -> None:
        """Close the connections of async clients."""
        if self._async is not None:
            await self._async.aclose()


class _HttpxRedirected(_Below):
    """A transport of a library of httpx's kind, to a player."""

    def __init__(self, library: Any, player: Player) -> None:
        super().__init__(library)
        self._player = player

    def handle_request(self, request: Any) -> Any:
        """Answer a plain client."""
        request.read()
        self._plain = self._plain or self._library.HTTPTransport()
        return self._plain.handle_request(self._there(request))

    async def handle_async_request(self, request: Any) -> Any:
        """Answer an async client."""
        await request.aread()
        self._async = self._async or self._library.AsyncHTTPTransport(limits=_for_once(self._library))
        return await self._async.handle_async_request(self._there(request))

    def _there(self, request: Any) -> Any:
        there = urlsplit(self._player.url)
        url = request.url.copy_with(scheme=there.scheme, host=there.hostname, port=there.port)
        return _like(self._library, request, url)


class _HttpxRecorder(_Below):
    """A transport of a library of httpx's kind that records."""

    def __init__(self, library: Any, body: Any, add: Callable[[Recorded], None], secrets: tuple[str, ...]) -> None:
        super().__init__(library)
        self._body = body
        self._add = add
        self._secrets = secrets

    def handle_request(self, request: Any) -> Any:
        """Answer a plain client."""
        request.read()
        self._plain = self._plain or self._library.Client(timeout=None)
        one = self._begun(request)
        try:
            response = self._plain.send(self._whole(request), stream=True)
        except self._library.TransportError:
            one.end("broke")
            raise
        return self._noted(response, one)

    async def handle_async_request(self, request: Any) -> Any:
        """Answer an async client."""
        await request.aread()
        self._async = self._async or self._library.AsyncClient(timeout=None, limits=_for_once(self._library))
        one = self._begun(request)
        try:
            response = await self._async.send(self._whole(request), stream=True)
        except self._library.TransportError:
            one.end("broke")
            raise
        return self._noted(response, one)

    def _begun(self, request: Any) -> OneRecording:
        headers, body = dict(request.headers), request.content
        return OneRecording(
            self._add,
            clock,
            str(request.url),
            headers,
            body,
            method=request.method,
            more_secrets=self._secrets,
        )

    def _whole(self, request: Any) -> Any:
        """Give the request as one whose reply comes as it can be read on a tape."""
        return _like(self._library, request, request.url, **{"accept-encoding": "identity"})

    def _noted(self, response: Any, one: OneRecording) -> Any:
        one.head(response.status_code, response.headers.items())
        body = self._body(self._library, response, one)
        return self._library.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )


class _RecordedBody:
    """A body on its way, of which each piece is noted."""

    def __init__(self, library: Any, response: Any, one: OneRecording) -> None:
        self._library = library
        self._response = response
        self._one = one
        self._last = b""

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._response.iter_raw():
                self._note(piece)
                yield piece
        except self._library.TransportError:
            self._one.end("broke")
            raise
        self._one.end("complete")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.aiter_raw():
                self._note(piece)
                yield piece
        except self._library.TransportError:
            self._one.end("broke")
            raise
        self._one.end("complete")

    def close(self) -> None:
        """Leave it, wherever it is."""
        self._leave()
        self._response.close()

    async def aclose(self) -> None:
        """Leave it, wherever it is."""
        self._leave()
        await self._response.aclose()

    def _note(self, piece: bytes) -> None:
        self._one.piece(piece)
        self._last = (self._last + piece)[-len(_END) :]

    def _leave(self) -> None:
        """Note that its reader left: where all of a stream had come, it was not before its end."""
        self._one.end("complete" if self._last == _END else "left")
