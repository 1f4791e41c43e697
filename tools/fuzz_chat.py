"""Feed the Chat Completions codec bytes that a coverage-guided fuzzer makes up: nothing untyped may come out.

    pip install atheris && python tools/fuzz_chat.py -max_total_time=60 [folder of inputs to start from]

Whatever it finds is written to a file `crash-...` and shown with its traceback. The options are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["inferkit.providers"]):
    from inferkit.core.errors import ConfigurationError, ProviderError
    from inferkit.providers.wires.chat.reader import ChatReader
    from inferkit.providers.wires.chat.wire import CHAT
    from inferkit.providers.wires.payload import Malformed, parse

from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.runtime import clock

if TYPE_CHECKING:
    from inferkit.core.chunks import Chunk

_KINDS = 4
_STREAM = {"content-type": "text/event-stream"}


def read(data: bytes, cut: int, *, streamed: bool) -> tuple[list[Chunk], ProviderError | None]:
    """Read a reply that comes in two pieces."""
    reader = ChatReader("acme", _STREAM if streamed else {}, streamed=streamed, reasoning_tags=("<think>", "</think>"))
    chunks: list[Chunk] = []
    for piece in (data[:cut], data[cut:]):
        if reader.failure is None and not reader.done and piece:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    return chunks, reader.failure


def check(data: bytes) -> None:
    """Read the bytes as what their first byte says: a reply, streamed or whole, a refusal, or a request."""
    if not data:
        return
    kind, data = data[0] % _KINDS, data[1:]
    if kind <= 1:
        streamed = kind == 0
        chunks, failure = read(data, len(data), streamed=streamed)
        halves, other = read(data, len(data) // 2, streamed=streamed)
        one, two = (Reply.of(each, CallRecord(clock, id="r")) for each in (chunks, halves))
        assert one == two, "another way of cutting gave another reply"
        assert type(failure) is type(other)
        one.message  # noqa: B018 - put together when it is asked for
    elif kind == 2:
        assert isinstance(CHAT.read_error("acme", 400, {}, data), ProviderError)
    else:
        with contextlib.suppress(ConfigurationError, Malformed):
            CHAT.read_request(parse(data))


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
