"""An entry's form on disk: JSON behind a checksum that covers the key too.

A damaged row, one moved to another key, or one of another version is no entry.
"""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from inferkit.caching.entry import CachedReply
from inferkit.core.chunks import Chunk, TokenLogprob, ToolCallDelta
from inferkit.core.embeddings import VectorPart
from inferkit.core.messages import PARTS
from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails

if TYPE_CHECKING:
    from inferkit.core.messages import Part

__all__ = ["decode", "encode"]

_MAGIC = b"inferkit-cache-4"
_DIGEST = 16
_HEAD = len(_MAGIC) + _DIGEST

_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode(entry: CachedReply, key: bytes) -> bytes | None:
    """Write an entry as bytes that `decode` takes back under the same key only; None where JSON cannot carry it."""
    served = [entry.provider, entry.model, entry.response_model, entry.response_id]
    try:
        chunks = [_chunk_to_plain(chunk) for chunk in entry.chunks]
        tags = [list(entry.tags)] if entry.tags else []  # most have none, as all once had
        payload = _to_json([entry.stored_at, entry.cost_nanos, served, chunks, *tags]).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return None
    return _MAGIC + _checksum(payload, key) + payload


def decode(data: bytes, key: bytes) -> CachedReply | None:
    """Read an entry back; None where the bytes are not one, whatever else they are."""
    payload = data[_HEAD:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : _HEAD] != _checksum(payload, key):
        return None
    try:
        stored_at, cost_nanos, served, chunks, *tags = json.loads(payload)
        provider, model, response_model, response_id = _expect(served, list)
        return CachedReply(
            tuple(_chunk(plain) for plain in _expect(chunks, list)),
            stored_at=_expect(stored_at, float),
            cost_nanos=_expect(cost_nanos, int),
            provider=_expect(provider, str),
            model=_expect(model, str),
            response_model=_or_none(response_model, str),
            response_id=_or_none(response_id, str),
            tags=tuple([_expect(tag, str) for each in tags for tag in _expect(each, list)]),
        )
    except (ValueError, TypeError, RecursionError):
        return None


def _checksum(payload: bytes, key: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST, key=key).digest()


def _chunk_to_plain(chunk: Chunk) -> Any:
    if chunk[1:] == _NOTHING_ELSE:  # most chunks
        return chunk.text
    return [
        chunk.text,
        chunk.reasoning,
        [_call_to_plain(call) for call in chunk.tool_calls],
        chunk.finish_reason,
        _usage_to_plain(chunk.usage),
        [_part_to_plain(part) for part in chunk.parts],
        _json_value(chunk.extra),
        [_json_value([one.token, one.logprob, *map(list, one.top)]) for one in chunk.logprobs],
    ]


_NOTHING_ELSE = Chunk()[1:]


def _call_to_plain(call: ToolCallDelta) -> list[Any]:
    return [call.index, call.id, call.name, call.arguments, _json_value(call.extra), call.kind]


def _usage_to_plain(usage: Usage | None) -> Any:
    if usage is None:
        return None
    plain = [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    ]
    return plain if usage.details is NO_DETAILS else [*plain, usage.details.as_json()]


def _part_to_plain(part: Part) -> list[Any]:
    """Write a part as its kind and its fields."""
    plain: list[Any] = [type(part).__name__]
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name == "data" and value is not None:
            value = base64.b64encode(value).decode("ascii")
        plain.append(_json_value(value))
    return plain


def _json_value(value: Any) -> Any:
    """Give a value that JSON gives back as it is; raise `TypeError` for another."""
    if value is None or type(value) in {str, int, float, bool}:
        return value
    if type(value) is list:
        return [_json_value(item) for item in value]
    if type(value) is dict:
        return {_expect(name, str): _json_value(item) for name, item in value.items()}
    raise TypeError


def _chunk(plain: Any) -> Chunk:
    if type(plain) is str:
        return Chunk(plain)
    text, reasoning, calls, finish_reason, usage, parts, extra, logprobs = _expect(plain, list)
    return Chunk(
        text=_expect(text, str),
        reasoning=_expect(reasoning, str),
        tool_calls=tuple(_call(call) for call in _expect(calls, list)),
        finish_reason=_or_none(finish_reason, str),
        usage=None if usage is None else _usage(_expect(usage, list)),
        parts=tuple(_part(part) for part in _expect(parts, list)),
        extra=_or_none(extra, dict),
        logprobs=tuple(_logprob(one) for one in _expect(logprobs, list)),
    )


def _logprob(plain: Any) -> TokenLogprob:
    token, logprob, *top = _expect(plain, list)
    return TokenLogprob(*_likely([token, logprob]), tuple(map(_likely, top)))


def _likely(plain: Any) -> tuple[str, float]:
    token, logprob = _expect(plain, list)
    return _expect(token, str), _expect(logprob, float)


def _call(plain: Any) -> ToolCallDelta:
    index, id_, name, arguments, extra, kind = _expect(plain, list)
    return ToolCallDelta(
        _expect(index, int),
        _or_none(id_, str),
        _or_none(name, str),
        _expect(arguments, str),
        _or_none(extra, dict),
        _expect(kind, str),
    )


def _part(plain: Any) -> Part:
    name, *values = _expect(plain, list)
    kind = _PARTS.get(_expect(name, str))
    if kind is None:
        raise TypeError
    known = fields(kind)
    if len(values) != len(known):
        raise TypeError
    part: Part = kind(*[_field(field.name, value) for field, value in zip(known, values, strict=True)])
    return part


def _field(name: str, value: Any) -> Any:
    if name == "value":
        return value
    if name == "data" and value is not None:
        return base64.b64decode(_expect(value, str), validate=True)
    if name in _NEEDED:
        return _expect(value, _NEEDED[name])
    return _or_none(value, dict if name == "extra" else str)


_PARTS: dict[str, Any] = {kind.__name__: kind for kind in (*PARTS, VectorPart)}
_NEEDED = {
    "place": int,
    "text": str,
    "id": str,
    "name": str,
    "arguments": str,
    "content": str,
    "is_error": bool,
    "kind": str,
}


def _usage(plain: list[Any]) -> Usage:
    *counts, estimated = plain[:6]
    one, two, three, four, five = (_expect(count, int) for count in counts)
    details = UsageDetails.from_json(_expect(plain[6], dict)) if len(plain) > 6 else NO_DETAILS  # noqa: PLR2004
    return Usage(one, two, three, four, five, _expect(estimated, bool), details)


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:  # a bool is no int here
        raise TypeError
    return value


def _or_none(value: Any, kind: type) -> Any:
    return None if value is None else _expect(value, kind)
