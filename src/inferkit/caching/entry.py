"""What is kept of a reply, and its form on disk.

An entry is made to be replayed: pieces that arrived token by token are merged into a few larger ones, so a hit costs
the same however finely the provider cut its stream. Text, reasoning, tool calls, finish reason and usage stay; the
provider's raw events and headers do not. The form on disk is JSON behind a checksum that covers the key too: a
damaged row, one moved to another key, or one of another version is no entry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk, ToolCallDelta, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Entry", "condense", "decode", "encode"]

_MAGIC = b"inferkit-cache-1"
_DIGEST = 16
_HEAD = len(_MAGIC) + _DIGEST
_PIECES = 16
_PIECE_CHARACTERS = 64
_CHUNK_BYTES = 250  # what a chunk takes in memory besides its text


@dataclass(frozen=True, slots=True)
class Entry:
    """A reply that ended cleanly.

    `stored_at` is in seconds since the epoch, `cost_nanos` what the call cost in nano-dollars (0 where unknown).
    `provider` and `model` name the target that served it, `response_model` and `response_id` are what the provider
    itself said.
    """

    chunks: tuple[Chunk, ...]
    stored_at: float
    cost_nanos: int = 0
    provider: str = ""
    model: str = ""
    response_model: str | None = None
    response_id: str | None = None

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory, in bytes; text counts two bytes a character."""
        return 2 * sum(map(characters, self.chunks)) + _CHUNK_BYTES * (2 + len(self.chunks))


def characters(chunk: Chunk) -> int:
    """Count the characters that a chunk carries."""
    count = len(chunk.text) + len(chunk.reasoning)
    for call in chunk.tool_calls:
        count += len(call.arguments) + len(call.id or "") + len(call.name or "")
    return count


def condense(chunks: Sequence[Chunk]) -> tuple[Chunk, ...]:
    """Merge the pieces of a reply into about sixteen, in their order; the last carries finish reason and usage.

    Of several reports of usage, or of a finish reason, the last one holds.
    """
    merger = _Merger(max(_PIECE_CHARACTERS, sum([len(chunk.text) for chunk in chunks]) // _PIECES))
    finish_reason, usage = None, None
    for chunk in chunks:
        if chunk.reasoning:
            merger.add("reasoning", chunk.reasoning)
        if chunk.text:
            merger.add("text", chunk.text)
        for call in chunk.tool_calls:
            merger.add_call(call)
        finish_reason = chunk.finish_reason or finish_reason
        usage = chunk.usage or usage
    merger.flush()
    return (*merger.merged, Chunk(finish_reason=finish_reason, usage=usage))


class _Merger:
    """Joins runs of the same kind until they are large enough."""

    def __init__(self, size: int) -> None:
        self.merged: list[Chunk] = []
        self._size = size
        self._kind: object = None
        self._call: ToolCallDelta | None = None
        self._parts: list[str] = []
        self._length = 0

    def add(self, kind: object, text: str) -> None:
        if kind != self._kind or self._length >= self._size:
            self.flush()
            self._kind = kind
        self._parts.append(text)
        self._length += len(text)

    def add_call(self, call: ToolCallDelta) -> None:
        if call.id is not None or call.name is not None:
            self.flush()
        self.add(call.index, call.arguments)
        if self._call is None:
            self._call = call

    def flush(self) -> None:
        text, call = "".join(self._parts), self._call
        if call is not None:
            piece = ToolCallDelta(call.index, call.id, call.name, text)
            self.merged.append(Chunk(tool_calls=(piece,)))
        elif self._kind == "text":
            self.merged.append(Chunk(text=text))
        elif self._kind == "reasoning":
            self.merged.append(Chunk(reasoning=text))
        self._kind = self._call = None
        self._parts = []
        self._length = 0


_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode(entry: Entry, key: bytes) -> bytes:
    """Write an entry as bytes that `decode` takes back under the same key only."""
    chunks = [_chunk_to_plain(chunk) for chunk in entry.chunks]
    served = [entry.provider, entry.model, entry.response_model, entry.response_id]
    payload = _to_json([entry.stored_at, entry.cost_nanos, served, chunks]).encode("ascii")
    return _MAGIC + _checksum(payload, key) + payload


def decode(data: bytes, key: bytes) -> Entry | None:
    """Read an entry back; None where the bytes are not one, whatever else they are."""
    payload = data[_HEAD:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : _HEAD] != _checksum(payload, key):
        return None
    try:
        stored_at, cost_nanos, served, chunks = json.loads(payload)
        provider, model, response_model, response_id = _expect(served, list)
        return Entry(
            tuple(_chunk(plain) for plain in _expect(chunks, list)),
            stored_at=_expect(stored_at, float),
            cost_nanos=_expect(cost_nanos, int),
            provider=_expect(provider, str),
            model=_expect(model, str),
            response_model=_text_or_none(response_model),
            response_id=_text_or_none(response_id),
        )
    except (ValueError, TypeError, RecursionError):
        return None


def _checksum(payload: bytes, key: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST, key=key).digest()


def _chunk_to_plain(chunk: Chunk) -> Any:
    if chunk.tool_calls or chunk.reasoning or chunk.finish_reason is not None or chunk.usage is not None:
        calls = [[call.index, call.id, call.name, call.arguments] for call in chunk.tool_calls]
        return [chunk.text, chunk.reasoning, calls, chunk.finish_reason, _usage_to_plain(chunk.usage)]
    return chunk.text  # most chunks


def _usage_to_plain(usage: Usage | None) -> Any:
    if usage is None:
        return None
    return [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    ]


def _chunk(plain: Any) -> Chunk:
    if type(plain) is str:
        return Chunk(plain)
    text, reasoning, calls, finish_reason, usage = _expect(plain, list)
    return Chunk(
        text=_expect(text, str),
        reasoning=_expect(reasoning, str),
        tool_calls=tuple(_call(call) for call in _expect(calls, list)),
        finish_reason=_text_or_none(finish_reason),
        usage=None if usage is None else _usage(_expect(usage, list)),
    )


def _call(plain: Any) -> ToolCallDelta:
    index, id_, name, arguments = _expect(plain, list)
    return ToolCallDelta(_expect(index, int), _text_or_none(id_), _text_or_none(name), _expect(arguments, str))


def _usage(plain: Iterable[Any]) -> Usage:
    *counts, estimated = plain
    one, two, three, four, five = (_expect(count, int) for count in counts)
    return Usage(one, two, three, four, five, _expect(estimated, bool))


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:  # a bool is no int here
        raise TypeError
    return value


def _text_or_none(value: Any) -> str | None:
    if value is not None and type(value) is not str:
        raise TypeError
    return value
