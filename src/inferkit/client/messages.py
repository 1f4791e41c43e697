"""Turns what a caller passes as messages into `Message` values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import ImagePart, Message, Messages, Part, TextPart, ToolCallPart, ToolResultPart

__all__ = ["as_messages"]


def as_messages(given: Messages) -> tuple[Message, ...]:
    """Accept a question, a message, or a conversation of messages and dictionaries in the OpenAI form.

    Raises `ConfigurationError` for anything else, and for a conversation without messages.
    """
    if isinstance(given, str):
        if not given.strip():
            raise ConfigurationError("the message is empty; pass a question, or a list of messages")
        return (Message("user", (TextPart(given),)),)
    if isinstance(given, Message):
        return (given,)
    if isinstance(given, Mapping):
        return (_message(given, 0),)
    if not isinstance(given, Sequence):
        raise ConfigurationError(f"messages are a string, a Message or a list of them; got {type(given).__name__}")
    if not given:
        raise ConfigurationError("the list of messages is empty; pass at least one message")
    return tuple(one if isinstance(one, Message) else _message(one, place) for place, one in enumerate(given))


def _message(given: Any, place: int) -> Message:
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f'message {place} is a {type(given).__name__}; use Message.user("...") or {{"role": ..., "content": ...}}'
        )
    role = given.get("role")
    if role == "developer":
        role = "system"
    content = given.get("content")
    if role == "tool":
        call = given.get("tool_call_id")
        if not isinstance(call, str):
            raise ConfigurationError(f'message {place} has the role "tool" and needs a "tool_call_id"')
        return Message("tool", (ToolResultPart(call, _plain(content, place)),))
    parts = _parts(content, place)
    calls = given.get("tool_calls") or ()
    if not isinstance(calls, Sequence):
        raise ConfigurationError(f'the "tool_calls" of message {place} are a list')
    parts += tuple(_tool_call(call, place) for call in calls)
    if not parts:
        raise ConfigurationError(f'message {place} has no "content"')
    return Message(role, parts)  # type: ignore[arg-type]  # Message itself refuses a role it does not know


def _parts(content: Any, place: int) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, Sequence):
        return tuple(_part(part, place) for part in content)
    raise ConfigurationError(f'the "content" of message {place} is a string or a list of parts')


def _part(part: Any, place: int) -> Part:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return TextPart(part["text"])
    if kind == "image_url" and isinstance(part.get("image_url"), Mapping):
        return ImagePart(url=part["image_url"].get("url"))
    raise ConfigurationError(
        f'a part of message {place} is neither {{"type": "text", "text": ...}} nor '
        '{"type": "image_url", "image_url": {"url": ...}}'
    )


def _plain(content: Any, place: int) -> str:
    return "".join(part.text for part in _parts(content, place) if isinstance(part, TextPart))


def _tool_call(call: Any, place: int) -> ToolCallPart:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ConfigurationError(f'a tool call of message {place} needs {{"id": ..., "function": {{"name": ...}}}}')
    return ToolCallPart(str(call.get("id", "")), function["name"], str(function.get("arguments", "")))
