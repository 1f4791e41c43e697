"""The policies that a scenario's file names: what a client is set up with, made anew for each run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from decimal import Decimal  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Annotated, Any

from inferkit.caching.memory import MemoryTier
from inferkit.core.errors import ConfigurationError
from inferkit.layers.cache import Cache
from inferkit.layers.hedge import Hedge
from inferkit.plans.models import FileTable, optional
from inferkit.resilience.breaker import BreakerRules
from inferkit.resilience.health import Health
from inferkit.resilience.limiter import RateLimit
from inferkit.resilience.retry_budget import RetryRules
from inferkit.routing.combining import Routes
from inferkit.routing.written import made_of, route_from
from inferkit.simulation.judging import judged
from inferkit.simulation.scenario import NAIVE, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BUILT_IN", "policies_from"]

_MORE = {"cascade": judged}


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
    cache: Annotated[bool | dict[str, Any], optional("is true or false, or a table: cache = { entries = 10_000 }")]
    on_interrupt: Annotated[str, optional('is "raise" or "continue"')]
    follow_limits: Annotated[bool, optional("is true or false: whether calls heed what providers say is left")]


def policies_from(name: str, table: Mapping[str, Any]) -> Callable[[], Setup]:
    """Give what makes a policy of what a file says. Raises `ConfigurationError` for what makes no sense."""
    read = _PolicyTable.of(table, f'policy "{name}"')

    def make() -> Setup:
        routes = None if read.routes is None else route_from(read.routes, _own, _MORE)
        Routes(routes)
        client = {"on_interrupt": read.on_interrupt, "follow_limits": read.follow_limits}
        pause = None if read.pause is None else float(read.pause)
        return Setup(
            name,
            read.says or "",
            routes,
            None if read.limits is None else {each: made_of(RateLimit, of) for each, of in read.limits.items()},
            _switch(Hedge, read.hedge, default=None),
            Health(
                breaker=_switch(BreakerRules, read.breaker, default=BreakerRules()),
                retries=_switch(RetryRules, read.retries, default=RetryRules()),
            ),
            2 if read.max_retries is None else read.max_retries,
            bool(read.only_first),
            pause,
            _cache(read.cache),
            {name: value for name, value in client.items() if value is not None},
        )

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
        return made_of(make, given)
    return make() if given else None


def _cache(given: bool | Mapping[str, Any] | None) -> Callable[[], Cache] | None:
    """Give what makes the cache: in memory, of so many `entries`, each for `ttl` seconds."""

    def cache(*, entries: int = 10_000, ttl: float | None = None) -> Cache:
        if not isinstance(entries, int):
            raise ConfigurationError(f"entries of a cache are a whole number; got {entries}")
        return Cache(MemoryTier(max_entries=entries), ttl=ttl)

    if not given:
        return None
    fields = dict(given) if isinstance(given, Mapping) else {}
    made_of(cache, fields)  # so that what makes no sense is said now
    return lambda: made_of(cache, fields)


def _naive() -> Setup:
    return Setup(
        NAIVE,
        "the first model alone, asked up to six times, a second apart, by calls that know nothing of each other",
        health=Health(breaker=None, retries=None),
        max_retries=5,
        only_first=True,
        pause=1.0,
        settings={"follow_limits": False},
    )


def _plain() -> Setup:
    return Setup("plain", "the client as it is: models in their order, breaker and budget of retries")


BUILT_IN: Mapping[str, Callable[[], Setup]] = {NAIVE: _naive, "plain": _plain}
"""The policies that every scenario has."""
