"""What LangChain's users set for a model or a call, as what inferkit is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import CustomTool, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_choice", "as_tool", "split"]

_OTHERWISE_CALLED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "top_k": (("anthropic", "top_k"),),
    "presence_penalty": (("chat", "presence_penalty"),),
    "frequency_penalty": (("chat", "frequency_penalty"),),
    "parallel_tool_calls": (("chat", "parallel_tool_calls"), ("responses", "parallel_tool_calls")),
}


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """Give the options of a call, and what only some wires have a word for, as `Question.words` takes it."""
    options: dict[str, Any] = {}
    words: dict[str, dict[str, dict[str, Any]]] = {}
    for name, value in given.items():
        if name in _WORDS:
            if value is not None:
                words[name] = {wire: {field: value} for wire, field in _WORDS[name]}
        elif value is not None or name == "timeout":
            options[_OTHERWISE_CALLED.get(name, name)] = value
    return options, words


def as_tool(given: Any, *, strict: bool | None = None) -> Tool:
    """Give a tool, of whatever LangChain takes for one. Raises `ConfigurationError` for one that is called by text."""
    if isinstance(given, Tool):
        return given
    if isinstance(given, CustomTool):
        raise ConfigurationError("LangChain's tools are called with objects; a CustomTool is for the inferkit client")
    function = convert_to_openai_tool(given, strict=strict)["function"]
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return Tool(function["name"], function.get("description", ""), parameters, function.get("strict"))


def as_choice(given: Any) -> str | None:
    """Give the choice of a tool, in any of the forms that LangChain's users know."""
    if given is None or given is False:
        return None
    if given is True or given == "any":
        return "required"
    if isinstance(given, dict):
        name = given.get("name") or given.get("function", {}).get("name")
        if not isinstance(name, str):
            raise ConfigurationError('tool_choice= is "auto", "any", "none" or the name of a tool')
        return name
    return str(given)
