"""From messages to the JSON of the Chat Completions wire."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.chat.files import write_audio, write_file
from inferkit.providers.wires.chat.images import FIELD, write_image
from inferkit.providers.wires.chat.quirks import IN_CONTENT
from inferkit.providers.wires.extras import CHAT, without_foreign
from inferkit.providers.wires.payload import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.providers.wires.chat.quirks import ChatQuirks
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["DETAILS", "SIGNED", "write_messages", "write_tool_call"]

DETAILS = "reasoning_details"
SIGNED = "extra_content"
"""The field of a tool call in which Gemini has the signature of its thought."""

_ELSEWHERE = "this provider takes images, sound and files in user messages only"
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


def write_messages(
    message: Message, quirks: ChatQuirks, leave_out: LeaveOut = lambda _: None
) -> Iterator[dict[str, Any]]:
    """Give a message's wire form; every tool result is a message of its own there.

    `leave_out` is told what another wire wrote and only that understands, and what this server does not take back.

    Reasoning goes into the server's own field for it, or where it came from; without either, it is not taken back.
    Raises `ConfigurationError` for what the wire has no place for, `NotTakenError` for what this server does not take.
    """
    parts = message.parts
    if message.extra is None and len(parts) == 1 and type(parts[0]) is TextPart and parts[0].extra is None:
        yield {"role": message.role, "content": parts[0].text}
        return
    message = without_foreign(message, CHAT, leave_out)
    parts = message.parts
    extra = message.extra or {}
    results = [part for part in parts if isinstance(part, ToolResultPart)]
    for result in results:
        id_ = _id(result.id, quirks)
        yield {"role": "tool", "tool_call_id": id_, "content": result.content, **(result.extra or {}), **extra}
    if len(results) == len(parts) and results:
        return
    if message.role == "tool":
        raise ConfigurationError("a tool message holds tool results only; use Message.tool(id, content)")
    wire: dict[str, Any] = {"role": message.role, "content": _content(message, quirks)}
    if message.role == "assistant":
        wire |= _of_assistant(message, quirks, leave_out)
        if not wire["content"]:
            wire["content"] = None if len(wire) > 2 else ""  # noqa: PLR2004 - role and content
    yield {**wire, **extra}


def _content(message: Message, quirks: ChatQuirks) -> str | list[dict[str, Any]]:
    """Give the texts, and what a user shows, as one text where that says everything."""
    content: list[dict[str, Any]] = []
    plain = True
    for part in message.parts:
        if isinstance(part, TextPart):
            plain = plain and part.extra is None
            content.append({"type": "text", "text": part.text, **(part.extra or {})})
            continue
        shown = _of_model(part, quirks) if message.role == "assistant" else _of_user(part, message.role, quirks)
        if shown is not None:
            plain = False
            content.append(shown)
    return message.text if plain else content


def _of_user(part: object, role: str, quirks: ChatQuirks) -> dict[str, Any] | None:
    """Give the wire form of what is no text and not the model's own."""
    if isinstance(part, ImagePart | AudioPart | FilePart):
        if role != "user":
            raise ConfigurationError(_ELSEWHERE)
        return _medium(part, quirks)
    if isinstance(part, ToolCallPart | RefusalPart | OpaquePart):
        what = "tool calls belong" if isinstance(part, ToolCallPart) else f"a {type(part).__name__} belongs"
        raise ConfigurationError(f"{what} in assistant messages; use Message.assistant(...)")
    return None


def _medium(part: ImagePart | AudioPart | FilePart, quirks: ChatQuirks) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return write_image(part)
    if isinstance(part, AudioPart):
        if quirks.audio is None:
            raise NotTakenError("sound")
        return write_audio(part, plain=quirks.audio == "plain")
    if quirks.files is None:
        raise NotTakenError("files")
    if part.url is not None and not quirks.file_urls:
        raise NotTakenError("the address of a file; pass its data=")
    if part.file_id is not None and quirks.files != "file":
        raise NotTakenError("the file_id of a file; pass its url= or data=")
    return write_file(part, as_url=quirks.files == "document_url")


def _of_model(part: object, quirks: ChatQuirks) -> dict[str, Any] | None:
    """Give what stands among the texts of the model's own message: images in the form of a user's, and thoughts."""
    if isinstance(part, ImagePart) and (part.extra or {}).get("field") != FIELD:
        raise ConfigurationError(_ELSEWHERE)
    if isinstance(part, AudioPart | FilePart):
        raise ConfigurationError(_ELSEWHERE)
    if not isinstance(part, ReasoningPart) or not part.text or _field_of(part, quirks) != IN_CONTENT:
        return None
    more = {name: value for name, value in (part.extra or {}).items() if name not in {"field", DETAILS}}
    return {"type": "thinking", "thinking": [{"type": "text", "text": part.text}], **more}


def _of_assistant(message: Message, quirks: ChatQuirks, leave_out: LeaveOut) -> dict[str, Any]:
    """Give the fields that only messages of the model's own have."""
    wire: dict[str, Any] = {}
    refusals = [part.text for part in message.parts if isinstance(part, RefusalPart)]
    if refusals:
        wire["refusal"] = "".join(refusals)
    for part in message.parts:
        if isinstance(part, ReasoningPart):
            _add_reasoning(wire, part, quirks, leave_out)
        elif isinstance(part, ImagePart):
            wire.setdefault(FIELD, []).append(write_image(part))
        elif isinstance(part, OpaquePart):
            wire[part.kind] = _opaque(part)
    calls = [_call(part, quirks, leave_out) for part in message.parts if isinstance(part, ToolCallPart)]
    if calls:
        wire["tool_calls"] = calls
    return wire


def _field_of(part: ReasoningPart, quirks: ChatQuirks) -> str | None:
    into = quirks.reasoning_field or (part.extra or {}).get("field")
    return None if into in quirks.without else into


def _add_reasoning(wire: dict[str, Any], part: ReasoningPart, quirks: ChatQuirks, leave_out: LeaveOut) -> None:
    into, details = _field_of(part, quirks), (part.extra or {}).get(DETAILS)
    takes_details = into is not None and DETAILS not in quirks.without
    if (part.text and into is None) or (details and not takes_details):
        leave_out("reasoning")
    if part.text and into not in {None, DETAILS, IN_CONTENT}:
        wire[into] = wire.get(into, "") + part.text
    if details and takes_details:
        wire[DETAILS] = [*wire.get(DETAILS, ()), *details]


def _opaque(part: OpaquePart) -> Any:
    """Say which audio of its own a model is to remember; it takes the id, and not the sounds."""
    if part.kind != "audio":
        raise ConfigurationError(f"this provider cannot be told of {part.kind!r}; leave it out of the message")
    return {"id": part.value["id"]} if isinstance(part.value, dict) and "id" in part.value else part.value


def _call(call: ToolCallPart, quirks: ChatQuirks, leave_out: LeaveOut) -> dict[str, Any]:
    wire = write_tool_call(call)
    wire["id"] = _id(call.id, quirks)
    if SIGNED in quirks.without and wire.pop(SIGNED, None) is not None:
        leave_out(SIGNED)
    return wire


def _id(id_: str, quirks: ChatQuirks) -> str:
    """Give a tool call's id as the server takes it; one that comes from elsewhere is made anew, always the same."""
    if not quirks.short_call_ids or _SHORT_ID.fullmatch(id_):
        return id_
    number = int.from_bytes(blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    letters = ""
    for _ in range(9):
        number, place = divmod(number, len(_LETTERS))
        letters += _LETTERS[place]
    return letters


def write_tool_call(call: ToolCallPart) -> dict[str, Any]:
    """Give a tool call's wire form."""
    extra = dict(call.extra or {})
    if call.kind == "custom":
        custom = {"name": call.name, "input": call.arguments, **extra.pop("custom", {})}
        return {"id": call.id, "type": "custom", "custom": custom, **extra}
    function: dict[str, Any] = {"name": call.name, "arguments": call.arguments}
    function |= extra.pop("function", {})
    return {"id": call.id, "type": "function", "function": function, **extra}
