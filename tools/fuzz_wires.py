"""Feed a wire's codec bytes that a coverage-guided fuzzer makes up: nothing untyped may come out, and nothing slow.

    pip install atheris && python tools/fuzz_wires.py gemini -max_total_time=60 [folder of inputs to start from]

The wires are chat, responses, anthropic and gemini. Whatever it finds is written to a file `crash-...`, `timeout-...`
or `slow-unit-...` and shown with its traceback. The options are libFuzzer's. It starts from replies in the wire's own
form.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import atheris

with atheris.instrument_imports(include=["inferkit.providers"]):
    from inferkit.core.errors import ConfigurationError, ProviderError
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
    from inferkit.providers.wires.chat.quirks import ChatQuirks
    from inferkit.providers.wires.chat.wire import CHAT
    from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
    from inferkit.providers.wires.payload import Malformed, parse, write
    from inferkit.providers.wires.responses.wire import RESPONSES_WIRE

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIRES: dict[str, Any] = {
    "anthropic": ANTHROPIC_WIRE,
    "chat": CHAT,
    "gemini": GEMINI_WIRE,
    "responses": RESPONSES_WIRE,
}
_TAGGED = Endpoint("acme", "https://acme.test/v1", quirks=ChatQuirks(reasoning_tags=("<think>", "</think>")))
_BARE = Endpoint("acme", "https://acme.test/v1")
_KINDS = 4  # of what the first byte has the others be: a streamed reply, a whole one, a refusal, a request


def read(wire: Any, data: bytes, cut: int, *, streamed: bool) -> tuple[list[Chunk], ProviderError | None]:
    """Read a reply that comes in two pieces."""
    endpoint = _TAGGED if wire is CHAT else _BARE
    reader = wire.reader(endpoint, {"content-type": "text/event-stream"} if streamed else {}, streamed=streamed)
    chunks: list[Chunk] = []
    for piece in (data[:cut], data[cut:]):
        if reader.failure is None and not reader.done and piece:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    return chunks, reader.failure


def checker(wire: Any) -> Callable[[bytes], None]:
    """Make what checks one input of a wire."""

    def check(data: bytes) -> None:
        if not data:
            return
        kind, data = data[0] % _KINDS, data[1:]
        if kind <= 1:
            streamed = kind == 0
            chunks, failure = read(wire, data, len(data), streamed=streamed)
            halves, other = read(wire, data, len(data) // 2, streamed=streamed)
            one, two = (Reply.of(each, CallRecord(clock, id="r")) for each in (chunks, halves))
            assert one == two, "another way of cutting gave another reply"
            assert type(failure) is type(other)
            one.message  # noqa: B018 - put together when it is asked for
        elif kind == 2:
            assert isinstance(wire.read_error("acme", 400, {}, data), ProviderError)
        else:
            with contextlib.suppress(ConfigurationError, Malformed):
                wire.read_request(parse(data))

    return check


def seeds(wire: Any) -> Iterator[bytes]:
    """Give inputs to start from: replies as the wire writes them, cut and whole, and a request."""
    said = [
        Chunk("Hello", reasoning="So", usage=Usage(20, 9)),
        Chunk(" world"),
        Chunk(tool_calls=(ToolCallDelta(0, "c0", "find", '{"id": 7}'), ToolCallDelta(1, "c1", "now", "{}"))),
        Chunk(finish_reason="tool_calls", usage=Usage(20, 12)),
    ]
    for chunks in (said, said[:2], [*said[:2], Chunk(finish_reason="stop")]):
        for kind, streamed in ((b"\0", True), (b"\1", False)):
            writer = wire.writer(model="m", id="r1", created=1_790_000_000, streamed=streamed)
            whole = writer.write(chunks) + writer.end()
            yield kind + whole
            yield kind + whole[: len(whole) * 2 // 3]
    yield b'\2{"error": {"type": "overloaded_error", "code": 503, "status": "UNAVAILABLE", "message": "busy"}}'
    if wire is GEMINI_WIRE:
        growing = {"jsonPath": "$.a.b[0]", "stringValue": "x", "willContinue": True}
        for call in ({"name": "f", "willContinue": True, "partialArgs": [growing]}, {}):
            yield b"\0data: " + write({"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}) + b"\n\n"
    hi = [{"role": "user", "content": "Hi"}]
    conversations: dict[str, Any] = {
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "systemInstruction": {"parts": []}},
        "responses": {"model": "m", "input": hi, "instructions": "Be brief.", "tools": []},
    }
    yield b"\3" + write(conversations.get(wire.name, {"model": "m", "messages": hi, "max_tokens": 5, "tools": []}))


def main() -> None:
    """Fuzz the wire that the first argument names."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in WIRES:
        sys.exit(f"the first argument is a wire: {', '.join(WIRES)}")
    with tempfile.TemporaryDirectory() as folder:
        for place, seed in enumerate(seeds(WIRES[name])):
            Path(folder, str(place)).write_bytes(seed)
        atheris.Setup([*sys.argv, folder], checker(WIRES[name]))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
