"""Tools, and the choice among them, in the form of the Gemini wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import CustomTool, Tool
from inferkit.providers.wires.extras import GEMINI, own
from inferkit.providers.wires.gemini.read_messages import others
from inferkit.providers.wires.payload import NotTakenError

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["FUNCTIONS", "merge_tools", "read_tools", "write_tools"]

FUNCTIONS = "functionDeclarations"
_SCHEMA = "parametersJsonSchema"
_CHOICE = "functionCallingConfig"
_TO_WIRE = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_FROM_WIRE = {mode: choice for choice, mode in _TO_WIRE.items()}
_PIECEMEAL = "streamFunctionCallArguments"


def write_tools(request: Request, payload: dict[str, Any], leave_out: LeaveOut) -> None:
    """Write a request's tools and its choice. Raises `NotTakenError` for tools that take plain text."""
    if request.tools:
        payload["tools"] = [{FUNCTIONS: [_write_tool(tool, leave_out) for tool in request.tools]}]
    choice = request.tool_choice
    if choice is not None:
        mode = _TO_WIRE.get(choice)
        config = {"mode": "ANY", "allowedFunctionNames": [choice]} if mode is None else {"mode": mode}
        payload["toolConfig"] = {_CHOICE: config}


def _write_tool(tool: Tool | CustomTool, leave_out: LeaveOut) -> dict[str, Any]:
    if isinstance(tool, CustomTool):
        raise NotTakenError("tools that take plain text")
    if tool.strict:
        leave_out("strict")
    said = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **said, _SCHEMA: dict(tool.parameters), **own(tool.extra, GEMINI)}


def merge_tools(payload: dict[str, Any], extra: Mapping[str, Any], leave_out: LeaveOut, *, stream: bool) -> None:
    """Put a caller's own tools beside his functions, and what else he says of them into one."""
    given = extra.get("tools")
    if isinstance(given, list | tuple) and "tools" in payload:
        payload["tools"] = [*payload["tools"], *given]
    elif "tools" in extra:
        payload["tools"] = given
    config = extra.get("toolConfig")
    if isinstance(config, Mapping):
        merged = {**payload.get("toolConfig", {}), **config}
        choice = config.get(_CHOICE)
        if isinstance(choice, Mapping):
            choice = {**payload.get("toolConfig", {}).get(_CHOICE, {}), **choice}
            if not stream and choice.pop(_PIECEMEAL, None):  # its servers refuse it for a whole reply
                leave_out(_PIECEMEAL)
            merged[_CHOICE] = choice
        payload["toolConfig"] = merged
    elif "toolConfig" in extra:
        payload["toolConfig"] = config


def read_tools(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take the tools, and the choice among them, out of the wire's fields, where they can be written just so."""
    given = extra.get("tools")
    if isinstance(given, list) and given and isinstance(given[0], Mapping) and given[0].keys() == {FUNCTIONS}:
        functions = given[0][FUNCTIONS]
        if isinstance(functions, list) and functions and all(map(_is_tool, functions)):
            fields["tools"] = tuple(map(_read_tool, functions))
            extra["tools"] = given[1:]
            if not extra["tools"]:
                del extra["tools"]
    choice = _read_choice(extra.get("toolConfig"))
    if choice is not None:
        fields["tool_choice"] = choice
        rest = others(extra["toolConfig"], {_CHOICE})
        if rest:
            extra["toolConfig"] = rest
        else:
            del extra["toolConfig"]


def _read_choice(config: Any) -> str | None:
    said = config.get(_CHOICE) if isinstance(config, Mapping) else None
    if not isinstance(said, Mapping):
        return None
    mode: Any = said.get("mode")
    if said.keys() == {"mode"} and isinstance(mode, str):
        return _FROM_WIRE.get(mode)
    names: Any = said.get("allowedFunctionNames")
    if said.keys() != {"mode", "allowedFunctionNames"} or mode != "ANY" or not isinstance(names, list):
        return None
    return names[0] if len(names) == 1 and isinstance(names[0], str) and names[0] not in _TO_WIRE else None


def _is_tool(given: Any) -> bool:
    return (
        isinstance(given, Mapping)
        and isinstance(given.get("name"), str)
        and isinstance(given.get("description", ""), str)
        and isinstance(given.get(_SCHEMA), Mapping)
    )


def _read_tool(given: Mapping[str, Any]) -> Tool:
    extra = others(given, {"name", "description", _SCHEMA})
    return Tool(
        given["name"], given.get("description", ""), given[_SCHEMA], extra={GEMINI: extra} if extra else None
    )  # fmt: skip
