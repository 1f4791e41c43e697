"""What comes out of a call: chunks of the reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage

__all__ = ["Chunk", "Origin", "Restart", "TextChunk", "TokenLogprob", "ToolCallDelta", "since_restart"]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. The first piece of an `index` carries `id` and `name`; `arguments` pieces join up.

    `extra` is what only the provider understands of the call, to be sent back with it; `kind` says what is called, as
    that of `ToolCallPart` does.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = field(default="", repr=False)
    extra: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    kind: str = "function"


class TokenLogprob(NamedTuple):
    """How likely the model found a token that it wrote, as a natural logarithm: 0 is certain.

    `top` has the likeliest tokens in its place with their own, where they were asked for.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()

    def __repr__(self) -> str:
        """Say how likely, not what."""
        return f"TokenLogprob(logprob={self.logprob!r}, top={len(self.top)})"


class Chunk(NamedTuple):
    """A piece of a reply, as it comes. A named tuple, because one is made for every token.

    `finish_reason` (an open set: "stop", "length", "tool_calls", "content_filter", "budget", ...) and `usage` come
    with the last pieces. `event` is what the provider sent, as its bytes or as an object; read it as `raw`. `parts`
    come after the chunk's reasoning and text, and each is whole: an image, or a text or reasoning part without
    words, which seals those that came before it with its signature and extra. A `RefusalPart` without words says
    that the chunk's text is one; with an extra it seals too. `extra` is what else the provider says of the whole
    reply (citations, logprobs, its service tier), under its own names; a later one holds. `logprobs` says of tokens
    how likely they were, where that was asked for; a reply from the cache has them all with its last chunk.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    event: Any = None
    parts: tuple[Part, ...] = ()
    extra: Mapping[str, Any] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()

    def __repr__(self) -> str:
        """Say what the chunk carries, not its words."""
        return f"Chunk({len(self.text)} characters, finish_reason={self.finish_reason!r}, usage={self.usage!r})"

    @property
    def raw(self) -> Any:
        """The provider's own event: its JSON, read each time that somebody asks, or what is no JSON as it came."""
        event = b"".join(self.event) if isinstance(self.event, tuple) else self.event
        if not isinstance(event, bytes):
            return event
        import json

        try:
            return json.loads(event)
        except ValueError:
            return event

    @property
    def restarts(self) -> bool:
        """Whether what came before is void: it was no valid object, and the model writes it anew (`repair=`)."""
        return type(self) is Restart

    @property
    def has_content(self) -> bool:
        """Whether it carries something of the reply itself, and does not only tell about it."""
        return bool(self.text or self.reasoning or self.tool_calls or self.parts)

    @property
    def size(self) -> int:
        """How many characters it carries, the provider's own `event` apart."""
        count = len(self.text) + len(self.reasoning)
        for call in self.tool_calls:
            count += len(call.arguments) + len(call.id or "") + len(call.name or "")
            if call.extra:
                count += _size(call.extra)
        if self.parts or self.extra or self.logprobs:
            count += _size(self.parts) + _size(self.extra) + _size(self.logprobs)
        return count


class Restart(Chunk):
    """Says that what came before is void. A kind of its own, so that no other chunk carries a field for it."""

    __slots__ = ()


class Origin(Protocol):
    """What chunks of text were read from, several at a time, each of which has its place there."""

    def event(self, place: int, /) -> Any:
        """Give what the provider sent."""

    def usage(self, place: int, /) -> Usage | None:
        """Give what was counted by then."""


class TextChunk(Chunk):
    """A chunk of text and nothing else, whose `event` and `usage` are put together when somebody asks for them.

    Nearly nobody does, and they would take as long to make as the rest of it. It is made of its text, its `Origin` and
    its place there, and nothing more is stored in it; whatever looks at it sees a chunk like any other.
    """

    __slots__ = ()

    reasoning = ""
    tool_calls = ()
    finish_reason = None
    parts = ()
    extra = None
    logprobs = ()

    @property
    def usage(self) -> Usage | None:
        """What was counted by then."""
        origin: Origin = _item(self, _ORIGIN)
        return origin.usage(_item(self, _PLACE))

    @property
    def event(self) -> Any:
        """What the provider sent."""
        origin: Origin = _item(self, _ORIGIN)
        return origin.event(_item(self, _PLACE))

    @property
    def whole(self) -> Chunk:
        """The same chunk with all that is in it."""
        return Chunk(_item(self, 0), usage=self.usage, event=self.event)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be copied with all that is in it."""
        return Chunk, tuple(self.whole)


def _as_whole(name: str) -> Callable[..., Any]:
    method = getattr(Chunk, name)

    def asked(self: TextChunk, *given: Any, **options: Any) -> Any:
        return method(self.whole, *[each.whole if type(each) is TextChunk else each for each in given], **options)

    return asked


for _name in (
    "__add__", "__contains__", "__eq__", "__ge__", "__getitem__", "__getnewargs__", "__gt__", "__hash__", "__iter__",
    "__le__", "__len__", "__lt__", "__mul__", "__ne__", "__rmul__", "_asdict", "_replace", "count", "index",
):  # fmt: skip
    setattr(TextChunk, _name, _as_whole(_name))
_item = tuple.__getitem__
_ORIGIN, _PLACE = 1, 2


def since_restart(chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """Leave out what a later chunk said is void."""
    for place in range(len(chunks) - 1, -1, -1):
        if type(chunks[place]) is Restart:
            return chunks[place + 1 :]
    return chunks


def _size(value: Any) -> int:
    """Count the characters of plain data, and of parts."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(name) + _size(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    if is_dataclass(value):
        return sum(_size(getattr(value, each.name)) for each in fields(value) if each.name != "wire")
    return 0 if value is None else 8
