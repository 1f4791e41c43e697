"""A request in the form of the Gemini wire, written and read.

https://ai.google.dev/api/generate-content

Reading keeps as a field of a `Request` what writing would write just so; all else stays as it came, in `extra`. The
model stands in the address, and not in the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.pricing.terms import refuse_always
from inferkit.providers.wires.gemini.fields import COST_RULES
from inferkit.providers.wires.gemini.models import generation
from inferkit.providers.wires.gemini.quirks import GeminiQuirks
from inferkit.providers.wires.gemini.read_messages import others, read_conversation, read_system
from inferkit.providers.wires.gemini.spelling import in_one_spelling
from inferkit.providers.wires.gemini.thinking import EFFORTS, write_thinking
from inferkit.providers.wires.gemini.tools import merge_tools, read_tools, write_tools
from inferkit.providers.wires.gemini.write_messages import write_messages, write_system

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["read_request", "write_request"]

_CONFIG = "generationConfig"
_PLAIN = {"max_output_tokens": "maxOutputTokens", "temperature": "temperature", "top_p": "topP", "seed": "seed"}
_HINTS = ("prediction", "prompt_cache_key", "prompt_cache_retention")
_JSON = "application/json"
_SIGNED = (3, 0)  # the generation from which calls come with signatures, and must go back with them


def write_request(request: Request, quirks: GeminiQuirks, leave_out: LeaveOut) -> dict[str, Any]:
    """Give the wire's fields for a request. `request.extra` is merged last.

    `leave_out` is told what only another wire understands. Raises `ConfigurationError` and `NotTakenError` for what
    the wire cannot carry.
    """
    known = generation(request.model)
    signed = known is None or known >= _SIGNED
    payload: dict[str, Any] = {"contents": write_messages(request.messages, leave_out, signed=signed)}
    if not payload["contents"]:
        raise ConfigurationError("this provider answers a user's message, and there is none; add Message.user(...)")
    system = write_system(request.messages)
    if system is not None:
        payload["systemInstruction"] = system
    if request.tools or request.tool_choice is not None:
        write_tools(request, payload, leave_out)
    config = _write_config(request, quirks, leave_out)
    if config:
        payload[_CONFIG] = config
    for name in _HINTS:
        if getattr(request, name) is not None:
            leave_out(name)
    if request.extra:
        _merge(payload, request, leave_out)
    return payload


def _write_config(request: Request, quirks: GeminiQuirks, leave_out: LeaveOut) -> dict[str, Any]:
    config = {theirs: value for ours, theirs in _PLAIN.items() if (value := getattr(request, ours)) is not None}
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.response_schema is not None:
        config |= {"responseMimeType": _JSON, "responseJsonSchema": dict(request.response_schema)}
    if request.logprobs or request.top_logprobs:
        config["responseLogprobs"] = True
        if request.top_logprobs:
            config["logprobs"] = request.top_logprobs
    if request.reasoning_effort is not None:
        thinking = write_thinking(request.model, request.reasoning_effort, quirks)
        if thinking is None:
            leave_out("reasoning_effort")
        else:
            config["thinkingConfig"] = thinking
    return config


def _merge(payload: dict[str, Any], request: Request, leave_out: LeaveOut) -> None:
    extra = request.extra
    refuse_always(extra, COST_RULES)
    config = payload.get(_CONFIG)
    payload.update({name: value for name, value in extra.items() if name not in {"tools", "toolConfig"}})
    merge_tools(payload, extra, leave_out, stream=request.stream)
    theirs = extra.get(_CONFIG)
    if config is not None and isinstance(theirs, Mapping):
        payload[_CONFIG] = {**config, **theirs}


def read_request(payload: Any) -> dict[str, Any]:
    """Read the wire's fields into those of a `Request`. Raises `ConfigurationError` where it is no request.

    A `model` may stand among them, as it does in the address, where it is not known otherwise.
    """
    if not isinstance(payload, Mapping):
        raise ConfigurationError('a request is an object with "contents"')
    payload = in_one_spelling(payload)
    system = read_system(payload.get("systemInstruction"))
    messages = read_conversation(payload.get("contents"))
    fields: dict[str, Any] = {"messages": messages if system is None else (system, *messages)}
    model = payload.get("model")
    if isinstance(model, str):
        fields["model"] = model.removeprefix("models/")
    extra = others(payload, {"model", "contents", "systemInstruction"})
    read_tools(extra, fields)
    given = extra.get(_CONFIG)
    if isinstance(given, Mapping):
        rest = _read_config(dict(given), fields)
        if rest:
            extra[_CONFIG] = rest
        else:
            del extra[_CONFIG]
    if extra:
        fields["extra"] = extra
    return fields


def _read_config(config: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Take what has a field out of a `generationConfig`; give the rest."""
    for ours, theirs in _PLAIN.items():
        if config.get(theirs) is not None:
            fields[ours] = config.pop(theirs)
    stop = config.get("stopSequences")
    if isinstance(stop, Sequence) and stop and not isinstance(stop, str) and all(isinstance(one, str) for one in stop):
        fields["stop"] = tuple(config.pop("stopSequences"))
    if config.get("responseMimeType") == _JSON and isinstance(config.get("responseJsonSchema"), Mapping):
        del config["responseMimeType"]
        fields["response_schema"] = config.pop("responseJsonSchema")
    if config.get("responseLogprobs") is True:
        fields["logprobs"] = config.pop("responseLogprobs")
        others_too = config.get("logprobs")
        if type(others_too) is int and others_too > 0:
            fields["top_logprobs"] = config.pop("logprobs")
    thinking, model = config.get("thinkingConfig"), fields.get("model")
    if thinking is not None and model is not None:
        efforts = (each for each in EFFORTS if write_thinking(model, each, GeminiQuirks()) == thinking)
        effort = next(efforts, None)
        if effort is not None:
            fields["reasoning_effort"] = effort
            del config["thinkingConfig"]
    return config
