"""The policies that a scenario's file names: what a client is set up with, made anew for each run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from inferkit.core.errors import ConfigurationError
from inferkit.layers.hedge import Hedge
from inferkit.plans.models import FileTable, optional
from inferkit.resilience.breaker import BreakerRules
from inferkit.resilience.health import Health
from inferkit.resilience.limiter import RateLimit
from inferkit.resilience.retry_budget import RetryRules
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
from inferkit.routing.combining import Routes
from inferkit.simulation.scenario import NAIVE, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BUILT_IN", "policies_from"]

_OF_POLICIES = ("then", "otherwise", "ample", "short", "unknown")
_EXACT = (ByMargin, ByBudgetLeft)  # which take shares to the last digit
_KINDS: Mapping[str, Callable[..., Any]] = {
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


class _PolicyTable(FileTable):
    says: Annotated[str, optional("is a text: what the policy is, for people")]
    routes: Annotated[
        str | list[Any] | dict[str, Any],
        optional('is a policy or a list of them: "cheapest", or { policy = "by-margin", target = "0.7" }'),
    ]
    limits: Annotated[
        dict[str, dict[str, Any]], optional('is a table: limits."acme:*" = { concurrent = 40, queue = 200 }')
    ]
    hedge: Annotated[bool | dict[str, Any], optional("is true or false, or a table: hedge = { quantile = 0.95 }")]
    breaker: Annotated[bool | dict[str, Any], optional("is true or false, or a table: breaker = { failures = 10 }")]
    retries: Annotated[bool | dict[str, Any], optional("is true or false, or a table: retries = { ratio = 0.1 }")]
    max_retries: Annotated[int, optional("is a whole number from 0")]
    pause: Annotated[Decimal | int, optional("is a fixed wait between retries, in seconds")]
    only_first: Annotated[bool, optional("is true or false: whether each name has its first model alone")]
    on_interrupt: Annotated[str, optional('is "raise" or "continue"')]


def policies_from(name: str, table: Mapping[str, Any]) -> Callable[[], Setup]:
    """Give what makes a policy of what a file says. Raises `ConfigurationError` for what makes no sense."""
    read = _PolicyTable.of(table, f'policy "{name}"')

    def make() -> Setup:
        routes = None if read.routes is None else _routes(read.routes)
        Routes(routes)
        given = read.on_interrupt
        pause = None if read.pause is None else float(read.pause)
        return Setup(
            name,
            read.says or "",
            routes,
            None if read.limits is None else {each: _made(RateLimit, of) for each, of in read.limits.items()},
            _switch(Hedge, read.hedge, default=None),
            Health(
                breaker=_switch(BreakerRules, read.breaker, default=BreakerRules()),
                retries=_switch(RetryRules, read.retries, default=RetryRules()),
            ),
            2 if read.max_retries is None else read.max_retries,
            bool(read.only_first),
            pause,
            {} if given is None else {"on_interrupt": given},
        )

    return make


def _routes(given: Any) -> Any:
    """Make what `routes=` takes: a policy, or one for each name."""
    if isinstance(given, Mapping) and "policy" not in given and "python" not in given:
        return {name: _route(each) for name, each in given.items()}
    return _route(given)


def _route(given: Any) -> Any:
    if isinstance(given, str):
        return _kind(given)()
    if isinstance(given, list):
        return [_route(each) for each in given]
    if not isinstance(given, Mapping):
        raise ConfigurationError(f'a policy is a name, a list of them or a table with a "policy"; got {given!r}')
    fields = dict(given)
    if "python" in fields:
        return _own(str(fields["python"]))
    make = _kind(fields.pop("policy", None))
    return _made(make, {name: _route(each) if name in _OF_POLICIES else each for name, each in fields.items()})


def _kind(name: Any) -> Callable[..., Any]:
    make = _KINDS.get(name) if isinstance(name, str) else None
    if make is None:
        raise ConfigurationError(f"there is no policy {name!r}; they are: {', '.join(sorted(_KINDS))}")
    return make


def _own(where: str) -> Any:
    """Call a function of the user's that gives what `routes=` takes: "shop.routes:make"."""
    module, colon, function = where.partition(":")
    if not colon:
        raise ConfigurationError(f'python names a function that gives the routes: "shop.routes:make"; got "{where}"')
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as Python itself puts it there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        return getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f'"{where}" is not there: {error}') from error


def _switch(make: Callable[..., Any], given: bool | Mapping[str, Any] | None, *, default: Any) -> Any:
    """Give what is switched on or off, or set up by a table."""
    if given is None:
        return default
    if isinstance(given, Mapping):
        return _made(make, given)
    return make() if given else None


def _made(make: Callable[..., Any], fields: Mapping[str, Any]) -> Any:
    values = fields if make in _EXACT else {name: _floats(value) for name, value in fields.items()}
    try:
        return make(**values)
    except TypeError as error:
        what = str(error).partition(") ")[2] or str(error)
        raise ConfigurationError(f"{getattr(make, '__name__', 'it')} {what}") from None


def _floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _floats(each) for name, each in value.items()}
    return float(value) if isinstance(value, Decimal) else value


def _naive() -> Setup:
    return Setup(
        NAIVE,
        "the first model alone, asked up to six times, a second apart, by calls that know nothing of each other",
        health=Health(breaker=None, retries=None),
        max_retries=5,
        only_first=True,
        pause=1.0,
    )


def _plain() -> Setup:
    return Setup("plain", "the client as it is: models in their order, breaker and budget of retries")


BUILT_IN: Mapping[str, Callable[[], Setup]] = {NAIVE: _naive, "plain": _plain}
"""The policies that every scenario has."""
