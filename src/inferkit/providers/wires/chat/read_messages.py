"""Messages in the form of the Chat Completions wire, read and written.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages

Reading keeps everything: what has no field of its own goes into `extra`, and writing puts it back. Where a message says
its reasoning in a field of its own, the part remembers which (`extra["field"]`), and it is written there again whatever
the server takes otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.chat.files import audio, file
from inferkit.providers.wires.chat.images import FIELD, image, is_image
from inferkit.providers.wires.chat.quirks import IN_CONTENT
from inferkit.providers.wires.chat.write_messages import DETAILS
from inferkit.providers.wires.payload import others

if TYPE_CHECKING:
    from inferkit.core.messages import Part

__all__ = ["read_message"]

_REASONING = ("reasoning_content", "reasoning")
_FORMS = {
    "text": '{"type": "text", "text": ...}',
    "image_url": '{"type": "image_url", "image_url": {"url": ...}}',
    "input_audio": '{"type": "input_audio", "input_audio": {"data": <base64>, "format": ...}}',
    "file": '{"type": "file", "file": {"file_data": <data URL>, "filename": ...}}, or with a "file_id" for its data',
    "document_url": '{"type": "document_url", "document_url": ...}',
    "thinking": '{"type": "thinking", "thinking": [{"type": "text", "text": ...}]}',
}
_SPEAKERS = ("user", "assistant", "system", "developer")
_ROLE_AND_TEXT = 2
_READ = frozenset({"role", "content", "tool_calls", "tool_call_id", "refusal", "audio", FIELD, DETAILS, *_REASONING})


def read_message(given: Mapping[str, Any], place: int) -> Message:
    """Read a message; `place` is where it stands in the conversation. Raises `ConfigurationError` for what is none."""
    role = given.get("role")
    content = given.get("content")
    if type(content) is str and len(given) == _ROLE_AND_TEXT and role in _SPEAKERS:  # as nearly always
        return Message("system" if role == "developer" else role, (TextPart(content),))
    extra = {name: value for name, value in others(given, _READ).items() if value not in ([], {})} or None
    if role == "tool":
        return Message("tool", (_tool_result(given, place),), extra)
    parts = (*_reasoning(given, place), *_content(content, place), *_of_assistant(given, place))
    if not parts and role != "assistant" and content is None:
        raise ConfigurationError(f'message {place} has no "content"')
    return Message("system" if role == "developer" else role, parts, extra)  # type: ignore[arg-type]  # it refuses others


def _tool_result(given: Mapping[str, Any], place: int) -> ToolResultPart:
    call = given.get("tool_call_id")
    if not isinstance(call, str):
        raise ConfigurationError(f'message {place} has the role "tool" and needs a "tool_call_id"')
    content = given.get("content")
    parts = [part for part in _content(content, place) if isinstance(part, TextPart)]
    if not isinstance(content, str | None) and len(parts) < len(content):
        raise ConfigurationError(f'message {place} has the role "tool"; its content is text, and nothing else')
    extra = {"content": list(content)} if content and any(part.extra for part in parts) else None
    return ToolResultPart(call, "".join([part.text for part in parts]), extra=extra)


def _reasoning(given: Mapping[str, Any], place: int) -> tuple[Part, ...]:
    details = given.get(DETAILS)
    for field in _REASONING:
        text = given.get(field)
        if isinstance(text, str) and text:
            return (ReasoningPart(text, None, {"field": field} | ({DETAILS: details} if details else {})),)
        if text is not None and not isinstance(text, str):
            raise ConfigurationError(f'the "{field}" of message {place} is a string')
    return (ReasoningPart("", None, {"field": DETAILS, DETAILS: details}),) if details else ()


def _content(content: Any, place: int) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, Sequence):
        return tuple([_part(part, place) for part in content])
    raise ConfigurationError(f'the "content" of message {place} is a string or a list of parts')


def _part(part: Any, place: int) -> Part:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in {"text", "refusal"} and isinstance(part.get(kind), str):
        return (TextPart if kind == "text" else RefusalPart)(part[kind], others(part, {"type", kind}) or None)
    read: Part | None = None
    if is_image(part):
        read = image(part)
    elif kind == "input_audio":
        read = audio(part)
    elif kind in {"file", "document_url"}:
        read = file(part)
    elif kind == "thinking":
        read = _thought(part)
    if read is None:
        form = _FORMS.get(kind) if isinstance(kind, str) else None
        raise ConfigurationError(
            f"a part of message {place} " + (f"is not {form}" if form else f"is none of {', '.join(_FORMS.values())}")
        )
    return read


def _thought(part: Mapping[str, Any]) -> ReasoningPart | None:
    pieces = part.get("thinking")
    if not isinstance(pieces, list) or not all(isinstance(each, dict) for each in pieces):
        return None
    texts = [each.get("text") for each in pieces]
    if not all(isinstance(text, str) for text in texts) or any(each.keys() - {"type", "text"} for each in pieces):
        return None
    return ReasoningPart("".join(texts), None, {"field": IN_CONTENT, **others(part, {"type", "thinking"})})


def _of_assistant(given: Mapping[str, Any], place: int) -> list[Part]:
    """Read what only messages of the model's own have."""
    parts: list[Part] = []
    refusal = given.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(RefusalPart(refusal))
    for picture in given.get(FIELD) or ():
        if not is_image(picture):
            raise ConfigurationError(f'the "{FIELD}" of message {place} are parts with the type "image_url"')
        parts.append(image(picture, FIELD))
    if given.get("audio"):
        parts.append(OpaquePart("audio", given["audio"]))
    calls = given.get("tool_calls") or ()
    if not isinstance(calls, Sequence):
        raise ConfigurationError(f'the "tool_calls" of message {place} are a list')
    parts += [_tool_call(call, place) for call in calls]
    return parts


def _tool_call(call: Any, place: int) -> ToolCallPart:
    custom = isinstance(call, Mapping) and isinstance(call.get("custom"), Mapping)
    what, said = ("custom", "input") if custom else ("function", "arguments")
    called = call.get(what) if isinstance(call, Mapping) else None
    name, id_ = (called.get("name"), call.get("id")) if isinstance(called, Mapping) else (None, None)
    if not isinstance(called, Mapping) or not isinstance(name, str) or not isinstance(id_, str):
        raise ConfigurationError(f'a tool call of message {place} needs {{"id": ..., "function": {{"name": ...}}}}')
    arguments = called.get(said)
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):
        try:
            arguments = json.dumps(arguments, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            raise ConfigurationError(f"the arguments of a tool call of message {place} are no JSON") from None
    extra = others(call, {"id", "type", what, "index"})
    more = others(called, {"name", said})
    if more:
        extra[what] = more
    return ToolCallPart(id_, name, arguments, extra or None, what)
