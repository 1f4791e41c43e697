"""What is kept of a reply, and its form on disk.

An entry is made to be replayed: pieces that arrived token by token are merged into a few larger ones, so a hit costs
the same however finely the provider cut its stream. All that a chunk carries stays, in its order, but for the
provider's raw events; its headers are not kept either.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, chain, compress, count
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.body import TextBatch
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import RefusalPart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.body import Batch
    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage

__all__ = ["CachedReply", "Recording", "condense"]

T = TypeVar("T")

_NONE: tuple[tuple[Any, ...], ...] = ((),) * len(Chunk._fields)
_PIECES = 16
_PIECE_CHARACTERS = 64
_CHUNK_BYTES = 250  # what a chunk takes in memory besides its text


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A reply that ended cleanly.

    `stored_at` is in seconds since the epoch, `cost_nanos` what the call cost in nano-dollars (0 where unknown).
    `provider` and `model` name the target that served it, `response_model` and `response_id` are what the provider
    itself said. `tags` are those of the call that it was kept for.
    """

    chunks: tuple[Chunk, ...]
    stored_at: float
    cost_nanos: int = 0
    provider: str = ""
    model: str = ""
    response_model: str | None = None
    response_id: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory, in bytes; text counts two bytes a character."""
        characters = 0
        for chunk in self.chunks:
            plain = not (chunk.reasoning or chunk.tool_calls or chunk.parts or chunk.extra)
            characters += len(chunk.text) if plain else chunk.size
        return 2 * characters + _CHUNK_BYTES * (2 + len(self.chunks))


class Recording:
    """Keeps the chunks of a reply as they pass, until they are too many; they pass as they are.

    Of the first of them it is known that they bring text and nothing else, but for what they count, and so need no
    second look: `texts` are theirs, and `usage` what they counted last.
    """

    __slots__ = ("_room", "chunks", "texts", "usage")

    def __init__(self, room: int) -> None:
        self.chunks: list[Chunk] = []
        self.texts: list[str] = []
        self.usage: Usage | None = None
        self._room = room

    def add(self, chunk: Chunk) -> Chunk:
        """Keep one chunk."""
        if self._room >= 0:
            plain = not (chunk.reasoning or chunk.tool_calls or chunk.parts or chunk.extra)
            self._room -= len(chunk.text) if plain else chunk.size
            if plain and chunk.finish_reason is None and not chunk.logprobs and len(self.texts) == len(self.chunks):
                self.texts.append(chunk.text)
                self.usage = chunk.usage or self.usage
            self.chunks.append(chunk)
            if self._room < 0:
                self.chunks, self.texts = [], []
        return chunk

    def add_all(self, batch: Batch) -> Batch | None:
        """Keep several, if the first are plain text that leaves room; else None, and none is kept."""
        if type(batch) is not TextBatch or batch.texts is None:
            return None
        room = self._room - len("".join(batch.texts))
        if room < 0:
            return None
        self._room = room
        if len(self.texts) == len(self.chunks):
            self.texts += batch.texts
            self.usage = batch.usage or self.usage
        self.chunks += batch[: len(batch.texts)]
        for chunk in batch[len(batch.texts) :]:
            self.add(chunk)
        return batch


def condense(chunks: Sequence[Chunk], texts: Sequence[str] = (), usage: Usage | None = None) -> tuple[Chunk, ...]:
    """Merge the pieces of a reply into about sixteen, in their order; the last carries what is said of the whole reply.

    Of several reports of usage, or of a finish reason, the last one holds. `texts` are those of the first chunks where
    these are known to bring nothing else but usage, the last of which is `usage`.
    """
    if not chunks:
        return (Chunk(),)
    rest = chunks[len(texts) :]
    more, reasoning, calls, reasons, usages, _, parts, extras, logprobs = zip(*rest, strict=True) if rest else _NONE
    extra: dict[str, Any] = {}
    for said in filter(None, extras):
        extra |= said
    last = Chunk(
        finish_reason=_last(reasons),
        usage=_last(usages) or usage,
        extra=extra or None,
        logprobs=tuple(chain.from_iterable(logprobs)),
    )
    size = max(_PIECE_CHARACTERS, (len("".join(texts)) + len("".join(more))) // _PIECES)
    plain = min([next(compress(count(), said), len(rest)) for said in (reasoning, calls, parts)])
    others = _condensed(rest[plain:], _Merger(size)) if plain < len(rest) else ()
    return (*map(Chunk, _merged([*texts, *more[:plain]], size)), *others, last)


def _merged(texts: Sequence[str], size: int) -> list[str]:
    """Merge the pieces of a text into fewer, of `size` characters or few more; none begins in the middle of one."""
    ends = list(accumulate(map(len, texts)))
    merged: list[str] = []
    begin = 0
    while begin < len(texts):
        end = bisect_left(ends, size + (ends[begin - 1] if begin else 0), begin) + 1
        merged.append("".join(texts[begin:end]))
        begin = end
    return [text for text in merged if text]


def _last(said: Sequence[T | None]) -> T | None:
    """Give the last of what was said, where something was."""
    return next(filter(None, reversed(said)), None)


def _condensed(chunks: Sequence[Chunk], merger: _Merger) -> list[Chunk]:
    for chunk in chunks:
        if chunk.reasoning:
            merger.add("reasoning", chunk.reasoning)
        if chunk.text:
            refused = chunk.parts and any(isinstance(part, RefusalPart) for part in chunk.parts)
            merger.add("refusal" if refused else "text", chunk.text)
        if chunk.parts:
            merger.add_parts(tuple(part for part in chunk.parts if part != _REFUSED))
        for call in chunk.tool_calls:
            merger.add_call(call)
    merger.flush()
    return merger.merged


_REFUSED = RefusalPart("")


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

    def add_parts(self, parts: tuple[Part, ...]) -> None:
        if parts:
            self.flush()
            self.merged.append(Chunk(parts=parts))

    def add_call(self, call: ToolCallDelta) -> None:
        if call.id is not None or call.name is not None or call.extra is not None:
            self.flush()
        self.add(call.index, call.arguments)
        if self._call is None:
            self._call = call

    def flush(self) -> None:
        text, call = "".join(self._parts), self._call
        if call is not None:
            piece = ToolCallDelta(call.index, call.id, call.name, text, call.extra, call.kind)
            self.merged.append(Chunk(tool_calls=(piece,)))
        elif self._kind == "text":
            self.merged.append(Chunk(text=text))
        elif self._kind == "refusal":
            self.merged.append(Chunk(text=text, parts=(_REFUSED,)))
        elif self._kind == "reasoning":
            self.merged.append(Chunk(reasoning=text))
        self._kind = self._call = None
        self._parts = []
        self._length = 0
