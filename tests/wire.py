"""A provider for tests: a real HTTP server on the loopback that sends exactly the bytes a test tells it to.

A script is called with each request and yields steps: bytes to send, a `threading.Event` to wait for, `CLOSE` or
`RESET` to end the connection, or `UNTIL_CLOSED` to wait until the client has closed it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

__all__ = [
    "CLOSE", "RESET", "UNTIL_CLOSED", "Received", "Wire", "chunked", "endless", "event", "nobody_listening", "reply",
    "sse",
]  # fmt: skip

HANG_SECONDS = 30.0  # a guard against a test that would wait for ever; no test waits this long
CLOSE, RESET, UNTIL_CLOSED = object(), object(), object()


@dataclass
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """The server. `script` may be changed between calls. With `tls`, it is spoken to over that."""

    def __init__(self, script: Callable[[Received], Iterable[Any]], *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self.requests: list[Received] = []
        self.arrived = threading.Event()
        self._changed = threading.Condition()
        self._connections = 0
        self._closed = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # also from under TLS
        for thread in list(self._threads):
            thread.join(HANG_SECONDS)

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return self._connections

    @property
    def closed(self) -> int:
        """How many connections are closed."""
        return self._closed

    def wait_until_closed(self, count: int = 1) -> bool:
        """Wait until that many connections are closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed >= count, HANG_SECONDS)

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self._sockets.append(sock)
            self._spawn(self._serve, sock, self._connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            with sock, contextlib.suppress(OSError):
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                buffer = b""
                while (received := _receive(sock, buffer, number)) is not None:
                    request, buffer = received
                    self.requests.append(request)
                    self.arrived.set()
                    if not self._play(sock, self.script(request)):
                        return
        finally:
            with self._changed:
                self._closed += 1
                self._changed.notify_all()

    def _play(self, sock: socket.socket, steps: Iterable[Any]) -> bool:
        """Do a script's steps; say whether the connection goes on."""
        for step in steps:
            if isinstance(step, bytes):
                sock.sendall(step)
            elif isinstance(step, threading.Event):
                assert step.wait(HANG_SECONDS), "the test never set the event"
            elif step is UNTIL_CLOSED:
                sock.settimeout(HANG_SECONDS)
                while sock.recv(65536):
                    pass
                return False
            else:
                if step is RESET:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        return True


def _receive(sock: socket.socket, buffer: bytes, number: int) -> tuple[Received, bytes] | None:
    while b"\r\n\r\n" not in buffer:
        data = sock.recv(65536)
        if not data:
            return None
        buffer += data
    head, _, rest = buffer.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        data = sock.recv(65536)
        if not data:  # the client died in the middle of it
            return None
        rest += data
    return Received(line, headers, rest[:length], number), rest[length:]


@contextlib.contextmanager
def nobody_listening() -> Iterator[str]:
    """Give the URL of a port at which nobody listens, and no test that runs beside this one can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def event(data: Any) -> bytes:
    """Write one Server-Sent Event: an object as JSON, or text as it is."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


def reply(body: bytes | dict[str, Any], status: int = 200, **headers: str) -> bytes:
    """Write a whole HTTP reply."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        headers.setdefault("content_type", "application/json")
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{fields}content-length: {len(body)}\r\n\r\n".encode() + body


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SSE_HEAD_UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def chunked(data: bytes) -> bytes:
    """Write one piece of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def sse(pieces: Iterable[Any]) -> Iterator[Any]:
    """Send a chunked event stream: bytes go out as pieces, other steps as they are."""
    yield SSE_HEAD
    for piece in pieces:
        yield chunked(piece) if isinstance(piece, bytes) and piece else piece
    yield chunked(b"")


def endless(head: bytes, piece: bytes) -> Callable[[Received], Iterator[bytes]]:
    """Make a script that sends a piece over and over, as often as a proxy its keep-alives, until the client goes."""

    def script(_: Received) -> Iterator[bytes]:
        yield head
        pause = threading.Event()
        while not pause.wait(0.01):
            yield piece

    return script
