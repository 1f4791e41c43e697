"""How many tokens a request can come to, before it is sent, as an upper bound; and what tells how many it was.

A byte-level tokenizer makes at most one token of a byte, so the UTF-8 length of what is sent, with room for the markers
around each message, is never exceeded. Typical English text has four bytes a token: the bound is four times too high
there, which a reservation may be, since it is given back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import (
    AudioPart,
    CustomTool,
    FilePart,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.pricing.habits import USES
from inferkit.pricing.images import MOST_IMAGE_TOKENS, image_tokens_bound
from inferkit.pricing.text_kinds import NOTHING, count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.messages import Message, Part, Tool
    from inferkit.core.request import Request
    from inferkit.core.usage import Usage
    from inferkit.pricing.habits import Habits, Model
    from inferkit.pricing.text_kinds import Counts

__all__ = ["HELD", "Seen", "has_images", "input_tokens_bound", "is_plain", "leave", "unscaled_tokens", "utf8_length"]

HELD = 16_384
"""Characters of a reply after which they are counted, so that no more than that is kept of a reply."""


_SAMPLE = 1200  # characters of a text that is learned from
_PIECES = 4  # that they are in
_EVERY = 2  # calls, of which one is learned from as long as nobody needs an estimate
_FILE_TOKENS = 1_000_000  # of a file whose size is not known here: as much as the largest windows hold
_AUDIO_BYTES = 4  # a token: 32 a second is the most that is counted, and speech is not coded below 1,000 bits a second

_REQUEST_TOKENS = 64
_MESSAGE_TOKENS = 16
_PART_TOKENS = 8
_TOOL_TOKENS = 64


def utf8_length(text: str) -> int:
    """Length in bytes; free of charge for plain ASCII."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def input_tokens_bound(request: Request, model: str = "") -> int:
    """Give a number of input tokens that the request cannot exceed on a model; without one, on any.

    What is in the input by reference alone (see `Terms.unmeasured`) is not counted, but for files.
    """
    total = _REQUEST_TOKENS
    for message in request.messages:
        total += _message_bound(message, model)
    if request.tools:
        total += sum(map(_tool_bound, request.tools))
    if request.response_schema is not None:
        total += _TOOL_TOKENS + _json_length(request.response_schema)
    if request.extra:
        total += _extra_bound(request)
    return total


def _extra_bound(request: Request) -> int:
    """Bound what `extra` adds to the input; to that of an embedding with each of its texts."""
    length = _json_length(request.extra)
    return length * len(request.messages) if request.operation == "embed" else length


def unscaled_tokens(request: Request, model: str = "") -> int:
    """Give the part of `input_tokens_bound` that is not the length of a text: markers, images, and what is `extra`."""
    total = _REQUEST_TOKENS
    for message in request.messages:
        total += _MESSAGE_TOKENS
        for part in message.parts:
            if isinstance(part, TextPart | ReasoningPart | RefusalPart | OpaquePart):
                total += _PART_TOKENS
            elif isinstance(part, ImagePart | AudioPart | FilePart):
                total += _media_bound(part, model)
            else:
                total += _TOOL_TOKENS
    total += _TOOL_TOKENS * (len(request.tools) + (request.response_schema is not None))
    return total + _extra_bound(request) if request.extra else total


def has_images(request: Request) -> bool:
    """Whether part of the input is not text."""
    media = (ImagePart, AudioPart, FilePart)
    return any(isinstance(part, media) for message in request.messages for part in message.parts)


def is_plain(request: Request) -> bool:
    """Whether a request is made of nothing but what counts as its text here, as most are, and asks for nothing more."""
    if request.extra or request.prediction is not None:
        return False
    for message in request.messages:
        if message.extra:
            return False
        for part in message.parts:
            if type(part) is TextPart and not part.extra:
                continue
            if isinstance(part, OpaquePart | AudioPart | FilePart) or part.extra:
                return False
    return not request.tools or not any(tool.extra for tool in request.tools)


def _message_bound(message: Message, model: str) -> int:
    total = _MESSAGE_TOKENS
    for part in message.parts:
        total += _part_bound(part, model)
    return total if message.extra is None else total + _json_length(message.extra)


def _part_bound(part: Part, model: str) -> int:
    if isinstance(part, OpaquePart):
        return _PART_TOKENS + _json_length(part.value)
    extra = 0 if part.extra is None else _json_length(part.extra)
    if isinstance(part, ImagePart | AudioPart | FilePart):
        return _media_bound(part, model) + extra
    if isinstance(part, ToolCallPart):
        return _TOOL_TOKENS + utf8_length(part.id) + utf8_length(part.name) + utf8_length(part.arguments) + extra
    if isinstance(part, ToolResultPart):
        return _TOOL_TOKENS + utf8_length(part.id) + utf8_length(part.content) + extra
    if isinstance(part, ReasoningPart) and part.signature is not None:
        extra += utf8_length(part.signature)
    return _PART_TOKENS + utf8_length(part.text) + extra


def _media_bound(part: ImagePart | AudioPart | FilePart, model: str) -> int:
    """Bound what is no text. A file's pages are text, which is packed in it, and may be pictures as well."""
    if isinstance(part, ImagePart):
        return _PART_TOKENS + image_tokens_bound(part, model)
    if isinstance(part, AudioPart):
        return _PART_TOKENS + len(part.data) // _AUDIO_BYTES
    return _FILE_TOKENS if part.data is None else min(_FILE_TOKENS, MOST_IMAGE_TOKENS + 2 * len(part.data))


def _tool_bound(tool: Tool | CustomTool) -> int:
    total = _TOOL_TOKENS + utf8_length(tool.name) + utf8_length(tool.description)
    total += utf8_length(tool.grammar or "") if isinstance(tool, CustomTool) else _json_length(tool.parameters)
    return total if tool.extra is None else total + _json_length(tool.extra)


def _json_length(value: Any) -> int:
    return utf8_length(json.dumps(value, default=str, ensure_ascii=False))


class Seen:
    """What was seen of a reply: `chars` characters in so many `chunks`; the last of its texts are in `pieces`.

    `reasoning` is how many of the characters were no answer yet, `reported_at` how many had come when the provider
    reported its usage last.
    """

    __slots__ = ("_after", "_counts", "chars", "chunks", "pieces", "reasoning", "reported_at")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.chars = self.chunks = self.reasoning = self.reported_at = 0
        self._counts: Counts | None = None
        self._after = b""

    def sample(self) -> str | Counts:
        """Give some of what came, or its counts where it was counted in part."""
        return self.counts() if self._counts else _sample("".join(self.pieces))

    def counts(self) -> Counts:
        """Count what came since this was asked last, and give what came in all."""
        counts = self._counts or NOTHING
        if self.pieces:
            text = "".join(self.pieces).encode("utf-8", "surrogatepass")
            self.pieces.clear()
            new = count(text, self._after)
            self._after = text[-1:]
            self._counts = counts = tuple([old + more for old, more in zip(counts, new, strict=True)])
        return counts


def leave(
    models: Mapping[Model, Habits], request: Request, usage: Usage, seen: Seen, *, seconds: float, waited: float
) -> None:
    """Leave what a settled call can teach of its model: that it took so many seconds, and `waited` for the first chunk.

    Every call comes by here, and few need an estimate: so it is learned from when one does.
    """
    known = models[request.provider or "", request.model]
    known.settled += 1
    known.used = next(USES)
    taught = known.taught
    if len(taught) == taught.maxlen and known.settled % _EVERY:
        return
    asked: list[str] = []
    plain = not request.tools and request.response_schema is None
    for message in request.messages if plain else ():
        for part in message.parts:
            plain = plain and type(part) is TextPart
            asked.append(part.text if type(part) is TextPart else "")
    text = "\n".join(asked) if plain else ""
    hidden = 0 if seen.reasoning else min(usage.reasoning_tokens, usage.output_tokens)
    taught.append(
        (
            usage.output_tokens - hidden, hidden, seconds, waited, seen.chunks if request.stream else 0,
            seen.sample(), seen.chars, usage.input_tokens, len(request.messages), _sample(text), len(text),
        )
    )  # fmt: skip


def _sample(text: str) -> str:
    size = len(text)
    if size <= _SAMPLE:
        return text
    piece = _SAMPLE // _PIECES
    starts = range(0, size - piece + 1, (size - piece) // (_PIECES - 1))
    return "".join([text[start : start + piece] for start in starts])
