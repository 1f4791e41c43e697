"""Tools, and the choice among them, in the form of the Responses wire.

https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import CustomTool, Tool
from inferkit.providers.wires.extras import RESPONSES, own
from inferkit.providers.wires.payload import others

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["is_tool", "read_tool", "read_tools", "write_tools"]

_CHOICES = frozenset({"auto", "none", "required"})


def write_tools(request: Request, payload: dict[str, Any]) -> None:
    """Write a request's tools and its choice."""
    if request.tools:
        payload["tools"] = [_write_tool(tool) for tool in request.tools]
    choice = request.tool_choice
    if choice is None:
        return
    if choice in _CHOICES:
        payload["tool_choice"] = choice
    else:
        custom = any(tool.name == choice and isinstance(tool, CustomTool) for tool in request.tools)
        payload["tool_choice"] = {"type": "custom" if custom else "function", "name": choice}


def read_tools(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take the tools that run in the application, and the choice, out of the wire's fields.

    Tools of the provider's own stay, where they stand behind the others; where they do not, all tools do.
    """
    given = extra.get("tools")
    custom: set[str] = set()
    if isinstance(given, list):
        mine = next((place for place, tool in enumerate(given) if not is_tool(tool)), len(given))
        if mine and not any(map(is_tool, given[mine:])):
            fields["tools"] = tuple(map(read_tool, given[:mine]))
            custom = {tool.name for tool in fields["tools"] if isinstance(tool, CustomTool)}
            extra["tools"] = given[mine:]
            if not extra["tools"]:
                del extra["tools"]
    choice = _read_choice(extra.get("tool_choice"), custom)
    if choice is not None:
        fields["tool_choice"] = choice
        del extra["tool_choice"]


def _read_choice(given: Any, custom: set[str]) -> str | None:
    if isinstance(given, str):
        return given if given in _CHOICES else None
    if not isinstance(given, Mapping) or given.keys() != {"type", "name"}:
        return None
    name: Any = given["name"]
    if not isinstance(name, str) or name in _CHOICES:
        return None
    return name if given["type"] == ("custom" if name in custom else "function") else None


def _write_tool(tool: Tool | CustomTool) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if isinstance(tool, CustomTool):
        written["type"] = "custom"
        if tool.grammar is not None:
            written["format"] = {"type": "grammar", "syntax": tool.syntax, "definition": tool.grammar}
    else:
        written["parameters"] = dict(tool.parameters)
        written["strict"] = tool.strict is True  # nothing said is strict here, unlike on other wires
    return written | own(tool.extra, RESPONSES)


def is_tool(given: Any) -> bool:
    """Say whether this is a tool that runs in the application, in the form of this wire."""
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        return False
    if not isinstance(given.get("description", ""), str):
        return False
    if given.get("type") == "custom":
        form = given.get("format")
        return form is None or _is_grammar(form)
    return (
        given.get("type") == "function"
        and isinstance(given.get("parameters"), Mapping)
        and isinstance(given.get("strict"), bool | None)
    )


def _is_grammar(form: Any) -> bool:
    return (
        isinstance(form, Mapping)
        and form.keys() == {"type", "syntax", "definition"}
        and form["type"] == "grammar"
        and isinstance(form["syntax"], str)
        and isinstance(form["definition"], str)
    )


def read_tool(given: Mapping[str, Any]) -> Tool | CustomTool:
    """Read one."""
    name, description = given["name"], given.get("description", "")
    if given["type"] == "custom":
        more = others(given, {"type", "name", "description", "format"})
        form = given.get("format") or {}
        extra = {RESPONSES: more} if more else None
        return CustomTool(name, description, form.get("definition"), form.get("syntax", "lark"), extra)
    more = others(given, {"type", "name", "description", "parameters", "strict"})
    strict = given.get("strict")
    if strict is None:
        more["strict"] = None
    return Tool(name, description, given["parameters"], strict or None, {RESPONSES: more} if more else None)
