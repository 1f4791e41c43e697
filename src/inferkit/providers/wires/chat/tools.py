"""Tools, and the choice among them, in the form of the Chat Completions wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import CustomTool, Tool
from inferkit.providers.wires.payload import NotTakenError, others

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.chat.quirks import ChatQuirks

__all__ = ["is_tool", "read_tool", "read_tools", "write_tools"]

_CHOICES = frozenset({"auto", "none", "required"})


def write_tools(request: Request, quirks: ChatQuirks, payload: dict[str, Any]) -> None:
    """Write a request's tools and its choice. Raises `NotTakenError` for tools that the server does not know."""
    tools, choice = request.tools, request.tool_choice
    named = choice is not None and choice not in _CHOICES
    if named and not quirks.names_tool:
        only = tuple([tool for tool in tools if tool.name == choice])
        if only:
            tools, choice, named = only, "required", False
    if tools:
        if not quirks.custom_tools and any(isinstance(tool, CustomTool) for tool in tools):
            raise NotTakenError("tools that take plain text")
        payload["tools"] = [_write_tool(tool) for tool in tools]
    if choice is not None:
        custom = named and any(tool.name == choice and isinstance(tool, CustomTool) for tool in tools)
        payload["tool_choice"] = _write_choice(choice, "custom" if custom else "function")


def read_tools(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take the tools, and the choice among them, out of the wire's fields, where they can be written just so."""
    given = extra.get("tools")
    custom: set[str] = set()
    if isinstance(given, list) and given and all(map(is_tool, given)):
        fields["tools"] = tuple(map(read_tool, given))
        custom = {tool.name for tool in fields["tools"] if isinstance(tool, CustomTool)}
        del extra["tools"]
    choice = _read_choice(extra.get("tool_choice"), custom)
    if choice is not None:
        fields["tool_choice"] = choice
        del extra["tool_choice"]


def _read_choice(given: Any, custom: set[str]) -> str | None:
    if isinstance(given, str):
        return given if given in _CHOICES else None
    kind = given.get("type") if isinstance(given, Mapping) else None
    called = given.get(kind) if isinstance(kind, str) else None
    name = called.get("name") if isinstance(called, Mapping) else None
    if not isinstance(name, str) or name in _CHOICES:
        return None
    return name if given == _write_choice(name, "custom" if name in custom else "function") else None


def is_tool(given: Any) -> bool:
    """Say whether this is a tool that runs in the application, in the form of this wire."""
    kind = given.get("type") if isinstance(given, Mapping) else None
    called = given.get(kind) if isinstance(kind, str) else None
    if not isinstance(called, Mapping) or not isinstance(called.get("name"), str):
        return False
    if not isinstance(called.get("description", ""), str):
        return False
    if kind == "custom":
        return _is_format(called.get("format"))
    return (
        kind == "function"
        and isinstance(called.get("parameters"), Mapping)
        and isinstance(called.get("strict"), bool | None)
    )


def _is_format(given: Any) -> bool:
    if given is None:
        return True
    grammar = given.get("grammar") if isinstance(given, Mapping) else None
    return (
        isinstance(grammar, Mapping)
        and isinstance(grammar.get("definition"), str)
        and isinstance(grammar.get("syntax"), str)
        and given == {"type": "grammar", "grammar": grammar}
        and grammar.keys() == {"definition", "syntax"}
    )


def read_tool(given: Mapping[str, Any]) -> Tool | CustomTool:
    """Read one."""
    kind = given["type"]
    called = given[kind]
    extra = others(given, {"type", kind})
    known = {"name", "description"} | ({"format"} if kind == "custom" else {"parameters", "strict"})
    more = others(called, known)
    if more:
        extra[kind] = more
    name, description = called["name"], called.get("description", "")
    if kind == "function":
        return Tool(name, description, called["parameters"], called.get("strict"), extra or None)
    grammar = (called.get("format") or {}).get("grammar") or {}
    return CustomTool(name, description, grammar.get("definition"), grammar.get("syntax", "lark"), extra or None)


def _write_tool(tool: Tool | CustomTool) -> dict[str, Any]:
    called: dict[str, Any] = {"name": tool.name}
    if tool.description:
        called["description"] = tool.description
    if isinstance(tool, CustomTool):
        kind = "custom"
        if tool.grammar is not None:
            grammar = {"definition": tool.grammar, "syntax": tool.syntax}
            called["format"] = {"type": "grammar", "grammar": grammar}
    else:
        kind = "function"
        called["parameters"] = dict(tool.parameters)
        if tool.strict is not None:
            called["strict"] = tool.strict
    extra = dict(tool.extra or {})
    called |= extra.pop(kind, {})
    return {"type": kind, kind: called, **extra}


def _write_choice(choice: str, kind: str) -> str | dict[str, Any]:
    return choice if choice in _CHOICES else {"type": kind, kind: {"name": choice}}
