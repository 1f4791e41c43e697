"""What a file says of routes: policies by name, with what they are made of, alone, in lists, or for each alias."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from inferkit.core.errors import ConfigurationError
from inferkit.routing import (
    Best,
    ByBudgetLeft,
    ByMargin,
    Cheapest,
    During,
    Fastest,
    Fits,
    Learned,
    Ordered,
    Sticky,
    Weighted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Kinds: TypeAlias = "Mapping[str, Callable[..., Any]]"
__all__ = ["made_of", "route_from"]

_OF_POLICIES = ("then", "otherwise", "ample", "short", "unknown", "order")
_EXACT = (ByMargin, ByBudgetLeft)  # which take shares to the last digit
_KINDS: _Kinds = {
    "ordered": Ordered,
    "fits": Fits,
    "cheapest": Cheapest,
    "fastest": Fastest,
    "sticky": Sticky,
    "weighted": Weighted,
    "best": Best,
    "during": During,
    "by-margin": ByMargin,
    "by-budget-left": ByBudgetLeft,
    "learned": Learned,
}


def route_from(given: Any, own: Callable[[str], Any] | None = None, more: _Kinds | None = None) -> Any:
    """Make what `routes=` takes: a policy, or one for each name. `own` makes one of a table with `python`.

    `more` are kinds of policies besides the usual ones, by name.

    Raises `ConfigurationError` for what makes no sense.
    """
    if isinstance(given, Mapping) and "policy" not in given and "python" not in given:
        return {name: _route(each, own, more) for name, each in given.items()}
    return _route(given, own, more)


def made_of(make: Callable[..., Any], fields: Mapping[str, Any]) -> Any:
    """Call something with a table. Raises `ConfigurationError` for what it does not take."""
    values = fields if make in _EXACT else {name: _floats(value) for name, value in fields.items()}
    try:
        return make(**values)
    except TypeError as error:
        what = str(error).partition(") ")[2] or str(error)
        raise ConfigurationError(f"{getattr(make, '__name__', 'it')} {what}") from None


def _route(given: Any, own: Callable[[str], Any] | None, more: _Kinds | None) -> Any:
    if isinstance(given, str):
        return _kind(given, more)()
    if isinstance(given, list):
        return [_route(each, own, more) for each in given]
    if not isinstance(given, Mapping):
        raise ConfigurationError(f'a policy is a name, a list of them or a table with a "policy"; got {given!r}')
    fields = dict(given)
    if own is not None and "python" in fields:
        return own(str(fields["python"]))
    make = _kind(fields.pop("policy", None), more)
    parts = {name: _route(each, own, more) if name in _OF_POLICIES else each for name, each in fields.items()}
    return made_of(make, parts)


def _kind(name: Any, more: _Kinds | None) -> Callable[..., Any]:
    kinds = {**_KINDS, **(more or {})}
    make = kinds.get(name) if isinstance(name, str) else None
    if make is None:
        raise ConfigurationError(f"there is no policy {name!r}; they are: {', '.join(sorted(kinds))}")
    return make


def _floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _floats(each) for name, each in value.items()}
    return float(value) if isinstance(value, Decimal) else value
