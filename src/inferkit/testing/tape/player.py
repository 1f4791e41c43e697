"""A server on the loopback that answers with what is on a tape, over real connections, whole or broken."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from inferkit.core.errors import ConfigurationError
from inferkit.runtime import clock
from inferkit.testing.tape.faults import Fault, Refused, ResetAt, Surplus
from inferkit.testing.tape.programme import Finale, Pause, Programme, body_steps
from inferkit.testing.tape.requests import Received, receive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Exchange, Transport
    from inferkit.runtime.protocol import Runtime
    from inferkit.testing.tape.programme import Play
    from inferkit.testing.tape.recorded import Recorded

__all__ = ["Player"]

_LATE_SECONDS = 0.05
_LOOK_SECONDS = 0.05
_CLOSING_SECONDS = 5.0


class Player:
    """Plays a tape to whoever asks; `with tape.player() as player:` runs it.

    `url` is where it is, without a path: `base_url=f"{player.url}/v1"`. `transport()` is for inferkit: requests for
    anywhere go to the player. `requests` are what came, and `unexpected` what was not on the tape, which is answered
    with the status 404 and the code `not_on_tape`. `surplus_sent` is set when surplus bytes that are late were sent.
    """

    def __init__(
        self,
        exchanges: Sequence[Recorded],
        *,
        speed: float | None = None,
        faults: Sequence[Fault | None] = (),
        in_order: bool = False,
    ) -> None:
        if speed is not None and not speed > 0:
            raise ConfigurationError("speed= is how many times as fast as it was recorded; None is as fast as it can")
        self._programme = Programme(exchanges, faults, in_order=in_order)
        self.speed = speed
        self._listener: socket.socket | None = None
        self.over = threading.Event()
        self.surplus_sent = threading.Event()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self.requests: list[Received] = []

    @property
    def url(self) -> str:
        """Where it listens. Raises `ConfigurationError` where it does not run."""
        if self._listener is None:
            raise ConfigurationError("the player does not run: use it as `with tape.player() as player:`")
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def unexpected(self) -> list[str]:
        """What was asked for and is not on the tape, as method and path."""
        return self._programme.unexpected

    @property
    def unplayed(self) -> list[Recorded]:
        """What nobody has asked for yet."""
        return self._programme.left

    def transport(self, over: Library | Http | Transport | None = None) -> Transport:
        """Make a transport that sends every request here, over `over`, which is what a client takes as `transport=`."""
        from inferkit.providers.http.choosing import make_transport

        return _Redirected(self, make_transport(over))

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(self._listener,), name="inferkit-player", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock, thread in list(self._connections.items()):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join(_CLOSING_SECONDS)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,), name="inferkit-player", daemon=True)
            self._connections[sock] = thread
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, ValueError):  # the client is gone, or speaks no HTTP
            buffer = bytearray()
            while (request := receive(sock, buffer)) is not None:
                self.requests.append(request)
                play = self._programme.next(request.method, request.target, request.headers, request.body)
                if not _Answer(sock, self).play(play):
                    break
        self._connections.pop(sock, None)


class _Answer:
    """One answer on its way out."""

    def __init__(self, sock: socket.socket, player: Player) -> None:
        self._sock = sock
        self._speed = player.speed
        self._over = player.over
        self._surplus_sent = player.surplus_sent

    def play(self, play: Play) -> bool:
        """Send it; say whether the connection goes on."""
        exchange, fault = play.exchange, play.fault
        if exchange is None:
            assert isinstance(fault, Refused)
            self._sock.sendall(_head(fault.status, list(fault.headers.items()), len(fault.body)) + fault.body)
            return True
        if self._speed is not None:
            self._pause(exchange.after / self._speed)
        if exchange.status is None or (isinstance(fault, ResetAt) and fault.at < 0):
            return self._end(Finale.RESET, chunked=False)
        chunked = len(exchange.pieces) != 1 or exchange.end != "complete"
        self._sock.sendall(_head(exchange.status, exchange.headers, None if chunked else len(exchange.reply)))
        surplus = fault if isinstance(fault, Surplus) else None
        kept = b""  # the last piece, which surplus bytes go with: sent by themselves, they might come late
        for step in body_steps(exchange, fault, self._speed):
            if isinstance(step, Finale):
                return self._end(step, chunked=chunked, surplus=surplus, before=kept)
            if kept:
                self._sock.sendall(kept)
                kept = b""
            if isinstance(step, Pause):
                if not self._pause(step.seconds):
                    return False
                continue
            piece = b"%x\r\n%s\r\n" % (len(step), step) if chunked else step
            if surplus is None:
                self._sock.sendall(piece)
            else:
                kept = piece
        raise AssertionError("a body without an ending")

    def _end(self, ending: Finale, *, chunked: bool, surplus: Surplus | None = None, before: bytes = b"") -> bool:
        if ending is Finale.WHOLE:
            last = before + (b"0\r\n\r\n" if chunked else b"")
            if surplus is not None and not surplus.late:
                last += surplus.data
            if last:
                self._sock.sendall(last)
            if surplus is not None and surplus.late:
                self._pause(_LATE_SECONDS)
                try:
                    self._sock.sendall(surplus.data)
                finally:
                    self._surplus_sent.set()
            return True
        if ending is Finale.RESET:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif ending is Finale.OPEN:
            self._pause(float("inf"))
        return False

    def _pause(self, seconds: float) -> bool:
        """Wait; False if the client or the player went meanwhile."""
        until = clock.now() + seconds
        while not self._over.is_set():
            left = until - clock.now()
            if left <= 0:
                return True
            if select.select([self._sock], [], [], min(left, _LOOK_SECONDS))[0] and not self._is_there():
                return False
        return False

    def _is_there(self) -> bool:
        if not self._sock.recv(1, socket.MSG_PEEK):
            return False
        self._over.wait(_LOOK_SECONDS)  # it has sent another request already, which waits
        return True


def _head(status: int, headers: Sequence[tuple[str, str]], length: int | None) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [f"HTTP/1.1 {status} Played", *(f"{name}: {value}" for name, value in headers), framing]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Redirected:
    """A `Transport` that sends everything to a player."""

    def __init__(self, player: Player, inner: Transport) -> None:
        self._player = player
        self._inner = inner

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
        """See `Transport`."""
        parts, there = urlsplit(url), urlsplit(self._player.url)
        url = urlunsplit((there.scheme, there.netloc, parts.path, parts.query, ""))
        return await self._inner.post(url, headers, body, provider=provider, runtime=runtime, deadline=deadline)

    async def aclose(self, runtime: Runtime) -> None:
        """See `Transport`."""
        await self._inner.aclose(runtime)
