"""An answer that comes through httpx: read piece by piece, and cut from outside when it must end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from inferkit.providers.http.exchange import BoundedExchange
from inferkit.providers.http.httpx_pools import InMemory
from inferkit.providers.http.left_streams import leave
from inferkit.providers.http.network_errors import cause_of
from inferkit.providers.http.surplus import holds_more, holds_surplus

if TYPE_CHECKING:
    from inferkit.providers.http.connection import Connection

__all__ = ["HttpxExchange"]

_BUFFERED_PIECES = 64


class HttpxExchange(BoundedExchange):
    """See `Exchange`."""

    def __init__(self, response: Any, connection: Connection, *, provider: str, most: int, tls: bool) -> None:
        super().__init__(connection, provider=provider, most=most)
        self.status = response.status_code
        self.headers = response.headers
        self._tls = tls
        self._unreleased = [response]
        self._reading = False
        self._ended = False
        self._stream_left = False  # a stream of HTTP/2, which was ended: whoever reads on is told
        self._wound = False  # released before its end, and its generators not ended yet
        self._alone = response.extensions.get("http_version", b"").startswith(b"HTTP/1")
        connection.answered(response.extensions)
        connection.cut = self._release
        connection.watch(connection.deadline)
        self._blocking = connection.runtime.blocking
        if response.is_closed:  # an event hook of the application's client read it already
            self._part_if_polluted(response)
            self._pieces: Any = InMemory(response.content)
            return
        self._pieces = iter(response.stream) if self._blocking else aiter(response.stream)
        self._unpack()

    async def _receive(self) -> bytes:
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

    def holds_more(self) -> bool:
        """See `Exchange`."""
        return bool(self._unreleased) and not self._ended and holds_more(self._unreleased[0])

    async def aclose(self) -> None:
        """Close. The connection returns to its pool if the body was read to its end."""
        connection = self._connection
        connection.closed = True
        connection.unwatch()
        if self._reading and self._blocking:
            connection.wake()  # the thread that reads releases it
            with contextlib.suppress(IndexError):
                await self._leave(self._unreleased[0])
        else:
            await self._release()

    async def _release(self) -> None:
        with contextlib.suppress(IndexError):  # released already; taking it out is one step for every thread
            response = self._unreleased.pop()
            self._connection.cut = None  # it refers back here: a cycle that would keep the reply alive
            with contextlib.suppress(Exception):  # the connection is gone either way
                if self._ended:
                    self._part_if_polluted(response)
                elif not self._alone:
                    await self._leave(response)
                if self._blocking:
                    response.close()
                    if self._ended:
                        self._connection.give_back()
                    self._pieces.close()
                else:
                    self._wound = not self._ended
                    if not self._stream_left:
                        await response.aclose()
                    if not self._reading:  # otherwise whoever reads does it, when the read is over
                        await self._unwind()

    async def _leave(self, response: Any) -> None:
        """Tell a server whose connection is others' too, and is not closed, that nobody waits for the rest."""
        say = leave(response, waited_for=self._reading)
        if say is not None:
            self._stream_left = True
            with contextlib.suppress(Exception):  # the connection is gone
                said = say()
                if not self._blocking:
                    await said

    def _part_if_polluted(self, response: Any) -> None:
        """Hang up on a server that sent more than its reply: the pool then finds the connection closed."""
        if self._alone and holds_surplus(response, tls=self._tls):
            self._connection.part(response.extensions["network_stream"].get_extra_info("socket"))

    async def _unwind(self) -> None:
        """End the HTTP library's generators, which are nested and would be left to the garbage collector.

        Over a connection of its own that is closed, and a stream of HTTP/2 that was ended, they end by themselves once
        what was received is used up.
        """
        if self._wound:
            self._wound = False
            with contextlib.suppress(Exception):  # the connection is gone either way
                if self._alone or self._stream_left:
                    for _ in range(_BUFFERED_PIECES):
                        await anext(self._pieces)
                await self._pieces.aclose()
