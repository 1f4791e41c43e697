"""An answer that comes through httpx: read piece by piece, bounded, and cut from outside when it must end."""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING, Any

from inferkit.providers.errors import unusable
from inferkit.providers.http.inflate import Inflater
from inferkit.providers.http.network_errors import cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.errors import ProviderError
    from inferkit.providers.http.connection import Connection

__all__ = ["HttpxExchange"]

_MAX_ERROR_BYTES = 64 * 1024
_ERROR_BODY_SECONDS = 5.0
_REST_BYTES = 64 * 1024
_REST_SECONDS = 0.25
_BUFFERED_PIECES = 64


class HttpxExchange:
    """See `Exchange`."""

    def __init__(self, response: Any, connection: Connection, *, provider: str) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._connection = connection
        self._provider = provider
        self._unreleased = [response]
        self._reading = False
        self._ended = False
        self._wound = False  # released before its end, and its generators not ended yet
        self._alone = response.extensions.get("http_version", b"").startswith(b"HTTP/1")
        self._inflater: Inflater | None = None
        connection.answered(response.extensions)
        connection.cut = self._release
        connection.watch(connection.deadline)
        self._blocking = connection.runtime.blocking
        if response.is_closed:  # an event hook of the application's client read it already
            self._pieces: Any = _Held(response.content)
            return
        self._pieces = iter(response.stream) if self._blocking else aiter(response.stream)
        encoding = self.headers.get("content-encoding")
        if encoding is not None and encoding.strip().lower() != "identity":
            self._inflater = Inflater()

    async def read(self) -> bytes:
        """Give the next piece of the body, or nothing at its end."""
        inflater = self._inflater
        if inflater is None:
            return await self._read()
        try:
            piece = inflater.more()
            while not piece:
                packed = await self._read()
                if not packed:
                    if inflater.complete:
                        return b""
                    raise self._fault("its compressed reply ended too early")
                piece = inflater.feed(packed)
        except zlib.error as error:
            raise self._fault("its compressed reply cannot be unpacked") from error
        return piece

    async def _read(self) -> bytes:
        connection = self._connection
        if connection.is_over:
            raise connection.explain(ConnectionResetError(), self._provider)
        self._reading = True
        try:
            while not self._ended:
                piece: bytes | None = next(self._pieces, None) if self._blocking else await anext(self._pieces, None)
                if piece is None:
                    self._ended = True
                elif piece:
                    return piece
            connection.check()  # cutting a connection can look like the end of its body
        except Exception as error:
            self._ended = True
            raise connection.explain(error, self._provider) from cause_of(error)
        finally:
            self._reading = False
            if connection.closed:
                await self._release()
            if self._wound:
                await self._unwind()
        return b""

    async def read_error(self) -> bytes:
        """Read what a body says about an error, up to 64 KiB and 5 seconds, and close. Never fails."""
        return await self._read_a_little(_MAX_ERROR_BYTES, _ERROR_BODY_SECONDS)

    def end_within(self, seconds: float) -> None:
        """See `Exchange`."""
        self._connection.watch(self._connection.within(seconds))

    async def finish(self) -> None:
        """Read the little that follows the last event, so that the connection can be used again, and close."""
        await self._read_a_little(_REST_BYTES, _REST_SECONDS)

    async def _read_a_little(self, size: int, seconds: float) -> bytes:
        self._connection.watch(self._connection.within(seconds))
        got = b""
        with contextlib.suppress(Exception):  # what came so far is all that there is
            while len(got) < size and (piece := await self.read()):
                got += piece
        await self.aclose()
        return got[:size]

    async def aclose(self) -> None:
        """Close. The connection returns to its pool if the body was read to its end."""
        connection = self._connection
        connection.closed = True
        connection.unwatch()
        if self._reading and self._blocking:
            connection.wake()  # the thread that reads releases it
        else:
            await self._release()

    async def _release(self) -> None:
        with contextlib.suppress(IndexError):  # released already; taking it out is one step for every thread
            response = self._unreleased.pop()
            self._connection.cut = None  # it refers back here: a cycle that would keep the reply alive
            with contextlib.suppress(Exception):  # the connection is gone either way
                if self._blocking:
                    response.close()
                    if self._ended:
                        self._connection.give_back()
                    self._pieces.close()
                else:
                    self._wound = not self._ended
                    await response.aclose()
                    if not self._reading:  # otherwise whoever reads does it, when the read is over
                        await self._unwind()

    async def _unwind(self) -> None:
        """End the HTTP library's generators, which are nested and would be left to the garbage collector.

        Over a connection of its own that is closed, they end by themselves once what was received is used up.
        """
        if self._wound:
            self._wound = False
            with contextlib.suppress(Exception):  # the connection is gone either way
                if self._alone:
                    for _ in range(_BUFFERED_PIECES):
                        await anext(self._pieces)
                await self._pieces.aclose()

    def _fault(self, what: str) -> ProviderError:
        return unusable(self._provider, what, status=self.status)


class _Held:
    """A body that is in memory, as an iterator of both kinds."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        return self._left.pop()

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()
