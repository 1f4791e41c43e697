"""From messages to the JSON of the Anthropic wire."""

from __future__ import annotations

import base64
import json
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.extras import ANTHROPIC, is_foreign, own
from inferkit.providers.wires.payload import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.core.messages import Message, Part
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["is_own_reasoning", "write_messages", "write_system"]

INVALID = "INVALID_JSON"
"""Where the wire wants arguments that are no JSON."""

_DATA_URL = re.compile(r"data:([^,;]+)(?:;[^,;]+)*;base64,(.*)", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PDF = "application/pdf"


def write_system(messages: Iterable[Message]) -> str | list[dict[str, Any]] | None:
    """Give what system messages say, wherever they stand: this wire has one place for it."""
    blocks = [
        _text(part)
        for message in messages
        if message.role == "system"
        for part in message.parts
        if isinstance(part, TextPart) and part.text.strip()
    ]
    return _shortest(blocks) if blocks else None


def write_messages(messages: Iterable[Message], leave_out: LeaveOut) -> list[dict[str, Any]]:
    """Give the turns of a conversation; those of one role that follow each other are one.

    Raises `NotTakenError` for what this wire has no place for. What another wire wrote and only that understands is
    left out, and `leave_out` is told what it is.
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            if not all(isinstance(part, TextPart) for part in message.parts):
                raise ConfigurationError("a system message holds text only; show images and files in a user message")
            continue
        role = "assistant" if message.role == "assistant" else "user"
        write = _of_model if role == "assistant" else _of_user
        blocks = [block for part in message.parts for block in write(part, leave_out)]
        if not blocks:
            continue
        extra = own(message.extra, ANTHROPIC)
        if turns and turns[-1]["role"] == role and not extra:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks, **extra})
    for turn in turns:
        if turn["role"] == "user":  # results come first, or they are refused
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
        turn["content"] = _shortest(turn["content"])
    return turns


def is_own_reasoning(part: ReasoningPart) -> bool:
    """Say whether this is reasoning that this wire sealed, and takes back."""
    return part.signature is not None and not is_foreign(part.extra, ANTHROPIC)


def _shortest(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Give one plain text as a string."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return blocks


def _text(part: TextPart | RefusalPart) -> dict[str, Any]:
    return {"type": "text", "text": part.text, **own(part.extra, ANTHROPIC)}


def _of_user(part: Part, leave_out: LeaveOut) -> Iterator[dict[str, Any]]:
    if isinstance(part, TextPart):
        if part.text.strip():  # a blank one is refused
            yield _text(part)
    elif isinstance(part, ToolResultPart):
        yield _result(part)
    elif isinstance(part, ImagePart):
        yield _image(part, leave_out)
    elif isinstance(part, FilePart):
        yield _document(part)
    elif isinstance(part, OpaquePart):
        yield from _opaque(part, leave_out)
    elif isinstance(part, AudioPart):
        raise NotTakenError("sound")
    else:
        raise ConfigurationError(f"a {type(part).__name__} belongs in assistant messages; use Message.assistant(...)")


def _of_model(part: Part, leave_out: LeaveOut) -> Iterator[dict[str, Any]]:
    if isinstance(part, TextPart | RefusalPart):
        if part.text.strip():
            yield _text(part)
    elif isinstance(part, ToolCallPart):
        yield _call(part)
    elif isinstance(part, ReasoningPart):
        if is_own_reasoning(part):
            extra = own(part.extra, ANTHROPIC)
            yield {"type": "thinking", "thinking": part.text, "signature": part.signature, **extra}
        else:
            leave_out("reasoning")
    elif isinstance(part, OpaquePart):
        yield from _opaque(part, leave_out)
    elif isinstance(part, ImagePart):
        leave_out("images in replies")
    else:
        raise ConfigurationError("this provider takes sound and files in user messages only")


def _opaque(part: OpaquePart, leave_out: LeaveOut) -> Iterator[dict[str, Any]]:
    if part.wire == ANTHROPIC and isinstance(part.value, dict):
        yield part.value
    else:
        leave_out(part.kind)


def _result(part: ToolResultPart) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(part.id), "content": part.content}
    if part.is_error:
        block["is_error"] = True
    return block | own(part.extra, ANTHROPIC)


def _call(part: ToolCallPart) -> dict[str, Any]:
    extra = own(part.extra, ANTHROPIC)
    return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": _input(part), **extra}


def _input(part: ToolCallPart) -> dict[str, Any]:
    """Give a call's arguments as the object that they are here."""
    if part.kind == "custom":
        return {"input": part.arguments}
    try:
        given = json.loads(part.arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    return given if isinstance(given, dict) else {INVALID: part.arguments}


def _id(id_: str) -> str:
    """Give a tool call's id as the wire takes it; one that comes from elsewhere is made anew, always the same."""
    if _ID.fullmatch(id_):
        return id_
    return f"toolu_{blake2b(id_.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"


def _image(part: ImagePart, leave_out: LeaveOut) -> dict[str, Any]:
    if part.detail not in {None, "auto"}:
        leave_out("detail")
    return {"type": "image", "source": _source(part.url, part.data, part.media_type), **own(part.extra, ANTHROPIC)}


def _document(part: FilePart) -> dict[str, Any]:
    if part.file_id is not None:
        source: dict[str, Any] = {"type": "file", "file_id": part.file_id}
    elif part.data is not None and part.media_type != _PDF:
        if not (part.media_type or "").startswith("text/"):
            raise NotTakenError(f"files of the type {part.media_type}; pass a PDF or plain text")
        source = {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8", "replace")}
    else:
        source = _source(part.url, part.data, part.media_type)
    titled = {} if part.filename is None else {"title": part.filename}
    return {"type": "document", "source": source, **titled, **own(part.extra, ANTHROPIC)}


def _source(url: str | None, data: bytes | None, media_type: str | None) -> dict[str, Any]:
    if data is not None:
        return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode("ascii")}
    packed = _DATA_URL.fullmatch(url or "")
    if packed is not None:
        return {"type": "base64", "media_type": packed[1], "data": packed[2]}
    return {"type": "url", "url": url}
