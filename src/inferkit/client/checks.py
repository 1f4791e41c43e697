"""What a value may be: the checks that settings and call options are declared with.

A wrong value is told where it was written, and not by whatever trips over it further in.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Check: TypeAlias = Callable[[Any], bool]

__all__ = [
    "are_adapters",
    "are_budgets",
    "are_layers",
    "are_limits",
    "are_parameters",
    "are_plans",
    "are_stops",
    "are_tags",
    "are_tools",
    "is_budget",
    "is_cache",
    "is_failover",
    "is_health",
    "is_hedge",
    "is_ledger",
    "is_mapping",
    "is_path",
    "is_price_or_block",
    "is_route",
    "is_schema",
    "is_telemetry",
    "is_text",
    "is_time",
    "is_time_or_none",
    "number",
    "one_of",
    "whole",
]


def whole(least: int | None = None, most: float = math.inf) -> Check:
    """Take whole numbers, from the least on and to the most."""

    def is_whole(value: Any) -> bool:
        is_one = isinstance(value, int) and not isinstance(value, bool)
        return is_one and (least is None or value >= least) and value <= most

    return is_whole


def number(least: float, most: float = sys.float_info.max) -> Check:
    """Take numbers in a range, which is never without end: infinity and "not a number" are none."""

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return is_number


def one_of(*values: str) -> Check:
    """Take one of these texts."""
    return lambda value: value in values


def is_time(value: Any) -> bool:
    """Say whether this can be a time in seconds, which ends: infinity and "not a number" are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def is_time_or_none(value: Any) -> bool:
    """Say whether this can be a time in seconds, or no limit."""
    return value is None or is_time(value)


def is_text(value: Any) -> bool:
    """Say whether this is a text that both a ledger and a provider take: not empty, and no half characters in it."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_path(value: Any) -> bool:
    """Say whether this can be a path."""
    return isinstance(value, str | os.PathLike)


def is_switch(value: Any) -> bool:
    """Say whether it is True or False."""
    return isinstance(value, bool)


def is_mapping(value: Any) -> bool:
    """Say whether this is a dictionary of any kind."""
    return isinstance(value, Mapping)


def are_parameters(value: Any) -> bool:
    """Say whether this is a dictionary without numbers that JSON has no word for: servers cannot read "NaN"."""
    if not isinstance(value, Mapping):
        return False
    waiting: list[Any] = [value]
    seen = {id(value)}  # what holds itself is told where it is written
    while waiting:
        one = waiting.pop()
        for each in one.values() if isinstance(one, Mapping) else one:
            if isinstance(each, float):
                if not math.isfinite(each):
                    return False
            elif isinstance(each, Mapping | list | tuple) and id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)
    return True


def is_schema(value: Any) -> bool:
    """Say whether this can say what an object has to look like."""
    from inferkit.typed.form import is_form

    return is_form(value)


def are_stops(value: Any) -> bool:
    """Say whether this is a text, or several."""
    return isinstance(value, str) or (isinstance(value, Sequence) and all(isinstance(one, str) for one in value))


def are_tags(value: Any) -> bool:
    """Say whether this is a name of one line, or several."""
    several = (value,) if isinstance(value, str) else value
    return isinstance(several, Sequence) and all(isinstance(one, str) and _is_line(one) for one in several)


def _is_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def are_tools(value: Any) -> bool:
    """Say whether these are tools, or can be read as some."""
    return isinstance(value, Sequence) and all(map(_is_tool, value))


def is_budget(value: Any) -> bool:
    """Say whether this is a budget."""
    return _is_a("Budget", "inferkit.budgets.budget", value)


def are_budgets(value: Any) -> bool:
    """Say whether this is a budget, or several."""
    return is_budget(value) or (isinstance(value, Sequence) and all(map(is_budget, value)))


def are_plans(value: Any) -> bool:
    """Say whether these can be plans, or the path of a file of them."""
    return isinstance(value, os.PathLike | Sequence) and value != ""


def are_layers(value: Any) -> bool:
    """Say whether these can be layers of a stack."""
    from inferkit.core.stack import Insert

    return isinstance(value, Iterable) and all(_is_callable(one) or isinstance(one, Insert) for one in value)


def are_adapters(value: Any) -> bool:
    """Say whether these can be adapters, by names that can stand before a colon."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and name and ":" not in name and _is_callable(each) for name, each in value.items()
    )


def _is_callable(value: Any) -> bool:
    """Say whether it is called with a request. A class is not, but what it makes."""
    return callable(value) and not isinstance(value, type)


def is_price_or_block(value: Any) -> bool:
    """Say whether this says what a model without a price costs."""
    return value == "block" or _is_a("Price", "inferkit.pricing.prices", value)


def is_cache(value: Any) -> bool:
    """Say whether this is a cache, or says whether there is one."""
    from inferkit.layers.cache import Cache

    return isinstance(value, bool | Cache)


def is_ledger(value: Any) -> bool:
    """Say whether this is a ledger, where one is, or whether there is one."""
    from inferkit.ledger.ledger import Ledger

    return isinstance(value, bool | os.PathLike | Ledger) or (value != "" and isinstance(value, str))


def is_transport(value: Any) -> bool:
    """Say whether this says how requests travel."""
    from inferkit.providers.http.settings import LIBRARIES, Http

    return isinstance(value, Http) or value in LIBRARIES or callable(getattr(value, "post", None))


def is_route(value: Any) -> bool:
    """Say whether this can be a policy, or several by name: what it is not is told where it is read."""
    return isinstance(value, str | Sequence | Mapping) or hasattr(value, "plan") or _is_callable(value)


def are_limits(value: Any) -> bool:
    """Say whether these are limits, by the names of models or of providers."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and ":" in name and _is_a("RateLimit", "inferkit.resilience.limiter", limit)
        for name, limit in value.items()
    )


def is_hedge(value: Any) -> bool:
    """Say whether this says when a second request is sent."""
    return _is_a("Hedge", "inferkit.layers.hedge", value)


def is_failover(value: Any) -> bool:
    """Say whether this says what follows from failures, for all names or for each."""
    each = value.values() if isinstance(value, Mapping) else [value]
    return all(_is_a("Failover", "inferkit.resilience.failover", one) for one in each)


def is_health(value: Any) -> bool:
    """Say whether this is what is known of models that fail."""
    return _is_a("Health", "inferkit.resilience.health", value)


def is_telemetry(value: Any) -> bool:
    """Say whether spans and metrics can go there."""
    return hasattr(value, "tracer")


def _is_tool(value: Any) -> bool:
    messages = "inferkit.core.messages"
    return (
        _is_a("Tool", messages, value)
        or _is_a("CustomTool", messages, value)
        or isinstance(value, Mapping)
        or _is_callable(value)
    )


def _is_a(name: str, module: str, value: Any) -> bool:
    """Say whether this is of a class that may not have been imported: then there is no value of it yet."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
