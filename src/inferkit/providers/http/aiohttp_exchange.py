"""An answer that comes through aiohttp: read as it is received, and cut from outside when it must end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from inferkit.providers.http.connection import shut_down
from inferkit.providers.http.exchange import BoundedExchange
from inferkit.providers.http.network_errors import cause_of
from inferkit.providers.http.surplus import can_be_read

if TYPE_CHECKING:
    from inferkit.providers.http.connection import Connection

__all__ = ["AiohttpExchange"]


class AiohttpExchange(BoundedExchange):
    """See `Exchange`."""

    def __init__(self, response: Any, connection: Connection, *, provider: str, most: int) -> None:
        super().__init__(connection, provider=provider, most=most)
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._content = response.content
        connection.cut = self._release
        connection.watch(connection.deadline)
        self._unpack()

    def wait_at_most(self, seconds: float) -> None:
        """Wait no longer than this from one piece to the next, from now on."""
        held = self._response.connection
        if held is not None and seconds < (held.protocol.read_timeout or float("inf")):
            held.protocol.read_timeout = seconds
            held.protocol.start_timeout()

    async def _receive(self) -> bytes:
        connection, content = self._connection, self._content
        if connection.is_over:
            raise connection.explain(ConnectionResetError(), self._provider)
        try:
            piece: bytes = await content.readany()
        except Exception as error:
            if not connection.is_over:
                piece = content._read_nowait(-1)  # noqa: SLF001 - what came before it broke, which is handed over first
                if piece:
                    return piece
            raise connection.explain(error, self._provider) from cause_of(error)
        return piece

    def holds_more(self) -> bool:
        """See `Exchange`."""
        if self._content._buffer:  # noqa: SLF001 - no other way
            return True
        held = self._response.connection  # none once all of the body has come
        return held is not None and held.transport is not None and can_be_read(_socket(held))

    async def finish(self) -> None:
        """See `Exchange`. The rest has come already, mostly."""
        if self._content.is_eof():
            await self.aclose()
        else:
            await super().finish()

    async def aclose(self) -> None:
        """Close. The connection returned to its pool as soon as all of the body had come."""
        self._connection.closed = True
        self._connection.unwatch()
        await self._release()

    async def _release(self) -> None:
        connection = self._connection
        connection.cut = None  # it refers back here: a cycle that would keep the reply alive
        if connection.process != os.getpid():
            return  # it is the parent's, and so is its event loop
        if asyncio._get_running_loop() is connection.runtime.place:  # noqa: SLF001 - public but for its name
            self._end()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            connection.runtime.place.call_soon_threadsafe(self._end)
            return
        held = self._response.connection
        if held is not None and held.transport is not None:
            shut_down(_socket(held), connection.process)

    def _end(self) -> None:
        if self._response.connection is not None:  # otherwise it has returned to the pool
            self._response.close()


def _socket(held: Any) -> Any:
    return held.transport.get_extra_info("socket")
