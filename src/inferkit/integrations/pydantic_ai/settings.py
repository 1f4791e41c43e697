"""What Pydantic AI lets its users set for a request, as what inferkit is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic_ai.settings import ModelSettings, ToolOrOutput

from inferkit.core.messages import Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.settings import ModelSettingName
    from pydantic_ai.tools import ToolDefinition

    from inferkit.budgets.budget import Budget

__all__ = ["UNSUPPORTED", "InferkitModelSettings", "options_in", "words_in"]


class InferkitModelSettings(ModelSettings, total=False):
    """Settings of a request, with what inferkit takes for every call: who asks, who pays, what answers.

    They are the options of `Client.complete` by the same names.
    """

    inferkit_user: str
    inferkit_tenant: str
    inferkit_feature: str
    inferkit_plan: str
    inferkit_priority: int
    inferkit_budget: Budget
    inferkit_cache: Literal["use", "bypass", "refresh"]


UNSUPPORTED: frozenset[ModelSettingName] = frozenset({"extra_headers", "max_retries", "service_tier"})
"""What inferkit has a say of its own in, or no word for. Pydantic AI warns of those that promise something."""

_SAME = {
    "max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p", "seed": "seed",
    "stop_sequences": "stop", "extra_body": "extra", "inferkit_user": "user", "inferkit_tenant": "tenant",
    "inferkit_feature": "feature", "inferkit_plan": "plan", "inferkit_priority": "priority",
    "inferkit_budget": "budget", "inferkit_cache": "cache",
}  # fmt: skip
_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "top_k": (("anthropic", "top_k"),),
    "presence_penalty": (("chat", "presence_penalty"),),
    "frequency_penalty": (("chat", "frequency_penalty"),),
    "logit_bias": (("chat", "logit_bias"),),
    "parallel_tool_calls": (("chat", "parallel_tool_calls"), ("responses", "parallel_tool_calls")),
}


def options_in(settings: ModelSettings, parameters: ModelRequestParameters) -> dict[str, Any]:
    """Give the options of a call. Raises Pydantic AI's errors for what makes no sense."""
    given = cast("dict[str, Any]", settings)
    options = {option: given[name] for name, option in _SAME.items() if given.get(name) is not None}
    timeout = given.get("timeout")
    seconds = getattr(timeout, "read", timeout)  # a number, or httpx's, of which a whole reply is one read
    if seconds is not None:
        options["timeout"] = float(seconds)
    if parameters.thinking is not None and parameters.thinking is not True:  # True is what the provider thinks best
        options["reasoning_effort"] = parameters.thinking or "none"
    tools, choice = _tools_in(given.get("tool_choice"), parameters)
    if tools:
        options["tools"] = tuple(map(_tool, tools))
        options["tool_choice"] = choice
    return options


def words_in(settings: ModelSettings) -> dict[str, dict[str, dict[str, Any]]]:
    """Give what only some wires have a word for, as `Question.words` takes it."""
    given = cast("dict[str, Any]", settings)
    return {
        wish: {wire: {field: given[wish]} for wire, field in fields}
        for wish, fields in _WORDS.items()
        if given.get(wish) is not None
    }


def _tools_in(choice: Any, parameters: ModelRequestParameters) -> tuple[Sequence[ToolDefinition], str | None]:
    """Give the tools that a model is told of, and which of them it has to call.

    Those of an output are the framework's own, and stay wherever its user has narrowed the others down.
    """
    functions, outputs = parameters.declared_function_tools, parameters.output_tools
    may_say = parameters.allow_text_output or parameters.allow_image_output
    usual = "auto" if may_say else "required"
    if choice is None or choice == "auto":
        return [*functions, *outputs], usual if outputs or functions else None
    if choice in ("none", []):
        return ([*outputs], usual) if outputs else ([*functions], "none")
    if choice == "required":
        return [*functions, *outputs], "required"
    if isinstance(choice, ToolOrOutput):
        return [*[one for one in functions if one.name in choice.function_tools], *outputs], usual
    chosen = [one for one in [*functions, *outputs] if one.name in choice]
    return chosen, chosen[0].name if len(chosen) == 1 else "required"


def _tool(given: ToolDefinition) -> Tool:
    return Tool(given.name, given.description or "", given.parameters_json_schema, given.strict)
