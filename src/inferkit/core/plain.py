"""A reply as plain data, which JSON can hold, and back: with all that its chunks carry, and without code.

Bytes are base64 text. What JSON cannot hold is refused rather than left out.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from inferkit.core.attempt import Attempt
from inferkit.core.chunks import Chunk, TokenLogprob, ToolCallDelta
from inferkit.core.errors import ConfigurationError, InvalidReply
from inferkit.core.messages import PARTS, Part, ToolCallPart
from inferkit.core.usage import Usage, UsageDetails

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "attempt_from",
    "call_from",
    "chunk_from",
    "object_from",
    "plain_attempt",
    "plain_call",
    "plain_chunk",
    "plain_object",
    "plain_usage",
    "plain_value",
    "usage_from",
]  # fmt: skip

_PARTS: dict[str, Any] = {kind.__name__: kind for kind in PARTS}
_WITHOUT = {"read"}  # what is code


def plain_value(value: Any, where: str) -> Any:
    """Give a value as JSON has it. Raises `ConfigurationError`, which says where what it cannot hold stands."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain_value(item, where) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item, where) for item in value]
    raise ConfigurationError(f"{where} of this reply holds a {type(value).__name__}, which JSON cannot; leave it out")


def plain_usage(usage: Usage) -> dict[str, Any]:
    """Write a usage."""
    return {**usage._asdict(), "details": usage.details.as_json()}


def usage_from(plain: Mapping[str, Any]) -> Usage:
    """Read it back."""
    return Usage(**{**plain, "details": UsageDetails.from_json(plain["details"])})


def plain_attempt(attempt: Attempt) -> dict[str, Any]:
    """Write an attempt."""
    fields = {each.name: getattr(attempt, each.name) for each in dataclasses.fields(attempt)}
    return fields | {"usage": plain_usage(attempt.usage)}


def attempt_from(plain: Mapping[str, Any]) -> Attempt:
    """Read it back."""
    return Attempt(**{**plain, "usage": usage_from(plain["usage"])})


def plain_call(call: ToolCallPart) -> dict[str, Any]:
    """Write what the model asked for."""
    return _plain_fields(call)


def call_from(plain: Mapping[str, Any]) -> ToolCallPart:
    """Read it back; its `values` are plain data, since what knew the function's types is not there."""
    read = _arguments if plain.get("kind", "function") == "function" else None
    return ToolCallPart(**plain, read=read)


def _arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        raise InvalidReply(
            "the arguments of a tool call are no JSON; they are in .partial", partial=text,
            problems=(("", "json_invalid"),),
        ) from None  # fmt: skip


def plain_chunk(chunk: Chunk) -> dict[str, Any]:
    """Write a chunk, without what is empty."""
    event = b"".join(chunk.event) if isinstance(chunk.event, tuple) else chunk.event
    whole: dict[str, Any] = {
        "text": chunk.text,
        "reasoning": chunk.reasoning,
        "tool_calls": [_plain_fields(call) for call in chunk.tool_calls],
        "finish_reason": chunk.finish_reason,
        "usage": None if chunk.usage is None else plain_usage(chunk.usage),
        "event": None if event is None else _plain_event(event),
        "parts": [{"type": type(part).__name__, **_plain_fields(part)} for part in chunk.parts],
        "extra": plain_value(chunk.extra, "extra"),
        "logprobs": [plain_value([one.token, one.logprob, one.top], "logprobs") for one in chunk.logprobs],
    }
    return {name: value for name, value in whole.items() if value not in (None, "", [], {})}


def chunk_from(plain: Mapping[str, Any]) -> Chunk:
    """Read it back."""
    usage = plain.get("usage")
    return Chunk(
        text=plain.get("text", ""),
        reasoning=plain.get("reasoning", ""),
        tool_calls=tuple([ToolCallDelta(**call) for call in plain.get("tool_calls", ())]),
        finish_reason=plain.get("finish_reason"),
        usage=None if usage is None else usage_from(usage),
        event=_event_from(plain.get("event")),
        parts=tuple([_part_from(part) for part in plain.get("parts", ())]),
        extra=plain.get("extra"),
        logprobs=tuple([_logprob(*one) for one in plain.get("logprobs", ())]),
    )


def _plain_event(event: Any) -> dict[str, Any]:
    """Write what the provider sent, by what it is: text, other bytes, or an object."""
    if not isinstance(event, bytes):
        return {"value": plain_value(event, "an event")}
    try:
        return {"text": event.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(event).decode("ascii")}


def _event_from(plain: Mapping[str, Any] | None) -> Any:
    if plain is None:
        return None
    ((kind, value),) = plain.items()
    if kind == "value":
        return value
    return _unbase64(value) if kind == "base64" else value.encode()


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _plain_fields(part: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.name not in _WITHOUT:
            plain[field.name] = (
                base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else plain_value(value, field.name)
            )
    return plain


def _part_from(plain: Mapping[str, Any]) -> Part:
    fields = dict(plain)
    kind = _PARTS[fields.pop("type")]
    if fields.get("data") is not None:
        fields["data"] = _unbase64(fields["data"])
    return cast("Part", kind(**fields))


def _logprob(token: str, logprob: float, top: Iterable[tuple[str, float]]) -> TokenLogprob:
    return TokenLogprob(token, logprob, tuple([(word, likely) for word, likely in top]))


def plain_object(parsed: Any) -> Any:
    """Write the object of a call with `schema=`: a pydantic model, a dataclass, or plain data."""
    if hasattr(parsed, "model_dump"):
        return parsed.model_dump(mode="json")
    if parsed is None or isinstance(parsed, str | int | float | bool):
        return parsed
    from pydantic import TypeAdapter

    return TypeAdapter(type(parsed)).dump_python(parsed, mode="json")


def object_from(plain: Any, schema: Any) -> Any:
    """Read it back as what `schema` is; plain data, where that is a JSON schema or None. Raises `InvalidReply`."""
    if schema is None or isinstance(schema, Mapping) or plain is None:
        return plain
    from pydantic import TypeAdapter, ValidationError

    validate: Callable[[str], Any] = TypeAdapter(schema).validate_json  # as the reply was: JSON's types, not Python's
    try:
        return validate(json.dumps(plain))
    except ValidationError as error:
        name = getattr(schema, "__name__", str(schema))
        problems = tuple([(".".join(map(str, each["loc"])), each["type"]) for each in error.errors()])
        raise InvalidReply(f"the object of this reply is no {name} any more", problems=problems) from None
