"""A request in the form of the Chat Completions wire, written and read.

https://platform.openai.com/docs/api-reference/chat/create

Reading keeps as a field of a `Request` what writing would write just so; all else stays as it came, in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Tool
from inferkit.pricing.terms import refuse_always
from inferkit.providers.wires.chat.fields import COST_RULES
from inferkit.providers.wires.chat.read_messages import others, read_message
from inferkit.providers.wires.chat.schemas import write_schema
from inferkit.providers.wires.chat.write_messages import write_messages

if TYPE_CHECKING:
    from inferkit.core.messages import Message
    from inferkit.core.request import Request
    from inferkit.providers.wires.chat.quirks import ChatQuirks

__all__ = ["read_request", "write_request"]

_PLAIN = ("temperature", "top_p", "seed", "reasoning_effort")
_LIMITS = ("max_completion_tokens", "max_tokens")
_CHOICES = frozenset({"auto", "none", "required"})
_USAGE = {"include_usage": True}


def write_request(request: Request, quirks: ChatQuirks) -> dict[str, Any]:
    """Give the wire's fields for a request. `request.extra` is merged last."""
    payload: dict[str, Any] = {
        "model": request.model,
        "messages": [wire for message in request.messages for wire in write_messages(message, quirks.reasoning_field)],
    }
    if request.stream:
        payload["stream"] = True
        payload["stream_options"] = _USAGE
    if request.max_output_tokens is not None:
        payload[quirks.max_tokens_field] = request.max_output_tokens
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            payload[name] = value
    if request.stop:
        payload["stop"] = list(request.stop)
    if request.tools:
        payload["tools"] = [_write_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        payload["tool_choice"] = _write_tool_choice(request.tool_choice)
    if request.response_schema is not None:
        payload["response_format"] = write_schema(request.response_schema)
    if request.extra:
        _merge(payload, request.extra)
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
    _read_stop(extra, fields)
    _read_tools(extra, fields)
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


def _merge(payload: dict[str, Any], extra: Mapping[str, Any]) -> None:
    refuse_always(extra, COST_RULES)
    options = payload.get("stream_options")
    payload.update(extra)
    if options is not None and isinstance(extra.get("stream_options"), dict):
        payload["stream_options"] = options | extra["stream_options"]


def _read_stop(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    stop = extra.get("stop")
    if isinstance(stop, str):
        stop = [stop]
    if isinstance(stop, Sequence) and stop and all(isinstance(one, str) for one in stop):
        fields["stop"] = tuple(stop)
        del extra["stop"]


def _read_tools(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    given = extra.get("tools")
    if isinstance(given, list) and given and all(map(_is_function, given)):
        fields["tools"] = tuple(map(_read_tool, given))
        del extra["tools"]
    choice = extra.get("tool_choice")
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        choice = choice["function"].get("name")
        if choice not in _CHOICES and extra["tool_choice"] == _write_tool_choice(choice):
            fields["tool_choice"] = choice
    elif isinstance(choice, str) and choice in _CHOICES:
        fields["tool_choice"] = choice
    if "tool_choice" in fields:
        del extra["tool_choice"]


def _read_schema(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    given = extra.get("response_format")
    schema = given.get("json_schema") if isinstance(given, Mapping) else None
    schema = schema.get("schema") if isinstance(schema, Mapping) else None
    if isinstance(schema, Mapping) and write_schema(schema) == given:
        fields["response_schema"] = schema
        del extra["response_format"]


def _is_function(given: Any) -> bool:
    function = given.get("function") if isinstance(given, Mapping) and given.get("type") == "function" else None
    return (
        isinstance(function, Mapping)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("description", ""), str)
        and isinstance(function.get("parameters"), Mapping)
        and isinstance(function.get("strict"), bool | None)
    )


def _read_tool(given: Mapping[str, Any]) -> Tool:
    function = given["function"]
    extra = others(given, {"type", "function"})
    more = others(function, {"name", "description", "parameters", "strict"})
    if more:
        extra["function"] = more
    return Tool(
        function["name"],
        function.get("description", ""),
        function["parameters"],
        function.get("strict"),
        extra or None,
    )


def _write_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    extra = dict(tool.extra or {})
    function |= extra.pop("function", {})
    return {"type": "function", "function": function, **extra}


def _write_tool_choice(choice: str) -> str | dict[str, Any]:
    return choice if choice in _CHOICES else {"type": "function", "function": {"name": choice}}
