"""A server of all wires on the loopback device, in a process of its own: raw sockets and ready-made replies.

It does as little as it can, so that it is not what is measured. What it answers depends on the URL:
`/v1` answers at once, whole or as a stream of `EVENTS` events, each a piece of its own, `/gathered/v1` sends `GATHERED`
of them in a piece, so that one read brings them all, `/paused/v1` sends the first event of a stream well before the
others, `/failing/v1` refuses with the status 500. `/billing/v1` answers with as many tokens as it likes, and writes
what it bills for them into its book before: lines of the question and nano-dollars.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.wires import EVENTS, INPUT_TOKENS, MODEL, SPOKEN, chat_stream, chat_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["EVENTS", "GATHERED", "INPUT_NANOS", "MODEL", "OUTPUT_NANOS", "serving"]

GATHERED = 16
INPUT_NANOS, OUTPUT_NANOS = 1_000, 10_000  # a token
_PAUSE_SECONDS = 0.01


def _answer(status: str, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _piece(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _whole(reply: dict[str, Any]) -> bytes:
    return _answer("200 OK", "application/json", json.dumps(reply).encode())


def _stream(events: list[bytes], *, gathered: int = 1) -> tuple[bytes, bytes]:
    """Give the head with the first piece, and the rest."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    first, *others = [_piece(b"".join(events[place : place + gathered])) for place in range(0, len(events), gathered)]
    return head + first, b"".join(others) + b"0\r\n\r\n"


_WHOLE = {wire: _whole(spoken.whole()) for wire, spoken in SPOKEN.items()}
_STREAM = {wire: _stream(spoken.stream()) for wire, spoken in SPOKEN.items()}
_GATHERED = {wire: b"".join(_stream(spoken.stream(), gathered=GATHERED)) for wire, spoken in SPOKEN.items()}
_PATHS = {"/responses": "responses", "/messages": "anthropic", "enerateContent": "gemini"}
_REFUSED = _answer("500 Internal Server Error", "application/json", b'{"error": {"message": "the server is down"}}')


class _Connection(asyncio.Protocol):
    def __init__(self, book: int) -> None:
        self._book = book
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._reply(head, rest[:length])

    def _reply(self, head: bytes, body: bytes) -> None:
        send = self._transport.write
        if head.startswith(b"POST /failing"):
            send(_REFUSED)
        elif head.startswith(b"POST /billing"):
            send(self._bill(json.loads(body)))
        else:
            self._say(head.partition(b"\r\n")[0].decode(), body)

    def _say(self, request: str, body: bytes) -> None:
        wire = next((wire for path, wire in _PATHS.items() if path in request), "chat")
        send = self._transport.write
        if b'"stream":true' not in body.replace(b" ", b"") and "stream" not in request:
            send(_WHOLE[wire])
        elif request.startswith("POST /gathered"):
            send(_GATHERED[wire])
        elif request.startswith("POST /paused"):
            first, rest = _STREAM[wire]
            send(first)
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, send, rest)
        else:
            send(b"".join(_STREAM[wire]))

    def _bill(self, asked: dict[str, Any]) -> bytes:
        output = random.randint(1, asked["max_tokens"])
        question = asked["messages"][-1]["content"]
        os.write(self._book, f"{question} {INPUT_TOKENS * INPUT_NANOS + output * OUTPUT_NANOS}\n".encode())
        return b"".join(_stream(chat_stream(3, output))) if asked.get("stream") else _whole(chat_whole(output))


async def _serve(book: str) -> None:
    writing = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(writing), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving(book: str | Path = os.devnull) -> Iterator[str]:
    """Run the server while the block runs; give its URL, without a path."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.server", book], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
