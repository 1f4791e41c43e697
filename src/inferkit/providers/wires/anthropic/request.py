"""A request in the form of the Anthropic wire, written and read.

https://platform.claude.com/docs/en/api/messages

Reading keeps as a field of a `Request` what writing would write just so; all else stays as it came, in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.pricing.terms import refuse_always
from inferkit.providers.wires.anthropic.fields import COST_RULES
from inferkit.providers.wires.anthropic.read_messages import read_message, read_system
from inferkit.providers.wires.anthropic.refused import look_for_refused, without_traces
from inferkit.providers.wires.anthropic.schemas import write_schema
from inferkit.providers.wires.anthropic.thinking import EFFORTS, write_thinking
from inferkit.providers.wires.anthropic.tools import read_tools, write_tools
from inferkit.providers.wires.anthropic.write_messages import write_messages, write_system
from inferkit.providers.wires.payload import NotTakenError, others

if TYPE_CHECKING:
    from inferkit.core.messages import Message
    from inferkit.core.request import Request
    from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["limit_of", "read_request", "write_request"]

_PLAIN = ("temperature", "top_p")
_HINTS = ("seed", "prediction", "prompt_cache_key", "prompt_cache_retention")


def write_request(request: Request, quirks: AnthropicQuirks, leave_out: LeaveOut) -> dict[str, Any]:
    """Give the wire's fields for a request. `request.extra` is merged last.

    `leave_out` is told what only another wire understands. Raises `ConfigurationError` and `NotTakenError` for what
    the wire cannot carry.
    """
    limit = limit_of(request, quirks)
    payload: dict[str, Any] = {"model": request.model} if quirks.names_model else {}
    if quirks.version is not None:
        payload["anthropic_version"] = quirks.version
    if quirks.betas:
        payload["anthropic_beta"] = list(quirks.betas)
    payload["max_tokens"] = limit
    _write_conversation(request, quirks, payload, leave_out)
    if request.stream and quirks.says_stream:
        payload["stream"] = True
    _write_options(request, payload, leave_out)
    without = write_thinking(request, quirks, payload, limit)
    if without is not None:
        leave_out(without)
    if request.response_schema is not None:
        schema = {"type": "json_schema", "schema": write_schema(request.response_schema)}
        payload["output_config"] = {**payload.get("output_config", {}), "format": schema}
    if request.extra:
        _merge(payload, request.extra)
    if quirks.without or quirks.without_tools or quirks.without_sources:
        look_for_refused(payload, quirks)
    return payload


def _write_conversation(
    request: Request, quirks: AnthropicQuirks, payload: dict[str, Any], leave_out: LeaveOut
) -> None:
    system = write_system(request.messages)
    if system is not None:
        payload["system"] = system
    turns = write_messages(request.messages, leave_out)
    if quirks.without_tools:
        turns = without_traces(turns, quirks, leave_out)
    if not turns:
        raise ConfigurationError("this provider answers a user's message, and there is none; add Message.user(...)")
    payload["messages"] = turns


def _write_options(request: Request, payload: dict[str, Any], leave_out: LeaveOut) -> None:
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            payload[name] = value
    if request.logprobs or request.top_logprobs:
        raise NotTakenError("logprobs")
    for name in _HINTS:
        if getattr(request, name) is not None:
            leave_out(name)
    if request.stop:
        payload["stop_sequences"] = list(request.stop)
    if request.tools or request.tool_choice is not None:
        write_tools(request, payload)


def limit_of(request: Request, quirks: AnthropicQuirks) -> int:
    """Give the limit of the reply, which the wire demands, and which is no more than the model is known to take."""
    asked = quirks.max_tokens if request.max_output_tokens is None else request.max_output_tokens
    return min(asked, quirks.limits.get(request.model, asked))


def _merge(payload: dict[str, Any], extra: Mapping[str, Any]) -> None:
    refuse_always(extra, COST_RULES)
    ours, theirs = payload.get("output_config"), extra.get("output_config")
    payload.update(extra)
    if ours is not None and isinstance(theirs, Mapping):
        payload["output_config"] = {**ours, **theirs}


def read_request(payload: Any) -> dict[str, Any]:
    """Read the wire's fields into those of a `Request`. Raises `ConfigurationError` where it is no request."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get("model"), str):
        raise ConfigurationError('a request is an object with a "model", "max_tokens" and "messages"')
    extra = others(payload, {"model", "messages", "system", "anthropic_version"})
    fields: dict[str, Any] = {
        "model": payload["model"],
        "messages": _read_messages(payload),
        "stream": extra.pop("stream", False) is True,
    }
    if type(extra.get("max_tokens")) is int:
        fields["max_output_tokens"] = extra.pop("max_tokens")
    for name in _PLAIN:
        if name in extra:
            fields[name] = extra.pop(name)
    stop = extra.get("stop_sequences")
    if isinstance(stop, Sequence) and stop and not isinstance(stop, str) and all(isinstance(one, str) for one in stop):
        fields["stop"] = tuple(extra.pop("stop_sequences"))
    read_tools(extra, fields)
    _read_output(extra, fields)
    if extra:
        fields["extra"] = extra
    return fields


def _read_messages(payload: Mapping[str, Any]) -> tuple[Message, ...]:
    given = payload.get("messages")
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ConfigurationError('the "messages" of a request are a list with at least one message')
    for place, message in enumerate(given):
        if not isinstance(message, Mapping):
            raise ConfigurationError(f"message {place} is a {type(message).__name__}, and not an object")
    system = read_system(payload.get("system"))
    messages = [read_message(message, place) for place, message in enumerate(given)]
    return (*(() if system is None else (system,)), *messages)


def _read_output(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take the schema and the effort out of the wire's fields, where they can be written just so."""
    thinking, output = extra.get("thinking"), extra.get("output_config")
    if thinking == {"type": "disabled"}:
        fields["reasoning_effort"] = "none"
        del extra["thinking"]
    if not isinstance(output, Mapping):
        return
    left = dict(output)
    if thinking == {"type": "adaptive"} and left.get("effort") in EFFORTS:
        fields["reasoning_effort"] = left.pop("effort")
        del extra["thinking"]
    form = left.get("format")
    if isinstance(form, Mapping) and form.keys() == {"type", "schema"} and form["type"] == "json_schema":
        schema = form["schema"]
        if isinstance(schema, Mapping) and write_schema(schema) == schema:
            fields["response_schema"] = schema
            del left["format"]
    if left:
        extra["output_config"] = left
    else:
        del extra["output_config"]
