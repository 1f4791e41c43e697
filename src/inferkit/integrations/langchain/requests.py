"""A conversation of LangChain's, as inferkit's messages."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.integrations.asking import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.messages import BaseMessage

    from inferkit.core.messages import Part, Role

__all__ = ["as_messages"]

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "ai": "assistant",
}  # fmt: skip


def as_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Give the conversation. Raises `ConfigurationError` for what has no form here."""
    return [each for message in messages for each in _message(message)]


def _message(message: BaseMessage) -> list[Message]:
    if isinstance(message, AIMessage):
        parts = _said(message)
        return [Message("assistant", parts)] if parts else []
    if isinstance(message, ToolMessage):
        return _result(message)
    if isinstance(message, ChatMessage) and message.role in _ROLES:
        return [Message(_ROLES[message.role], _given(message))]
    if isinstance(message, HumanMessage | SystemMessage):
        return [Message("user" if isinstance(message, HumanMessage) else "system", _given(message))]
    raise ConfigurationError(f"inferkit has no form for a {type(message).__name__}")


def _given(message: BaseMessage) -> tuple[Part, ...]:
    if isinstance(message.content, str):
        return (TextPart(message.content),)
    return tuple([_part(block) for block in message.content_blocks])


def _result(message: ToolMessage) -> list[Message]:
    """Give what a tool returned; images and files of it follow as its user's, since a result is a text."""
    parts = _given(message)
    text = "\n".join([part.text for part in parts if isinstance(part, TextPart)])
    files = tuple([part for part in parts if not isinstance(part, TextPart)])
    result = ToolResultPart(message.tool_call_id, text, message.status == "error")
    return [Message("tool", (result,)), *([Message("user", files)] if files else [])]


def _said(message: AIMessage) -> tuple[Part, ...]:
    """Give what a model said, and with it what only its provider understands, where inferkit had put that there.

    What another model's package left in a message that has no form here stays behind.
    """
    kept = message.additional_kwargs.get(PRIVATE, {})
    content: Any = [message.content] if isinstance(message.content, str) else message.content
    if PRIVATE not in message.additional_kwargs and not isinstance(message.content, str):
        content = message.content_blocks
    parts = [
        part for each in content for part in _own({"type": "text", "text": each} if isinstance(each, str) else each)
    ]
    places = [place for place, part in enumerate(parts) if isinstance(part, TextPart)]
    texts = kept.get("texts", ())
    if len(places) == len(texts):
        for place, extra in zip(places, texts, strict=True):
            parts[place] = replace(parts[place], extra=extra)
    extras = kept.get("calls", {})
    for call in message.tool_calls:
        call_id = call["id"] or ""
        parts.append(ToolCallPart(call_id, call["name"], json.dumps(call["args"]), extras.get(call_id)))
    wrong = message.invalid_tool_calls
    parts += [ToolCallPart(each["id"] or "", each["name"] or "", each["args"] or "") for each in wrong]
    for place, kind, value, wire in kept.get("opaque", ()):
        parts.insert(place, OpaquePart(kind, value, wire))
    return tuple(parts)


def _own(block: Mapping[str, Any]) -> list[Part]:
    extras = block.get("extras") or {}
    if block["type"] == "text":
        return [TextPart(block["text"])] if block["text"] else []
    if block["type"] == "reasoning":
        words = block.get("reasoning") or ""
        return [ReasoningPart(words, extras.get("signature"), extras.get(PRIVATE))] if words or extras else []
    return [_part(block)] if block["type"] in {"image", "audio", "file", "video"} else []


def _part(block: Mapping[str, Any]) -> Part:
    """Give one of LangChain's standard blocks."""
    kind = block.get("type")
    if kind == "text":
        return TextPart(block["text"])
    if kind == "text-plain" and "text" in block:
        return TextPart(block["text"])
    data, media_type = block.get("base64"), block.get("mime_type")
    if kind == "image" and "file_id" not in block:
        detail = (block.get("extras") or block).get("detail")
        if data is None:
            return ImagePart(url=_address(block), detail=detail)
        return ImagePart(data=b64decode(data), media_type=media_type or "image/png", detail=detail)
    if kind == "audio" and data is not None:
        return AudioPart(b64decode(data), media_type or "audio/wav")
    if kind in {"image", "file", "video", "audio"}:
        return _file(block, data, media_type)
    raise ConfigurationError(
        f"inferkit has no form for a block of type {kind!r}; it takes text, image, audio, file and video blocks"
    )


def _file(block: Mapping[str, Any], data: str | None, media_type: str | None) -> FilePart:
    name = block.get("filename") or (block.get("extras") or {}).get("filename")
    if data is not None:
        return FilePart(data=b64decode(data), media_type=media_type or "application/pdf", filename=name)
    if "file_id" in block:
        return FilePart(file_id=block["file_id"], media_type=media_type, filename=name)
    return FilePart(url=_address(block), media_type=media_type, filename=name)


def _address(block: Mapping[str, Any]) -> str:
    url = block.get("url")
    if not isinstance(url, str):
        raise ConfigurationError(f"a block of type {block['type']!r} needs base64, url or file_id")
    return url
