"""From messages to the JSON of the Chat Completions wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.chat.images import FIELD, write_image

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DETAILS", "write_messages", "write_tool_call"]

DETAILS = "reasoning_details"
_ELSEWHERE = "this provider takes images in user messages only"


def write_messages(message: Message, reasoning_field: str | None) -> Iterator[dict[str, Any]]:
    """Give a message's wire form; every tool result is a message of its own there.

    Reasoning goes into `reasoning_field`, or where it came from; without either, this server does not take it back.
    """
    parts = message.parts
    if message.extra is None and len(parts) == 1 and type(parts[0]) is TextPart and parts[0].extra is None:
        yield {"role": message.role, "content": parts[0].text}
        return
    extra = message.extra or {}
    results = [part for part in parts if isinstance(part, ToolResultPart)]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.id, "content": result.content, **(result.extra or {}), **extra}
    if len(results) == len(parts) and results:
        return
    if message.role == "tool":
        raise ConfigurationError("a tool message holds tool results only; use Message.tool(id, content)")
    wire: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.role == "assistant":
        wire |= _of_assistant(message, reasoning_field)
        if not wire["content"]:
            wire["content"] = None if len(wire) > 2 else ""  # noqa: PLR2004 - role and content
    yield {**wire, **extra}


def _content(message: Message) -> str | list[dict[str, Any]]:
    """Give the texts, and the images of a user, as one text where that says everything."""
    content: list[dict[str, Any]] = []
    plain = True
    for part in message.parts:
        if isinstance(part, TextPart):
            plain = plain and part.extra is None
            content.append({"type": "text", "text": part.text, **(part.extra or {})})
        elif isinstance(part, ImagePart) and (message.role != "assistant" or (part.extra or {}).get("field") != FIELD):
            if message.role != "user":
                raise ConfigurationError(_ELSEWHERE)
            plain = False
            content.append(write_image(part))
        elif message.role != "assistant" and isinstance(part, ToolCallPart | RefusalPart | OpaquePart):
            what = "tool calls belong" if isinstance(part, ToolCallPart) else f"a {type(part).__name__} belongs"
            raise ConfigurationError(f"{what} in assistant messages; use Message.assistant(...)")
    return message.text if plain else content


def _of_assistant(message: Message, reasoning_field: str | None) -> dict[str, Any]:
    """Give the fields that only messages of the model's own have."""
    wire: dict[str, Any] = {}
    refusals = [part.text for part in message.parts if isinstance(part, RefusalPart)]
    if refusals:
        wire["refusal"] = "".join(refusals)
    for part in message.parts:
        if isinstance(part, ReasoningPart):
            _add_reasoning(wire, part, reasoning_field)
        elif isinstance(part, ImagePart):
            wire.setdefault(FIELD, []).append(write_image(part))
        elif isinstance(part, OpaquePart):
            wire[part.kind] = _opaque(part)
    calls = [write_tool_call(part) for part in message.parts if isinstance(part, ToolCallPart)]
    if calls:
        wire["tool_calls"] = calls
    return wire


def _add_reasoning(wire: dict[str, Any], part: ReasoningPart, reasoning_field: str | None) -> None:
    extra = part.extra or {}
    into = reasoning_field or extra.get("field")
    if into is None:
        return
    if part.text and into != DETAILS:
        wire[into] = wire.get(into, "") + part.text
    if extra.get(DETAILS):
        wire[DETAILS] = [*wire.get(DETAILS, ()), *extra[DETAILS]]


def _opaque(part: OpaquePart) -> Any:
    """Say which audio of its own a model is to remember; it takes the id, and not the sounds."""
    if part.kind != "audio":
        raise ConfigurationError(f"this provider cannot be told of {part.kind!r}; leave it out of the message")
    return {"id": part.value["id"]} if isinstance(part.value, dict) and "id" in part.value else part.value


def write_tool_call(call: ToolCallPart) -> dict[str, Any]:
    """Give a tool call's wire form."""
    function: dict[str, Any] = {"name": call.name, "arguments": call.arguments}
    extra = dict(call.extra or {})
    function |= extra.pop("function", {})
    return {"id": call.id, "type": "function", "function": function, **extra}
