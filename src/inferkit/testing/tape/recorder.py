"""Records what a transport brings: each piece as it was read, when it came, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import ProviderError
from inferkit.testing.tape.recorded import End, Piece, Recorded
from inferkit.testing.tape.secrets import masked, reply_headers, request_headers, secrets_in, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inferkit.providers.http.transport import Exchange, Transport
    from inferkit.runtime.protocol import Clock, Runtime

__all__ = ["OneRecording", "Recorder"]

# of the connection and not of the reply, which is kept as it unpacks
_FRAMING = {"connection", "content-encoding", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"}


class Recorder:
    """A `Transport` that sends through another one, and has every exchange added to a tape."""

    def __init__(self, add: Callable[[Recorded], None], transport: Transport, *, secrets: Iterable[str] = ()) -> None:
        self._add = add
        self._transport = transport
        self._secrets = tuple(secrets)

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        provider: str,
        runtime: Runtime,
        deadline: float | None = None,
    ) -> Exchange:
        """See `Transport`. What is cancelled before its headers came is not recorded."""
        recording = OneRecording(self._add, runtime, url, headers, body, more_secrets=self._secrets)
        try:
            exchange = await self._transport.post(
                url, headers, body, provider=provider, runtime=runtime, deadline=deadline
            )
        except ProviderError:
            recording.end("broke")
            raise
        recording.head(exchange.status, exchange.headers.items())
        return _RecordedExchange(exchange, recording)

    async def aclose(self, runtime: Runtime) -> None:
        """See `Transport`."""
        await self._transport.aclose(runtime)


class OneRecording:
    """One exchange as far as it has come."""

    def __init__(
        self,
        add: Callable[[Recorded], None],
        clock: Clock,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        method: str = "POST",
        more_secrets: Iterable[str],
    ) -> None:
        self._add = add
        self._clock = clock
        self._method = method
        self._secrets = secrets_in(url, headers, more_secrets)
        self._url = url
        self._request_headers = request_headers(headers)
        self._body = body
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._after = 0.0
        self._pieces: list[Piece] = []
        self._last = clock.now()
        self._over = False

    def head(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Note that the head came."""
        self._after = self._since()
        self._status = status
        self._headers = [
            (name, masked(value.encode(), self._secrets).decode())
            for name, value in reply_headers(headers)
            if name not in _FRAMING
        ]

    def piece(self, data: bytes) -> None:
        """Note what a read brought."""
        self._pieces.append(Piece(data, self._since()))

    def end(self, how: End) -> None:
        """Have it added to the tape, the first time."""
        if self._over:
            return
        self._over = True
        after = self._since()
        whole = masked(b"".join(piece.data for piece in self._pieces), self._secrets)
        pieces, at = [], 0
        for piece in self._pieces:  # a secret may lie over the cut between two of them
            pieces.append(Piece(whole[at : at + len(piece.data)], piece.after))
            at += len(piece.data)
        self._add(
            Recorded(
                self._method,
                masked(shown_url(self._url).encode(), self._secrets).decode(),
                self._request_headers,
                masked(self._body, self._secrets),
                self._status,
                tuple(self._headers),
                self._after if self._status is not None else after,
                tuple(pieces),
                how,
                after,
            )
        )

    def _since(self) -> float:
        now = self._clock.now()
        seconds, self._last = round(now - self._last, 6), now
        return seconds


class _RecordedExchange:
    """An `Exchange` that notes what it hands on."""

    def __init__(self, exchange: Exchange, recording: OneRecording) -> None:
        self.status = exchange.status
        self.headers = exchange.headers
        self._exchange = exchange
        self._recording = recording

    async def read(self) -> bytes:
        try:
            piece = await self._exchange.read()
        except ProviderError:
            self._recording.end("broke")
            raise
        if piece:
            self._recording.piece(piece)
        else:
            self._recording.end("complete")
        return piece

    async def read_error(self) -> bytes:
        said = await self._exchange.read_error()
        if said:
            self._recording.piece(said)
        self._recording.end("complete")
        return said

    def end_within(self, seconds: float) -> None:
        self._exchange.end_within(seconds)

    def holds_more(self) -> bool:
        return self._exchange.holds_more()

    async def finish(self) -> None:
        """See `Exchange`. What is wanted has come, so that it counts as complete."""
        self._recording.end("complete")
        await self._exchange.finish()

    async def aclose(self) -> None:
        self._recording.end("left")
        await self._exchange.aclose()
