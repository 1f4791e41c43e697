"""What every exchange does with its body, whichever library brings it: unpack it, bound it, and end it in good time."""

from __future__ import annotations

import contextlib
import zlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from inferkit.providers.errors import unusable
from inferkit.providers.http.inflate import Inflater
from inferkit.providers.http.network_errors import ReplyTooLong

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.providers.http.connection import Connection

__all__ = ["BoundedExchange"]

_MAX_ERROR_BYTES = 64 * 1024
_ERROR_BODY_SECONDS = 5.0
_REST_BYTES = 64 * 1024
_REST_SECONDS = 0.25


class BoundedExchange(ABC):
    """See `Exchange`. A subclass says how pieces are received, and how the connection is let go."""

    status: int
    headers: Mapping[str, str]

    def __init__(self, connection: Connection, *, provider: str, most: int) -> None:
        self._connection = connection
        self._provider = provider
        self._left = most
        self._inflater: Inflater | None = None

    def _unpack(self) -> None:
        """Unpack what comes, if the headers say that it is packed."""
        encoding = self.headers.get("content-encoding")
        if encoding is not None and encoding.strip().lower() != "identity":
            self._inflater = Inflater()

    async def read(self) -> bytes:
        """Give the next piece of the body, or nothing at its end."""
        piece = await (self._receive() if self._inflater is None else self._inflate(self._inflater))
        self._left -= len(piece)
        if self._left < 0:
            raise self._connection.explain(ReplyTooLong(), self._provider)
        return piece

    async def _inflate(self, inflater: Inflater) -> bytes:
        try:
            piece = inflater.more()
            while not piece:
                packed = await self._receive()
                if not packed:
                    if inflater.complete:
                        return b""
                    raise unusable(self._provider, "its compressed reply ended too early", status=self.status)
                piece = inflater.feed(packed)
        except zlib.error as error:
            raise unusable(self._provider, "its compressed reply cannot be unpacked", status=self.status) from error
        return piece

    @abstractmethod
    async def _receive(self) -> bytes:
        """Give the next piece as it was sent, or nothing at the end. Raises what `Exchange.read` does."""

    async def read_error(self) -> bytes:
        """Read what a body says about an error, up to 64 KiB and 5 seconds, and close. Never fails."""
        return await self._read_a_little(_MAX_ERROR_BYTES, _ERROR_BODY_SECONDS)

    def end_within(self, seconds: float) -> None:
        """See `Exchange`."""
        self._connection.watch(self._connection.within(seconds))

    @abstractmethod
    def holds_more(self) -> bool:
        """See `Exchange`."""

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

    @abstractmethod
    async def aclose(self) -> None:
        """See `Exchange`."""
