"""Turns what a caller passes as messages into `Message` values; dictionaries are read by the codec of their wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Message, Messages, TextPart

__all__ = ["as_messages"]

_PLAIN_ROLES, _PLAIN_FIELDS = ("user", "system", "assistant"), 2


def as_messages(given: Messages) -> tuple[Message, ...]:
    """Accept a question, a message, or a conversation of messages, and dictionaries in a provider's form.

    That is OpenAI's, Anthropic's or Gemini's.

    Raises `ConfigurationError` for anything else, and for a conversation without messages.
    """
    if isinstance(given, str):
        if not given.strip():
            raise ConfigurationError("the message is empty; pass a question, or a list of messages")
        return (Message("user", (TextPart(given),)),)
    if isinstance(given, Message):
        return (given,)
    if isinstance(given, Mapping):
        return (_read(given, 0),)
    kind: type = type(given)  # bytes are a sequence too, of numbers
    if not isinstance(given, Sequence) or kind in (bytes, bytearray):
        raise ConfigurationError(f"messages are a string, a Message or a list of them; got {type(given).__name__}")
    if not given:
        raise ConfigurationError("the list of messages is empty; pass at least one message")
    return tuple([one if isinstance(one, Message) else _read(one, place) for place, one in enumerate(given)])


def _read(given: Any, place: int) -> Message:
    if type(given) is dict and len(given) == _PLAIN_FIELDS:  # as nearly all are, whatever the wire
        role, content = given.get("role"), given.get("content")
        if type(content) is str and role in _PLAIN_ROLES:
            return Message(role, (TextPart(content),))
    if not isinstance(given, Mapping):
        own = "its .message" if isinstance(getattr(given, "message", None), Message) else 'Message.user("...")'
        raise ConfigurationError(
            f'message {place} is a {type(given).__name__}; use {own} or {{"role": ..., "content": ...}}'
        )
    if "parts" in given and "content" not in given:
        from inferkit.providers.wires.gemini.read_messages import read_message as read_gemini

        return read_gemini(given, place)
    content = given.get("content")
    if "role" not in given or (isinstance(content, list) and content):
        from inferkit.providers.wires.responses.read_messages import is_own, read_message as read_item

        if is_own(given):
            return read_item(given, place)
    if isinstance(content, Sequence) and not isinstance(content, str):
        from inferkit.providers.wires.anthropic.read_messages import is_own_block, read_message as read_anthropic

        if any(map(is_own_block, content)):
            return read_anthropic(given, place)
    from inferkit.providers.wires.chat.read_messages import read_message

    return read_message(given, place)
