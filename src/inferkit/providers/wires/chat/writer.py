"""From chunks to the bytes of a Chat Completions reply, as events or as one whole object: what `ChatReader` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart
from inferkit.core.reply import tool_calls
from inferkit.providers.wires.chat.images import FIELD, write_image
from inferkit.providers.wires.chat.logprobs import write_logprobs
from inferkit.providers.wires.chat.usage import write_usage
from inferkit.providers.wires.chat.write_messages import DETAILS, write_tool_call
from inferkit.providers.wires.payload import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inferkit.core.chunks import Chunk, ToolCallDelta
    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage

__all__ = ["ChatWriter"]

_OF_CHOICE = frozenset({"logprobs", "content_filter_results", "native_finish_reason", "stop_reason"})
_OF_MESSAGE = frozenset({"annotations", FIELD})


class ChatWriter:
    """Writes one reply; see `Writer`."""

    def __init__(self, *, model: str, id: str, created: int, streamed: bool) -> None:  # noqa: A002 - the wire's name
        self._head = {
            "id": id,
            "object": f"chat.completion{'.chunk' if streamed else ''}",
            "created": created,
            "model": model,
        }
        self._streamed = streamed
        self._chunks: list[Chunk] = []
        self._begun = False
        self._refused = False
        self._told_logprobs = False

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        """Give the events of these chunks."""
        if not self._streamed:
            self._chunks += chunks
            return b""
        return b"".join([event for chunk in chunks for event in self._events(chunk)])

    def end(self) -> bytes:
        """Give the bytes that end the reply."""
        return b"data: [DONE]\n\n" if self._streamed else write(self._whole())

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
            delta = {"role": "assistant", **delta}
        if delta or chunk.finish_reason or of_choice:
            reason = _reason(chunk.finish_reason, refused=self._refused)
            choice = {"index": 0, "delta": delta, "finish_reason": reason, **of_choice}
            yield self._event({"choices": [choice], **of_reply})
        if chunk.usage is not None or (of_reply and not chunk.finish_reason):
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
    return "stop" if refused and reason == "refusal" else reason


def _sorted_out(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Say what of a reply's extra goes to its choice, to its message, and to the reply itself."""
    of_choice = {name: value for name, value in extra.items() if name in _OF_CHOICE}
    of_message = {name: value for name, value in extra.items() if name in _OF_MESSAGE}
    of_reply = {name: value for name, value in extra.items() if name not in _OF_CHOICE | _OF_MESSAGE}
    return of_choice, of_message, of_reply
