"""Tools, and the choice among them, in the form of the Anthropic wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import CustomTool, Tool
from inferkit.providers.wires.extras import ANTHROPIC, own
from inferkit.providers.wires.payload import NotTakenError, others

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["is_tool", "read_tool", "read_tools", "write_tools"]

_TO_WIRE = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}
_FROM_WIRE = {"auto": "auto", "any": "required", "none": "none"}


def write_tools(request: Request, payload: dict[str, Any]) -> None:
    """Write a request's tools and its choice. Raises `NotTakenError` for tools that take plain text."""
    if request.tools:
        payload["tools"] = [_write_tool(tool) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None:
        payload["tool_choice"] = dict(_TO_WIRE.get(choice) or {"type": "tool", "name": choice})


def _write_tool(tool: Tool | CustomTool) -> dict[str, Any]:
    if isinstance(tool, CustomTool):
        raise NotTakenError("tools that take plain text")
    written: dict[str, Any] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = dict(tool.parameters)
    if tool.strict is not None:
        written["strict"] = tool.strict
    return written | own(tool.extra, ANTHROPIC)


def read_tools(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take the tools, and the choice among them, out of the wire's fields, where they can be written just so."""
    given = extra.get("tools")
    if isinstance(given, list) and given and all(map(is_tool, given)):
        fields["tools"] = tuple(map(read_tool, given))
        del extra["tools"]
    choice = extra.get("tool_choice")
    if not isinstance(choice, Mapping):
        return
    kind, name = choice.get("type"), choice.get("name")
    if kind == "tool" and isinstance(name, str) and name not in _TO_WIRE and choice.keys() == {"type", "name"}:
        fields["tool_choice"] = name
    elif isinstance(kind, str) and kind in _FROM_WIRE and choice.keys() == {"type"}:
        fields["tool_choice"] = _FROM_WIRE[kind]
    else:
        return
    del extra["tool_choice"]


def is_tool(given: Any) -> bool:
    """Say whether this is a tool that runs in the application, in the form of this wire."""
    return (
        isinstance(given, Mapping)
        and given.get("type") in {None, "custom"}
        and isinstance(given.get("name"), str)
        and isinstance(given.get("description", ""), str)
        and isinstance(given.get("input_schema"), Mapping)
        and isinstance(given.get("strict"), bool | None)
    )


def read_tool(given: Mapping[str, Any]) -> Tool:
    """Read one."""
    extra = others(given, {"name", "description", "input_schema", "strict"})
    return Tool(
        given["name"], given.get("description", ""), given["input_schema"], given.get("strict"),
        {ANTHROPIC: extra} if extra else None,
    )  # fmt: skip
