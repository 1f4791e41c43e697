"""A request in the form of the Responses wire, written and read.

https://platform.openai.com/docs/api-reference/responses/create

Nothing is kept at the provider's unless `extra={"store": True}` says so: its reasoning comes encrypted instead, and
goes back with the conversation. Reading keeps as a field of a `Request` what writing would write just so; all else
stays as it came, in `extra`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Message
from inferkit.pricing.terms import refuse_always
from inferkit.providers.wires.payload import NotTakenError, others
from inferkit.providers.wires.responses.fields import COST_RULES
from inferkit.providers.wires.responses.read_messages import read_input
from inferkit.providers.wires.responses.tools import read_tools, write_tools
from inferkit.providers.wires.responses.write_messages import write_input, write_instructions
from inferkit.providers.wires.strict_schemas import named_schema

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.extras import LeaveOut
    from inferkit.providers.wires.responses.quirks import ResponsesQuirks

__all__ = ["SEALED", "asks_for_sealed", "read_request", "write_request"]

SEALED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_PLAIN = ("max_output_tokens", "temperature", "top_p")
_CACHE = ("prompt_cache_key", "prompt_cache_retention")
_NOT_KNOWN = ("seed", "prediction")
_WITHOUT_REASONING = re.compile(r"(?:^|/)(?:chat)?gpt-(?:3\.5|4)")
_JOINED = ("text", "reasoning")


def write_request(request: Request, quirks: ResponsesQuirks, leave_out: LeaveOut) -> dict[str, Any]:
    """Give the wire's fields for a request. `request.extra` is merged last.

    `leave_out` is told what only another wire understands. Raises `ConfigurationError` and `NotTakenError` for what
    the wire cannot carry.
    """
    instructions, rest = write_instructions(request.messages)
    stored = request.extra.get("store") is True
    payload: dict[str, Any] = {"model": request.model, "input": write_input(rest, leave_out, stored=stored)}
    if instructions is not None:
        payload["instructions"] = instructions
    if request.stream:
        payload["stream"] = True
    if "store" not in quirks.without:
        payload["store"] = False
    _write_options(request, payload, quirks, leave_out)
    if request.reasoning_effort is not None:
        payload["reasoning"] = {"effort": request.reasoning_effort}
    if request.response_schema is not None:
        payload["text"] = {"format": {"type": "json_schema", **named_schema(request.response_schema)}}
    if request.tools or request.tool_choice is not None:
        write_tools(request, payload)
    include = [SEALED] if asks_for_sealed(request, quirks) else []
    if request.logprobs or request.top_logprobs is not None:
        include.append(_LOGPROBS)
    if include:
        payload["include"] = include
    if request.extra:
        _merge(payload, request.extra)
    return payload


def _write_options(request: Request, payload: dict[str, Any], quirks: ResponsesQuirks, leave_out: LeaveOut) -> None:
    if request.stop:
        raise NotTakenError("stop sequences")
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            payload[name] = value
    for name in _CACHE:
        value = getattr(request, name)
        if value is not None and name in quirks.without:
            leave_out(name)
        elif value is not None:
            payload[name] = value
    for name in _NOT_KNOWN:
        if getattr(request, name) is not None:
            leave_out(name)
    if request.top_logprobs is not None:
        payload["top_logprobs"] = request.top_logprobs


def asks_for_sealed(request: Request, quirks: ResponsesQuirks) -> bool:
    """Say whether a request asks for the model's reasoning, encrypted."""
    unsealed = request.model in quirks.unsealed or "include" in quirks.without
    return not unsealed and not _WITHOUT_REASONING.search(request.model)


def _merge(payload: dict[str, Any], extra: Mapping[str, Any]) -> None:
    refuse_always(extra, COST_RULES)
    ours = {name: payload[name] for name in (*_JOINED, "tools") if name in payload}
    payload.update(extra)
    for name in _JOINED:
        if name in ours and isinstance(extra.get(name), Mapping):
            payload[name] = {**ours[name], **extra[name]}
    if "tools" in ours and isinstance(extra.get("tools"), list | tuple):
        payload["tools"] = [*ours["tools"], *extra["tools"]]
    if payload.get("include", ()) is None:
        del payload["include"]


def read_request(payload: Any) -> dict[str, Any]:
    """Read the wire's fields into those of a `Request`. Raises `ConfigurationError` where it is no request."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get("model"), str):
        raise ConfigurationError('a request is an object with a "model" and an "input"')
    extra = others(payload, {"model", "input", "instructions"})
    fields: dict[str, Any] = {
        "model": payload["model"],
        "messages": _read_messages(payload),
        "stream": extra.pop("stream", False) is True,
    }
    for name in _PLAIN:
        if name in extra:
            fields[name] = extra.pop(name)
    for name in _CACHE:
        if isinstance(extra.get(name), str):
            fields[name] = extra.pop(name)
    _read_keeping(extra, fields)
    read_tools(extra, fields)
    _read_effort(extra, fields)
    _read_schema(extra, fields)
    if extra:
        fields["extra"] = extra
    return fields


def _read_messages(payload: Mapping[str, Any]) -> tuple[Message, ...]:
    instructions = payload.get("instructions")
    if not isinstance(instructions, str | None):
        raise ConfigurationError('the "instructions" of a request are a text')
    messages = read_input(payload.get("input"))
    return messages if instructions is None else (Message.system(instructions), *messages)


def _read_keeping(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Read whether the provider keeps the reply, as it does where nothing is said, and what it is to send besides."""
    if extra.setdefault("store", True) is False:
        del extra["store"]
    include = extra.setdefault("include", None)
    if not isinstance(include, list) or include not in ([SEALED], [SEALED, _LOGPROBS]):
        return
    del extra["include"]
    if _LOGPROBS in include:
        fields["logprobs"] = True
        if type(extra.get("top_logprobs")) is int:
            fields["top_logprobs"] = extra.pop("top_logprobs")


def _read_effort(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    given = extra.get("reasoning")
    if isinstance(given, Mapping) and isinstance(given.get("effort"), str):
        fields["reasoning_effort"] = given["effort"]
        extra["reasoning"] = others(given, {"effort"})
        if not extra["reasoning"]:
            del extra["reasoning"]


def _read_schema(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    given = extra.get("text")
    if not isinstance(given, Mapping):
        return
    form = given.get("format")
    schema = form.get("schema") if isinstance(form, Mapping) else None
    if not isinstance(schema, Mapping) or form != {"type": "json_schema", **named_schema(schema)}:
        return
    fields["response_schema"] = schema
    extra["text"] = others(given, {"format"})
    if not extra["text"]:
        del extra["text"]
