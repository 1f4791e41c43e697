"""Turns what a caller passes as tools into `Tool` values: functions, and dictionaries in the form of some wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import CustomTool, Tool

if TYPE_CHECKING:
    from inferkit.typed.function import Function

__all__ = ["as_tools"]

_EMPTY = {"type": "object", "properties": {}}


def as_tools(given: Sequence[Any]) -> tuple[tuple[Tool | CustomTool, ...], dict[str, Function]]:
    """Give the tools, and the functions that stand behind some of them by their names.

    Raises `ConfigurationError` for what is no tool, and for two of one name.
    """
    tools: list[Tool | CustomTool] = []
    functions: dict[str, Function] = {}
    for one in given:
        if isinstance(one, Tool | CustomTool):
            tools.append(one)
        elif isinstance(one, Mapping):
            tools.append(_read(one))
        else:
            from inferkit.typed.function import function_of

            function = function_of(one)
            functions[function.tool.name] = function
            tools.append(function.tool)
    names = [tool.name for tool in tools]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigurationError(
            f"two tools are called {', '.join(sorted(twice))}; the model could not tell them apart"
        )
    return tuple(tools), functions


def _read(given: Mapping[str, Any]) -> Tool | CustomTool:
    from inferkit.providers.wires.anthropic import tools as anthropic
    from inferkit.providers.wires.chat import tools as chat
    from inferkit.providers.wires.responses import tools as responses

    if anthropic.is_tool(given):
        return anthropic.read_tool(given)
    called = given.get("function")
    if isinstance(called, Mapping):
        given = {"type": "function", **given, "function": {"parameters": _EMPTY, **called}}
    elif given.get("type") == "function":
        given = {"parameters": _EMPTY, **given}
    if chat.is_tool(given):
        return chat.read_tool(given)
    if responses.is_tool(given):
        return responses.read_tool(given)
    raise ConfigurationError(
        'a tool as a dictionary is {"type": "function", "function": {"name": ..., "parameters": {...}}}, or in '
        'Anthropic\'s form {"name": ..., "input_schema": {...}}; what a provider runs itself goes into '
        'extra={"tools": [...]}; others are functions and inferkit.Tool values'
    )
