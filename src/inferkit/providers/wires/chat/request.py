"""A request in the form of the Chat Completions wire, written and read.

https://platform.openai.com/docs/api-reference/chat/create

Reading keeps as a field of a `Request` what writing would write just so; all else stays as it came, in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.pricing.terms import refuse_always
from inferkit.providers.wires.chat.fields import COST_RULES
from inferkit.providers.wires.chat.logprobs import ask_for_logprobs, read_wish
from inferkit.providers.wires.chat.read_messages import read_message
from inferkit.providers.wires.chat.schemas import write_schema
from inferkit.providers.wires.chat.tools import read_tools, write_tools
from inferkit.providers.wires.chat.write_messages import write_messages
from inferkit.providers.wires.payload import others

if TYPE_CHECKING:
    from inferkit.core.messages import Message
    from inferkit.core.request import Request
    from inferkit.providers.wires.chat.quirks import ChatQuirks

__all__ = ["read_request", "write_request"]

_PLAIN = ("temperature", "top_p", "seed", "reasoning_effort")
_LIMITS = ("max_completion_tokens", "max_tokens")
_USAGE = {"include_usage": True}
_CACHE = ("prompt_cache_key", "prompt_cache_retention")
_THINKING = "thinking_budget"


def write_request(request: Request, quirks: ChatQuirks) -> dict[str, Any]:
    """Give the wire's fields for a request. `request.extra` is merged last.

    Raises `ConfigurationError` for what the wire cannot carry, `NotTakenError` for what this server does not take.
    """
    leave_out = request.record.leave_out
    payload: dict[str, Any] = {
        "model": request.model,
        "messages": [wire for message in request.messages for wire in write_messages(message, quirks, leave_out)],
    }
    if request.stream:
        payload["stream"] = True
        if "stream_options" not in quirks.without:
            payload["stream_options"] = _USAGE
    if request.max_output_tokens is not None:
        payload[quirks.max_tokens_field] = request.max_output_tokens
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            payload[quirks.renames.get(name, name)] = value
    _write_hints(request, quirks, payload)
    ask_for_logprobs(request, quirks, payload)
    if request.stop:
        payload["stop"] = list(request.stop)
    if request.tools or request.tool_choice is not None:
        write_tools(request, quirks, payload)
    if request.response_schema is not None:
        payload["response_format"] = write_schema(request.response_schema)
    if request.extra:
        _merge(payload, request, quirks)
    return payload


def read_request(payload: Any) -> dict[str, Any]:
    """Read the wire's fields into those of a `Request`. Raises `ConfigurationError` where it is no request."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get("model"), str):
        raise ConfigurationError('a request is an object with a "model" and "messages"')
    extra = others(payload, {"model", "messages"})
    fields: dict[str, Any] = {
        "model": payload["model"],
        "messages": _read_messages(payload.get("messages")),
        "stream": extra.pop("stream", False) is True,
    }
    if fields["stream"] and extra.get("stream_options") == _USAGE:
        del extra["stream_options"]
    for name in _LIMITS:
        if type(extra.get(name)) is int and "max_output_tokens" not in fields:
            fields["max_output_tokens"] = extra.pop(name)
    for name in _PLAIN:
        if name in extra:
            fields[name] = extra.pop(name)
    if extra:
        _read_hints(extra, fields)
        read_wish(extra, fields)
        _read_stop(extra, fields)
        read_tools(extra, fields)
        _read_schema(extra, fields)
    if extra:
        fields["extra"] = extra
    return fields


def _read_messages(given: Any) -> tuple[Message, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ConfigurationError('the "messages" of a request are a list with at least one message')
    for place, message in enumerate(given):
        if not isinstance(message, Mapping):
            raise ConfigurationError(f"message {place} is a {type(message).__name__}, and not an object")
    return tuple([read_message(message, place) for place, message in enumerate(given)])


def _merge(payload: dict[str, Any], request: Request, quirks: ChatQuirks) -> None:
    extra = request.extra
    refuse_always(extra, COST_RULES)
    options = payload.get("stream_options")
    payload.update(extra)
    if options is not None and isinstance(extra.get("stream_options"), dict):
        payload["stream_options"] = options | extra["stream_options"]
    if quirks.thinks_beside and request.max_output_tokens is not None:
        _share_limit(payload, quirks.max_tokens_field, request.max_output_tokens)


def _share_limit(payload: dict[str, Any], field: str, limit: int) -> None:
    """Have what the model thinks and what it answers stay within one limit, where the server counts them apart.

    What is thought without a limit of its own gets half.
    """
    if payload.get(field) != limit or payload.get("enable_thinking") is False:
        return
    thinking = payload.get(_THINKING)
    if thinking is None and payload.get("enable_thinking") is True:
        thinking = payload[_THINKING] = limit // 2
    if type(thinking) is int and thinking > 0:
        if thinking >= limit:
            raise ConfigurationError(
                f"{_THINKING}={thinking} leaves nothing of max_output_tokens={limit} for the answer: this server "
                "counts the two apart, and together they have to stay within it; raise max_output_tokens, or lower "
                f"{_THINKING}"
            )
        payload[field] = limit - thinking


def _read_stop(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    stop = extra.get("stop")
    if isinstance(stop, str):
        stop = [stop]
    if isinstance(stop, Sequence) and stop and all(isinstance(one, str) for one in stop):
        fields["stop"] = tuple(stop)
        del extra["stop"]


def _write_hints(request: Request, quirks: ChatQuirks, payload: dict[str, Any]) -> None:
    """Write what changes no reply; a server that takes no hint is given none, which the record says."""
    for name in (*_CACHE, "prediction"):
        value = getattr(request, name)
        if value is None:
            continue
        if name in quirks.without:
            request.record.leave_out(name)
        else:
            payload[name] = value if name in _CACHE else _predicted(value)


def _predicted(text: str) -> dict[str, Any]:
    return {"type": "content", "content": text}


def _read_hints(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    for name in _CACHE:
        if isinstance(extra.get(name), str):
            fields[name] = extra.pop(name)
    given = extra.get("prediction")
    text = given.get("content") if isinstance(given, Mapping) else None
    if isinstance(text, str) and given == _predicted(text):
        fields["prediction"] = text
        del extra["prediction"]


def _read_schema(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    given = extra.get("response_format")
    schema = given.get("json_schema") if isinstance(given, Mapping) else None
    schema = schema.get("schema") if isinstance(schema, Mapping) else None
    if isinstance(schema, Mapping) and write_schema(schema) == given:
        fields["response_schema"] = schema
        del extra["response_format"]
