"""A Chat Completions server on the loopback device, in a process of its own: raw sockets and ready-made replies.

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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["EVENTS", "GATHERED", "INPUT_NANOS", "MODEL", "OUTPUT_NANOS", "serving"]

EVENTS = 400
GATHERED = 16
MODEL = "gpt-4o-mini"
INPUT_NANOS, OUTPUT_NANOS = 1_000, 10_000  # a token
_PAUSE_SECONDS = 0.01
_TEXT = "Your order left the warehouse this morning and arrives on Thursday. Is there anything else? "
_INPUT_TOKENS = 20


def _usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": _INPUT_TOKENS, "completion_tokens": output, "total_tokens": _INPUT_TOKENS + output}


def _answer(status: str, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _whole(output: int) -> bytes:
    message = {"role": "assistant", "content": _TEXT * 4}
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1760000000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(output),
    }
    return _answer("200 OK", "application/json", json.dumps(reply).encode())


def _event(delta: dict[str, str], *, finish: str | None = None, **more: Any) -> bytes:
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": MODEL,
        "system_fingerprint": "fp_0000000000",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _piece(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _stream(events: int, output: int, *, gathered: int = 1) -> tuple[bytes, bytes]:
    """Give the head with the first piece, and the rest."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    words = _TEXT.split()
    sent = [_event({"content": words[number % len(words)] + " "}) for number in range(events - 1)]
    sent.append(_event({}, finish="stop", usage=_usage(output)))
    pieces = [_piece(b"".join(sent[place : place + gathered])) for place in range(0, events, gathered)]
    return head + pieces[0], b"".join(pieces[1:]) + _piece(b"data: [DONE]\n\n") + b"0\r\n\r\n"


_WHOLE = _whole(EVENTS)
_FIRST, _REST = _stream(EVENTS, EVENTS)
_STREAM = _FIRST + _REST
_GATHERED = b"".join(_stream(EVENTS, EVENTS, gathered=GATHERED))
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
        elif b'"stream":true' not in body.replace(b" ", b""):
            send(_WHOLE)
        elif head.startswith(b"POST /paused"):
            send(_FIRST)
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, send, _REST)
        else:
            send(_GATHERED if head.startswith(b"POST /gathered") else _STREAM)

    def _bill(self, asked: dict[str, Any]) -> bytes:
        output = random.randint(1, asked["max_tokens"])
        question = asked["messages"][-1]["content"]
        os.write(self._book, f"{question} {_INPUT_TOKENS * INPUT_NANOS + output * OUTPUT_NANOS}\n".encode())
        return b"".join(_stream(3, output)) if asked.get("stream") else _whole(output)


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
