"""Plays a tape as a transport of httpx or httpx2: no connection, no thread, for tests that bring their own client."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio

from inferkit.core.errors import ConfigurationError
from inferkit.runtime import clock
from inferkit.testing.tape.faults import Fault, Refused, ResetAt, Surplus
from inferkit.testing.tape.programme import Finale, Pause, Programme, body_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from inferkit.testing.tape.programme import Play
    from inferkit.testing.tape.recorded import Recorded

__all__ = ["playing"]


def playing(
    library: Any,
    exchanges: Sequence[Recorded],
    *,
    speed: float | None,
    faults: Sequence[Fault | None],
    in_order: bool,
) -> Any:
    """Make the transport, which serves blocking and async clients of the library alike."""
    if library is None:
        import httpx as library
    if any(isinstance(fault, Surplus) for fault in faults):
        raise ConfigurationError("surplus bytes need a connection that they come over: use tape.player()")
    body, transport = _kinds(library)
    return transport(library, body, Programme(exchanges, faults, in_order=in_order), speed)


@functools.lru_cache(maxsize=8)
def _kinds(library: Any) -> tuple[Any, Any]:
    """Make the classes of a body and of a transport that the library takes for its own."""
    return (
        type("PlayedBody", (_PlayedBody, library.SyncByteStream, library.AsyncByteStream), {}),
        type("PlayingTransport", (_HttpxPlayer, library.BaseTransport, library.AsyncBaseTransport), {}),
    )


class _PlayedBody:
    """A body on its way out of the tape; `patience` is how long the client waits for more of it, in seconds."""

    def __init__(self, library: Any, play: Play, speed: float | None, patience: float | None) -> None:
        assert play.exchange is not None
        self._library = library
        self._steps = body_steps(play.exchange, play.fault, speed)
        self._patience = patience

    def _next(self) -> bytes | float | None:
        """Give the next piece, or how long to wait before it is looked for again, or nothing at the end."""
        step = next(self._steps, Finale.WHOLE)
        if isinstance(step, bytes):
            return step
        if isinstance(step, Pause):
            if step.stalled and self._patience is not None and step.seconds > self._patience:
                raise self._library.ReadTimeout("the tape stalls")
            return step.seconds
        if step is Finale.WHOLE:
            return None
        if step is Finale.RESET:
            raise self._library.ReadError("the tape resets the connection")
        if step is Finale.CLOSED:
            raise self._library.RemoteProtocolError("the tape closes the connection before the end of the body")
        raise self._library.ReadTimeout("nothing more is on the tape")

    def __iter__(self) -> Iterator[bytes]:
        while (step := self._next()) is not None:
            if isinstance(step, bytes):
                yield step
            else:
                clock.sleep(step)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while (step := self._next()) is not None:
            if isinstance(step, bytes):
                return step
            await anyio.sleep(step)
        raise StopAsyncIteration


class _HttpxPlayer:
    """A transport of a library of httpx's kind."""

    def __init__(self, library: Any, body: Any, programme: Programme, speed: float | None) -> None:
        self._library = library
        self._body = body
        self._speed = speed
        self.programme = programme

    def handle_request(self, request: Any) -> Any:
        """Answer a blocking client."""
        response, wait = self._play(request, request.read())
        clock.sleep(wait)
        return response

    async def handle_async_request(self, request: Any) -> Any:
        """Answer an async client."""
        response, wait = self._play(request, await request.aread())
        await anyio.sleep(wait)
        return response

    def _play(self, request: Any, asked: bytes) -> tuple[Any, float]:
        """Give the response, and how long it takes to begin."""
        library = self._library
        target = request.url.raw_path.decode("ascii")
        play = self.programme.next(request.method, target, dict(request.headers), asked)
        exchange, fault = play.exchange, play.fault
        if exchange is None:
            assert isinstance(fault, Refused)
            return library.Response(fault.status, headers=dict(fault.headers), content=fault.body), 0.0
        if exchange.status is None or (isinstance(fault, ResetAt) and fault.at < 0):
            raise library.ReadError("the tape resets the connection")
        patience = request.extensions.get("timeout", {}).get("read")
        body = self._body(library, play, self._speed, patience)
        response = library.Response(exchange.status, headers=list(exchange.headers), stream=body)
        return response, 0.0 if self._speed is None else exchange.after / self._speed
