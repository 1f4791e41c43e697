"""What a call's options and a client's settings may be, and how one that makes no sense is explained.

A wrong value is told where it was written, and not by whatever trips over it further in. None is "not given", except
where it could be taken for "none": for a cache and a ledger.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.budgets.budget import Budget
from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Tool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["are_layers", "check_options", "check_settings"]

Rule = tuple["Callable[[Any], bool]", str]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character: neither the ledger nor a provider takes it
        return False
    return True


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_stops(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Sequence) and all(isinstance(one, str) for one in value))


def _are_tools(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(tool, Tool) for tool in value)


def _is_budget(value: Any) -> bool:
    return isinstance(value, Budget)


def _are_budgets(value: Any) -> bool:
    return isinstance(value, Budget) or (isinstance(value, Sequence) and all(map(_is_budget, value)))


def _are_plans(value: Any) -> bool:
    return isinstance(value, os.PathLike | Sequence) and value != ""


def are_layers(value: Any) -> bool:
    """Say whether these can be layers of a stack."""
    return isinstance(value, Iterable) and all(map(callable, value))


def _are_adapters(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and name and ":" not in name and callable(adapter) for name, adapter in value.items()
    )


def _is_cache(value: Any) -> bool:
    from inferkit.layers.cache import Cache

    return isinstance(value, bool | Cache)


def _is_ledger(value: Any) -> bool:
    from inferkit.ledger.ledger import Ledger

    return isinstance(value, bool | os.PathLike | Ledger) or (value != "" and isinstance(value, str))


def _is_telemetry(value: Any) -> bool:
    return hasattr(value, "tracer")


_SECONDS: Rule = (_is_time, "a number of seconds greater than 0")

_OPTIONS: Mapping[str, Rule] = {
    "max_output_tokens": (lambda value: _is_whole(value) and value >= 1, "a whole number from 1"),
    "temperature": (lambda value: _is_number(value) and value >= 0, "a number from 0"),
    "top_p": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "seed": (_is_whole, "a whole number"),
    "stop": (_are_stops, "a text or a list of texts"),
    "tools": (_are_tools, "a list of inferkit.Tool values"),
    "tool_choice": (_is_text, 'a text, for example "auto"'),
    "response_schema": (_is_mapping, "a JSON schema, as a dictionary"),
    "reasoning_effort": (_is_text, 'a text, for example "low"'),
    "extra": (_is_mapping, "a dictionary of parameters"),
    "user": (_is_text, "a text that is valid and not empty; pass str(...) of an id"),
    "tenant": (_is_text, "a text that is valid and not empty; pass str(...) of an id"),
    "feature": (_is_text, 'a text, for example "search"'),
    "plan": (_is_text, 'the name of a plan, for example "pro"'),
    "timeout": _SECONDS,
    "budget": (_is_budget, 'a Budget: Budget(usd="0.01", per="call", name="cheap")'),
    "cache": (lambda value: value in ("use", "bypass", "refresh"), '"use", "bypass" or "refresh"'),
    "extensions": (_is_mapping, "a dictionary from Key to value"),
}

_SETTINGS: Mapping[str, Rule] = {
    "models": (_is_mapping, 'a dictionary of aliases, for example {"fast": ["openai:gpt-5-mini", "local"]}'),
    "default": (_is_text, "the name of an alias or model"),
    "providers": (_are_adapters, 'a dictionary from a name without a colon to an adapter, such as OpenAIChat("...")'),
    "prices": (_is_mapping, 'a dictionary, for example {"openai:gpt-5-mini": Price(input="0.25", output="2.00")}'),
    "budget": (_are_budgets, 'a Budget or several: Budget(usd="200", per="month", name="all")'),
    "plans": (_are_plans, 'a list of Plan values, or the path of a TOML file: [Plan("pro", price="99", ...)]'),
    "default_plan": (_is_text, 'the name of a plan, for example "free"'),
    "cache": (_is_cache, "True, False or a Cache"),
    "ledger": (_is_ledger, "True, False, a path or a ledger: Ledger(store) for a store of your own"),
    "estimates": (lambda value: value in ("strict", "learned"), '"strict" or "learned"'),
    "max_retries": (lambda value: _is_whole(value) and value >= 0, "0 or more, a whole number"),
    "timeout": _SECONDS,
    "layers": (are_layers, "a list of layers, which are callables of a request and the rest of the stack"),
    "stack": (callable, "a function of the default layers, for example lambda layers: [*layers, mine]"),
    "home": (lambda value: isinstance(value, str | os.PathLike), "a path"),
    "telemetry": (_is_telemetry, "a Telemetry"),
}

_NOT_NONE = ("cache", "ledger")
_LENGTHS = ("max_tokens", "max_completion_tokens")  # what other libraries call `max_output_tokens`


def check_options(options: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for an option of a call that is unknown or makes no sense."""
    for name, value in options.items():
        rule = _OPTIONS.get(name)
        if rule is None:
            unknown = ", ".join(sorted(options.keys() - _OPTIONS.keys()))
            if name in _LENGTHS:
                raise ConfigurationError(f"unknown option {name}; the limit of the reply is max_output_tokens=...")
            raise ConfigurationError(f"unknown option {unknown}; provider-specific parameters go into extra={{...}}")
        if value is not None and not rule[0](value):
            raise _explained(name, rule, value)


def check_settings(settings: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise `ConfigurationError` for a setting of a client that is unknown or makes no sense."""
    unknown = settings.keys() - set(known)
    if unknown:
        raise ConfigurationError(
            f"unknown setting {', '.join(sorted(unknown))}; the settings are: {', '.join(sorted(known))}"
        )
    for name, value in settings.items():
        rule = _SETTINGS.get(name)
        if rule is not None and not rule[0](value) and (value is not None or name in _NOT_NONE):
            raise _explained(name, rule, value)


def _explained(name: str, rule: Rule, value: Any) -> ConfigurationError:
    """Quote only what cannot be anybody's words."""
    got = repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
    return ConfigurationError(f"{name} is {rule[1]}; got {got}")
