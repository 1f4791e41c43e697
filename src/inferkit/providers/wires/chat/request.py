"""From a `Request` to the JSON of the Chat Completions wire.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import ImagePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.messages import Message, Tool
    from inferkit.core.request import Request

__all__ = ["body_of", "payload_of"]

_OWN_FIELDS = {
    "messages": "the messages argument",
    "model": "the model argument",
    "stream": "stream() or complete()",
}
_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def body_of(request: Request, *, max_tokens_field: str, reasoning_field: str | None) -> bytes:
    """Write a request as JSON. Raises `ConfigurationError` for what JSON cannot carry."""
    imports.load("pydantic_core")
    from pydantic_core import PydanticSerializationError, to_json

    payload = payload_of(request, max_tokens_field=max_tokens_field, reasoning_field=reasoning_field)
    try:
        return to_json(payload)
    except (PydanticSerializationError, UnicodeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the request cannot be written as JSON ({type(error).__name__}): text must be valid Unicode (no lone "
            "surrogates), and extra=, tools and schemas must hold plain JSON values"
        ) from None  # the library's words quote the text


def payload_of(request: Request, *, max_tokens_field: str, reasoning_field: str | None) -> dict[str, Any]:
    """Give the wire's fields for a request. `request.extra` is merged last."""
    payload: dict[str, Any] = {
        "model": request.model,
        "messages": [wire for message in request.messages for wire in _messages(message, reasoning_field)],
    }
    if request.stream:
        payload["stream"] = True
        payload["stream_options"] = {"include_usage": True}
    if request.max_output_tokens is not None:
        payload[max_tokens_field] = request.max_output_tokens
    for name in ("temperature", "top_p", "seed", "reasoning_effort"):
        value = getattr(request, name)
        if value is not None:
            payload[name] = value
    if request.stop:
        payload["stop"] = list(request.stop)
    if request.tools:
        payload["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        payload["tool_choice"] = _tool_choice(request.tool_choice)
    if request.response_schema is not None:
        payload["response_format"] = _response_format(request.response_schema)
    if request.extra:
        _merge(payload, request.extra)
    return payload


def _merge(payload: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for name, instead in _OWN_FIELDS.items():
        if name in extra:
            raise ConfigurationError(f"extra= cannot set {name!r}; use {instead}")
    if extra.get("n") not in (None, 1):  # a tuple: what is passed may not be hashable
        raise ConfigurationError("extra= asks for n > 1 replies, and a call gives one; make several calls")
    options = payload.get("stream_options")
    payload.update(extra)
    if options is not None and isinstance(extra.get("stream_options"), dict):
        payload["stream_options"] = options | extra["stream_options"]


def _messages(message: Message, reasoning_field: str | None) -> Iterable[dict[str, Any]]:
    """Give a message's wire form; every tool result is a message of its own there."""
    parts = message.parts
    if len(parts) == 1 and type(parts[0]) is TextPart:
        yield {"role": message.role, "content": parts[0].text}
        return
    results = [part for part in parts if isinstance(part, ToolResultPart)]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.id, "content": result.content}
    if len(results) == len(parts) and results:
        return
    if message.role == "assistant":
        yield _assistant(message, reasoning_field)
    elif message.role == "tool":
        raise ConfigurationError("a tool message holds tool results only; use Message.tool(id, content)")
    else:
        yield {"role": message.role, "content": _content(message)}


def _assistant(message: Message, reasoning_field: str | None) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    if calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    elif wire["content"] is None:
        wire["content"] = ""
    if any(isinstance(part, ImagePart) for part in message.parts):
        raise ConfigurationError("this provider takes images in user messages only")
    reasoning = "".join(part.text for part in message.parts if isinstance(part, ReasoningPart))
    if reasoning and reasoning_field is not None:
        wire[reasoning_field] = reasoning
    return wire


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart | ReasoningPart | ToolResultPart) for part in message.parts):
        return message.text
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            if message.role != "user":
                raise ConfigurationError("this provider takes images in user messages only")
            content.append({"type": "image_url", "image_url": {"url": _image_url(part)}})
        elif isinstance(part, ToolCallPart):
            raise ConfigurationError("tool calls belong in assistant messages; use Message.assistant(...)")
    return content


def _image_url(part: ImagePart) -> str:
    if part.url is not None:
        return part.url
    return f"data:{part.media_type};base64,{base64.b64encode(part.data or b'').decode('ascii')}"


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> str | dict[str, Any]:
    if choice in {"auto", "none", "required"}:
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    title = schema.get("title")
    name = _NAME.sub("_", title)[:64].strip("_") if isinstance(title, str) else ""
    return {
        "type": "json_schema",
        "json_schema": {"name": name or "response", "schema": dict(schema), "strict": _fits_strict(schema)},
    }


def _fits_strict(schema: Any) -> bool:
    """Say whether a schema keeps the rules of strict mode: closed objects, and every property required."""
    if isinstance(schema, list | tuple):
        return all(_fits_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != set(properties or ()):
            return False
    return all(_fits_strict(value) for value in schema.values())
