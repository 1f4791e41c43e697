"""Messages in the form of the Gemini wire, read.

What has no field of its own stays as it came, for this wire alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Message, OpaquePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from inferkit.providers.wires.extras import GEMINI
from inferkit.providers.wires.gemini.calls import arguments_of, made_id, text_of
from inferkit.providers.wires.gemini.media import read_file_data, read_inline_data
from inferkit.providers.wires.gemini.spelling import in_one_spelling
from inferkit.providers.wires.gemini.write_messages import SIGNATURE, is_plain

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from inferkit.core.messages import Part

__all__ = ["kind_of", "others", "read_conversation", "read_message", "read_system"]

_BESIDE = frozenset({"thought", SIGNATURE, "partMetadata", "videoMetadata", "mediaResolution", "mediaProcessing"})
"""What stands in a part beside what the part is."""


def read_system(given: Any) -> Message | None:
    """Read the system instruction. Raises `ConfigurationError` where it is none."""
    if given is None:
        return None
    parts = given.get("parts") if isinstance(given, Mapping) else None
    texts = [_system_text(part) for part in parts] if isinstance(parts, list) else [None]
    if not all(isinstance(part, TextPart) for part in texts):
        raise ConfigurationError('"systemInstruction" is an object with "parts", which are texts')
    return Message("system", tuple([part for part in texts if part is not None]))


def _system_text(part: Any) -> TextPart | None:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        return None
    extra = others(part, {"text"})
    return TextPart(part["text"], {GEMINI: extra} if extra else None)


def read_conversation(given: Any) -> tuple[Message, ...]:
    """Read the contents of a request, in one spelling. Raises `ConfigurationError` for what is none."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ConfigurationError('a request has "contents", a list with at least one')
    messages = [_read(one, place) for place, one in enumerate(given)]
    called = {part.id: part.name for one in messages for part in one.parts if isinstance(part, ToolCallPart)}
    return tuple([replace(one, parts=tuple([_without_name(part, called) for part in one.parts])) for one in messages])


def _without_name(part: Part, called: Mapping[str, str]) -> Part:
    """Give a result without the name of its function, where the call says it."""
    extra = (part.extra or {}).get(GEMINI) if isinstance(part, ToolResultPart) else None
    if not isinstance(part, ToolResultPart) or not extra or called.get(part.id) != extra.get("name"):
        return part
    rest = others(extra, {"name"})
    return replace(part, extra={GEMINI: rest} if rest else None)


def read_message(given: Mapping[str, Any], place: int) -> Message:
    """Read a message; `place` is where it stands in the conversation. Raises `ConfigurationError` for what is none."""
    return _read(in_one_spelling(given), place)


def _read(given: Any, place: int) -> Message:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"message {place} is an object with a role and parts")
    role, parts = given.get("role", "user"), given.get("parts")
    if role not in ("user", "model", "function"):
        raise ConfigurationError(f'the "role" of message {place} is "user" or "model"')
    if not isinstance(parts, Sequence) or isinstance(parts, str | bytes):
        raise ConfigurationError(f'the "parts" of message {place} are a list')
    seen: Counter[str] = Counter()
    read = tuple([_part(part, place, seen, of_model=role == "model") for part in parts])
    extra = others(given, {"role", "parts"})
    if role == "function":
        extra["role"] = role
    of_tools = bool(read) and all(isinstance(part, ToolResultPart) for part in read)
    ours: Any = "assistant" if role == "model" else "tool" if of_tools else "user"
    return Message(ours, read, {GEMINI: extra} if extra else None)


def kind_of(part: Mapping[str, Any]) -> str:
    """Give the wire's name for what a part is. Raises `ValueError` where it is nothing."""
    kind = next((name for name in part if name not in _BESIDE), None)
    if kind is None:
        raise ValueError
    return kind


def _part(part: Any, place: int, seen: Counter[str], *, of_model: bool) -> Part:
    if not isinstance(part, Mapping) or not part:
        raise ConfigurationError(f"each part of message {place} is an object")
    try:
        kind = kind_of(part)
        read: Part | None = None
        if kind == "text":
            read = _text(part, of_model=of_model)
        elif kind == "functionCall" and of_model:
            read = _call(part, place, seen)
        elif kind == "functionResponse" and not of_model:
            read = _result(part, place - 1, seen)
        elif kind in ("inlineData", "fileData"):
            extra = others(part, {kind})
            by = read_inline_data if kind == "inlineData" else read_file_data
            read = by(part[kind], {GEMINI: extra} if extra or of_model else None)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigurationError(f"a part of message {place} is not in the form that it says it is") from None
    return OpaquePart(kind, dict(part), GEMINI) if read is None else read


def _text(part: Mapping[str, Any], *, of_model: bool) -> Part:
    if part.get("thought") is True and of_model:
        extra = others(part, {"text", "thought", SIGNATURE})
        return ReasoningPart(_string(part["text"]), part.get(SIGNATURE), {GEMINI: extra})
    extra = others(part, {"text"})
    return TextPart(_string(part["text"]), {GEMINI: extra} if extra else None)


def _call(part: Mapping[str, Any], place: int, seen: Counter[str]) -> Part:
    call = part["functionCall"]
    name = _string(call["name"])
    id_ = call.get("id") or made_id(place, name, seen[name])
    seen[name] += 1
    extra = others(part, {"functionCall"})
    more = others(call, {"id", "name", "args"})
    if more:
        extra["functionCall"] = more
    return ToolCallPart(_string(id_), name, arguments_of(call.get("args")), {GEMINI: extra} if extra else None)


def _result(part: Mapping[str, Any], place: int, seen: Counter[str]) -> Part:
    result = part["functionResponse"]
    name, response = _string(result["name"]), result["response"]
    id_ = result.get("id") or made_id(place, name, seen[name])
    seen[name] += 1
    plain = is_plain(response)
    content = next(iter(response.values())) if plain else text_of(dict(response))
    extra = {"name": name, **others(result, {"id", "name", "response"})}
    beside = others(part, {"functionResponse"})
    if beside:
        extra["part"] = beside
    return ToolResultPart(_string(id_), content, plain and "error" in response, {GEMINI: extra})


def others(given: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any]:
    """Give what an object holds beside the fields that are known here."""
    return {name: value for name, value in given.items() if name not in known and value is not None}


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
