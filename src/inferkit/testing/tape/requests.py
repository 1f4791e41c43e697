"""Reads the requests that come over a connection: just as much of HTTP/1.1 as clients of model providers speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["Received", "receive"]

_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came; `target` is its path with its query, and header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Say what was asked for, without the key and the prompt."""
        return f"Received({self.method} {self.target.partition('?')[0]}, {len(self.body)} bytes)"


def receive(sock: socket.socket, buffer: bytearray) -> Received | None:
    """Give the next request, or None where there is none; `buffer` holds what came with the last one."""
    head = _until(sock, buffer, b"\r\n\r\n")
    if head is None:
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _chunked(sock, buffer)
    else:
        body = _exactly(sock, buffer, int(headers.get("content-length", "0")))
    return None if body is None else Received(method, target, headers, body)


def _chunked(sock: socket.socket, buffer: bytearray) -> bytes | None:
    body = b""
    while (line := _until(sock, buffer, b"\r\n")) is not None:
        size = int(line.partition(b";")[0], 16)
        piece = _exactly(sock, buffer, size + 2)
        if piece is None:
            return None
        if not size:
            return body
        body += piece[:-2]
    return None


def _until(sock: socket.socket, buffer: bytearray, mark: bytes) -> bytes | None:
    while (at := buffer.find(mark)) < 0:
        if not _more(sock, buffer):
            return None
    found = bytes(buffer[:at])
    del buffer[: at + len(mark)]
    return found


def _exactly(sock: socket.socket, buffer: bytearray, size: int) -> bytes | None:
    while len(buffer) < size:
        if not _more(sock, buffer):
            return None
    found = bytes(buffer[:size])
    del buffer[:size]
    return found


def _more(sock: socket.socket, buffer: bytearray) -> bool:
    data = sock.recv(_READ_BYTES)
    buffer += data
    return bool(data)
