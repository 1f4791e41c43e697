"""Messages in the form of the Anthropic wire, read.

What has no field of its own stays as it came, for this wire alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.anthropic.write_messages import INVALID
from inferkit.providers.wires.extras import ANTHROPIC
from inferkit.providers.wires.payload import others

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from inferkit.core.messages import Part

__all__ = ["is_own_block", "read_block", "read_message", "read_system"]

_OWN = frozenset({"tool_use", "tool_result", "image", "document", "redacted_thinking"})


def read_system(given: Any) -> Message | None:
    """Read the system prompt. Raises `ConfigurationError` where it is none."""
    if given is None:
        return None
    parts = _content(given, "system")
    if not all(isinstance(part, TextPart) for part in parts):
        raise ConfigurationError('"system" is a text, or a list of text blocks')
    return Message("system", parts)


def read_message(given: Mapping[str, Any], place: int) -> Message:
    """Read a message; `place` is where it stands in the conversation. Raises `ConfigurationError` for what is none."""
    role: Any = given.get("role")
    if role not in ("user", "assistant", "system"):
        raise ConfigurationError(f'the "role" of message {place} is "user" or "assistant"')
    parts = _content(given.get("content"), f"message {place}")
    extra = others(given, {"role", "content"}) or None
    if parts and all(isinstance(part, ToolResultPart) for part in parts):
        role = "tool"
    return Message(role, parts, None if extra is None else {ANTHROPIC: extra})


def is_own_block(block: Any) -> bool:
    """Say whether this is a block in the form of this wire alone."""
    if not isinstance(block, Mapping):
        return False
    kind = block.get("type")
    if kind == "thinking":
        return isinstance(block.get("thinking"), str)
    return kind in _OWN


def _content(given: Any, where: str) -> tuple[Part, ...]:
    if isinstance(given, str):
        return (TextPart(given),)
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise ConfigurationError(f'the "content" of {where} is a string or a list of blocks')
    return tuple([read_block(block, where) for block in given])


def read_block(block: Any, where: str) -> Part:
    """Read one block; `where` says in messages where it stands. Raises `ConfigurationError` for what is none."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(kind, str):
        raise ConfigurationError(f'each block of {where} is an object with a "type"')
    read = _READERS.get(kind)
    try:
        return OpaquePart(kind, dict(block), ANTHROPIC) if read is None else read(block)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigurationError(f'a block of {where} is not in the form of "{kind}"') from None


def _text(block: Mapping[str, Any]) -> Part:
    return TextPart(_string(block["text"]), _extra(block, {"type", "text"}))


def _thinking(block: Mapping[str, Any]) -> Part:
    extra = others(block, {"type", "thinking", "signature"})
    return ReasoningPart(_string(block["thinking"]), _string(block["signature"]), {ANTHROPIC: extra})


def _call(block: Mapping[str, Any]) -> Part:
    given = block["input"]
    if not isinstance(given, Mapping):
        raise TypeError
    arguments = given.get(INVALID) if given.keys() == {INVALID} else None
    if not isinstance(arguments, str):
        arguments = json.dumps(given, ensure_ascii=False)
    extra = _extra(block, {"type", "id", "name", "input"})
    return ToolCallPart(_string(block["id"]), _string(block["name"]), arguments, extra)


def _result(block: Mapping[str, Any]) -> Part:
    content = block.get("content", "")
    extra = others(block, {"type", "tool_use_id", "content", "is_error"})
    texts = [content] if isinstance(content, str) else [each.get("text", "") for each in content]
    if not isinstance(content, str):
        extra["content"] = list(content)
    failed = block.get("is_error") is True
    return ToolResultPart(_string(block["tool_use_id"]), "".join(texts), failed, {ANTHROPIC: extra} if extra else None)


def _image(block: Mapping[str, Any]) -> Part:
    source, extra = block["source"], _extra(block, {"type", "source"})
    if source.keys() == {"type", "url"}:
        return ImagePart(url=_string(source["url"]), extra=extra)
    if source.keys() == {"type", "media_type", "data"} and source["type"] == "base64":
        return ImagePart(data=_bytes(source["data"]), media_type=_string(source["media_type"]), extra=extra)
    return OpaquePart("image", dict(block), ANTHROPIC)


def _document(block: Mapping[str, Any]) -> Part:
    source, extra = block["source"], _extra(block, {"type", "source", "title"})
    title, kind = block.get("title"), source["type"]
    if kind == "url" and source.keys() == {"type", "url"}:
        return FilePart(url=_string(source["url"]), filename=title, extra=extra)
    if kind == "file" and source.keys() == {"type", "file_id"}:
        return FilePart(file_id=_string(source["file_id"]), filename=title, extra=extra)
    if source.keys() == {"type", "media_type", "data"}:
        data = _bytes(source["data"]) if kind == "base64" else _string(source["data"]).encode()
        return FilePart(data, _string(source["media_type"]), title, extra=extra)
    return OpaquePart("document", dict(block), ANTHROPIC)


_READERS = {
    "text": _text,
    "thinking": _thinking,
    "tool_use": _call,
    "tool_result": _result,
    "image": _image,
    "document": _document,
}


def _extra(block: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any] | None:
    extra = others(block, known)
    return {ANTHROPIC: extra} if extra else None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bytes(text: Any) -> bytes:
    return base64.b64decode(_string(text), validate=True)
