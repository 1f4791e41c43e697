"""From chunks to the bytes of a Chat Completions reply, as events or as one whole object: what `ChatReader` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart
from inferkit.core.reply import tool_calls
from inferkit.providers.wires.chat.images import FIELD, write_image
from inferkit.providers.wires.chat.logprobs import write_logprobs
from inferkit.providers.wires.chat.usage import write_usage
from inferkit.providers.wires.chat.write_messages import DETAILS, write_tool_call
from inferkit.providers.wires.payload import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.chunks import ToolCallDelta
    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage

__all__ = ["ChatWriter"]

_OF_CHOICE = frozenset({"logprobs", "content_filter_results", "native_finish_reason", "stop_reason"})
_OF_MESSAGE = frozenset({"annotations", FIELD})
_WORDS = {"budget": "length", "refusal": "content_filter"}
"""The wire's own words for ends that it knows under others."""
_EVENT = Chunk._fields.index("event")
_WORDS_ALONE = Chunk()[1:_EVENT]


class ChatWriter:
    """Writes one reply; see `Writer`."""

    def __init__(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wire's name
        created: int,
        streamed: bool,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self._head = {
            "id": id,
            "object": f"chat.completion{'.chunk' if streamed else ''}",
            "created": created,
            "model": model,
        }
        self._streamed = streamed
        self._about: _About | None = None if asked is None else _About(asked)
        before = write(self._head | {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]})
        self._before, _, after = (b"data: " + before).rpartition(b'""')
        self._after = after + b"\n\n"
        self._chunks: list[Chunk] = []
        self._begun = False
        self._refused = False
        self._told_logprobs = False

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        """Give the events of these chunks."""
        if not self._streamed:
            self._chunks += chunks
            return b""
        written: list[bytes] = []
        for chunk in chunks:
            if self._begun and chunk.text and chunk[1:_EVENT] == _WORDS_ALONE and not any(chunk[_EVENT + 1 :]):
                written += (self._before, write(chunk.text), self._after)  # as nearly all are
            else:
                written += self._events(chunk)
        return b"".join(written)

    def end(self) -> bytes:
        """Give the bytes that end the reply."""
        if not self._streamed:
            return write(self._whole())
        about = None if self._about is None else self._about.last()
        return (b"" if about is None else self._event(about)) + b"data: [DONE]\n\n"

    def _events(self, chunk: Chunk) -> Iterable[bytes]:
        of_choice, of_message, of_reply = _sorted_out(chunk.extra or {})
        if self._told_logprobs:
            of_choice.pop("logprobs", None)  # of the whole reply, again
        elif chunk.logprobs and "logprobs" not in of_choice:
            self._told_logprobs = True
        if chunk.logprobs and self._told_logprobs:
            of_choice["logprobs"] = write_logprobs(chunk.logprobs)
        delta = _delta(chunk) | of_message
        self._refused = self._refused or "refusal" in delta
        if not self._begun:
            self._begun = True
            empty = {} if self._about is None else {"content": None if chunk.tool_calls else ""}
            delta = {"role": "assistant", **empty, **delta}
        if delta or chunk.finish_reason or of_choice:
            reason = _reason(chunk.finish_reason, refused=self._refused)
            choice = {"index": 0, "delta": delta, "finish_reason": reason, **of_choice}
            yield self._event({"choices": [choice], **of_reply})
        if self._about is not None:
            self._about.take(chunk.usage, of_reply)
        elif chunk.usage is not None or (of_reply and not chunk.finish_reason):
            usage = {} if chunk.usage is None else {"usage": write_usage(chunk.usage)}
            yield self._event({"choices": [], **usage, **of_reply})

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + write(self._head | fields) + b"\n\n"

    def _whole(self) -> dict[str, Any]:
        usage: Usage | None = None
        reason: str | None = None
        extra: dict[str, Any] = {}
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for chunk in self._chunks:
            usage, reason = chunk.usage or usage, chunk.finish_reason or reason
            extra |= chunk.extra or {}
            for name, value in _delta(chunk).items():
                joins = isinstance(value, str | list) and message.get(name) is not None
                message[name] = message[name] + value if joins else value
        logprobs = [one for chunk in self._chunks for one in chunk.logprobs]
        if logprobs:
            extra.setdefault("logprobs", write_logprobs(logprobs))
        calls = tool_calls(self._chunks)
        if calls:
            message["tool_calls"] = [write_tool_call(call) for call in calls]
        of_choice, of_message, of_reply = _sorted_out(extra)
        reason = _reason(reason, refused="refusal" in message)
        choice = {"index": 0, "message": message | of_message, "finish_reason": reason, **of_choice}
        whole = self._head | {"choices": [choice], **of_reply}
        return whole if usage is None else whole | {"usage": write_usage(usage)}


class _About:
    """What a stream says of the whole reply: at its end, in an event without choices, and only where it was asked for.

    Programs that did not ask for it look into the choices of every event.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        options = asked.get("stream_options")
        self._wanted = isinstance(options, Mapping) and options.get("include_usage") is True
        self._usage: Usage | None = None
        self._more: dict[str, Any] = {}

    def take(self, usage: Usage | None, more: dict[str, Any]) -> None:
        """Take what a chunk says; the last that is said of the tokens holds."""
        self._usage = usage or self._usage
        self._more |= more

    def last(self) -> dict[str, Any] | None:
        """Give the fields of that event, if there is to be one."""
        if not self._wanted or self._usage is None:
            return None
        return {"choices": [], "usage": write_usage(self._usage), **self._more}


def _delta(chunk: Chunk) -> dict[str, Any]:
    """Give the fields of a message that a chunk has something for."""
    refused = any(isinstance(part, RefusalPart) and not part.text for part in chunk.parts)
    delta: dict[str, Any] = {}
    if chunk.text:
        delta["refusal" if refused else "content"] = chunk.text
    if chunk.reasoning:
        delta["reasoning_content"] = chunk.reasoning
    for part in chunk.parts:
        for name, value in _of_part(part):
            delta[name] = delta[name] + value if name in delta else value
    if chunk.tool_calls:
        delta["tool_calls"] = [_piece(call) for call in chunk.tool_calls]
    return delta


def _of_part(part: Part) -> Iterable[tuple[str, Any]]:
    """Give the fields that a part goes into."""
    if isinstance(part, ImagePart):
        yield FIELD, [write_image(part)]
    elif isinstance(part, OpaquePart):
        yield part.kind, part.value
    elif isinstance(part, TextPart | RefusalPart) and part.text:
        yield ("content" if isinstance(part, TextPart) else "refusal"), part.text
    elif isinstance(part, ReasoningPart):
        if part.text:
            yield "reasoning_content", part.text
        details = (part.extra or {}).get(DETAILS)
        if details:
            yield DETAILS, list(details)
        elif part.signature is not None:
            yield DETAILS, [{"type": "reasoning.text", "signature": part.signature}]


def _piece(call: ToolCallDelta) -> dict[str, Any]:
    kind, said = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
    called: dict[str, Any] = {said: call.arguments}
    if call.name is not None:
        called["name"] = call.name
    extra = dict(call.extra or {})
    called |= extra.pop(kind, {})
    piece: dict[str, Any] = {"index": call.index, kind: called, **extra}
    if call.id is not None:
        piece["id"] = call.id
    if call.id is not None or call.name is not None:
        piece["type"] = kind
    return piece


def _reason(reason: str | None, *, refused: bool) -> str | None:
    if refused and reason == "refusal":
        return "stop"
    return _WORDS.get(reason, reason) if reason else reason


def _sorted_out(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Say what of a reply's extra goes to its choice, to its message, and to the reply itself."""
    of_choice = {name: value for name, value in extra.items() if name in _OF_CHOICE}
    of_message = {name: value for name, value in extra.items() if name in _OF_MESSAGE}
    of_reply = {name: value for name, value in extra.items() if name not in _OF_CHOICE | _OF_MESSAGE}
    return of_choice, of_message, of_reply
