"""Makes settings of what a file says of them: texts, numbers and switches are what they are, tables become objects."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from inferkit.caching.disk import DiskTier
from inferkit.caching.memory import MemoryTier
from inferkit.client.catalog import Catalog
from inferkit.client.configuration.forms import as_floats
from inferkit.client.home import cache_folder
from inferkit.client.settings import SETTINGS
from inferkit.core.errors import InferkitError
from inferkit.layers.cache import Cache
from inferkit.layers.hedge import Hedge
from inferkit.plans.file import read_plans
from inferkit.plans.models import AllowanceTable, budget_from, optional, plan_from
from inferkit.plans.price_tables import price_from
from inferkit.providers.http.settings import Http
from inferkit.resilience.failover import Failover
from inferkit.resilience.health import Health
from inferkit.resilience.limiter import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.budgets.budget import Budget
    from inferkit.client.configuration.making import Making
    from inferkit.plans.places import Path as Keys

__all__ = ["FIRST", "make"]

FIRST = ("home", "transport", "providers", "models")
"""What other settings are made with, in this order."""
_MISSING = object()


def make(making: Making, name: str, value: Any) -> Any:
    """Make a setting of what the file says of it. Where that makes no sense, it is noted, and None comes back."""
    maker = _MAKERS.get(name)
    problems = len(making.problems)
    made = as_floats(value) if maker is None else maker(making, value)
    declared = SETTINGS[name]
    if len(making.problems) == problems and not declared.check(made):
        expected = declared.expected.replace("True", "true").replace("False", "false")
        making.mistaken((name,), expected, value)
    return made if len(making.problems) == problems else None


def _path(making: Making, value: Any) -> Any:
    return making.file.beside(value) if isinstance(value, str) and value else value


def _transport(making: Making, value: Any) -> Any:
    return _http(making, value, ("transport",))


def _http(making: Making, value: Any, path: Keys) -> Any:
    if not isinstance(value, dict):
        return value
    with_path = value | ({"ca": making.file.beside(value["ca"])} if isinstance(value.get("ca"), str) else {})
    return making.made(Http, with_path, path)


def _providers(making: Making, value: Any) -> Any:
    from inferkit.client.configuration.endpoints import provider

    adapters = {}
    for name, table in making.tables(value, ("providers",), "a table for each: [providers.work]").items():
        adapter = provider(making, name, table, functools.partial(_http, making))
        if adapter is not None:
            adapters[name] = adapter
    return adapters


def _models(making: Making, value: Any) -> Any:
    """Check what each name stands for by itself, so that what is wrong is shown where it stands."""
    tables = making.tables(value, ("models",), 'a table of names: fast = ["openai:gpt-5-mini", "local"]')
    providers = _named_providers(making)
    made: dict[str, Any] = {}
    for alias, targets in tables.items():
        path = ("models", alias)
        if not isinstance(targets, str | list) or not targets:
            making.mistaken(path, '"provider:model", or a list of such, best first', targets)
            continue
        made[alias] = [_beside(making, each) for each in ([targets] if isinstance(targets, str) else targets)]
        for number, target in enumerate([targets] if isinstance(targets, str) else targets):
            at = path if isinstance(targets, str) else (*path, number)
            if not isinstance(target, str) or not target:
                making.wrong(at, f'{alias} stands for models, each a text: "provider:model"', of_value=True)
                continue
            try:
                Catalog({alias: target}, providers)
            except InferkitError as error:
                making.wrong(at, str(error), of_value=True)
    return made


def _beside(making: Making, target: Any) -> Any:
    """Name the file of a local model from the folder of the configuration on, where it lies there."""
    provider, _, path = target.partition(":") if isinstance(target, str) else ("", "", "")
    if provider != "local" or not path or not Path(making.file.beside(path)).is_file():
        return target
    return f"local:{making.file.beside(path)}"


def _default(making: Making, value: Any) -> Any:
    given = making.settings.get("models", making.file.table.get("models", {}))
    if isinstance(value, str):
        try:
            Catalog(dict.fromkeys(given, "local"), _named_providers(making), default=value)
        except InferkitError as error:
            making.wrong(("default",), str(error), of_value=True)
    return value


def _named_providers(making: Making) -> dict[str, Any]:
    """Give something for each name of a provider: what is wrong with the provider itself is said elsewhere."""
    return dict.fromkeys(making.settings.get("providers", making.file.table.get("providers", {})), making)


def _routes(making: Making, value: Any) -> Any:
    from inferkit.routing.written import route_from

    if not isinstance(value, dict) or "policy" in value:
        with making.noting(("routes",), value):
            return route_from(value)
    made: dict[str, Any] = {}
    for name, each in value.items():
        with making.noting(("routes", name), each):
            made |= route_from({name: each})
    return made


class BudgetOfClient(AllowanceTable):
    """A budget that every call pays into: what an allowance has, and a name of its own."""

    name: Annotated[str, optional("is a short text without a colon")]
    each: Annotated[str, optional('is "user" or "tenant"')]


def _budget(making: Making, value: Any) -> Any:
    if not isinstance(value, list):
        return _one_budget(making, value, ("budget",), "the budget")
    return [_one_budget(making, each, ("budget", place), f"budget {place + 1}") for place, each in enumerate(value)]


def _one_budget(making: Making, value: Any, path: Keys, what: str) -> Budget | None:
    if not isinstance(value, dict):
        making.mistaken(path, 'a table, or several: [[budget]], with usd = "200" and name = "all"', value)
        return None
    if isinstance(value.get("name"), str):
        what = f'budget "{value["name"]}"'
    with making.noting(path, value):
        budget = budget_from(BudgetOfClient, value, what)
        budget.account()  # which says that it needs a name
        return budget
    return None


def _plans(making: Making, value: Any) -> Any:
    if isinstance(value, str) and value:
        with making.noting(("plans",)):
            return read_plans(making.file.beside(value))
        return None
    made = []
    for name, table in making.tables(value, ("plans",), "the path of a file, or a table for each: [plans.pro]").items():
        path = ("plans", name)
        if isinstance(table, dict):
            with making.noting(path, table):
                made.append(plan_from(name, table))
        else:
            making.mistaken(path, 'a table: [plans.pro], with price = "99"', table)
    return made


def _prices(making: Making, value: Any) -> Any:
    expected = 'a table for each: [prices."openai:gpt-5"], with input = "1.25"'
    return {
        name: _price(making, table, ("prices", name), f'the price of "{name}"')
        for name, table in making.tables(value, ("prices",), expected).items()
    }


def _on_unpriced(making: Making, value: Any) -> Any:
    return _price(making, value, ("on_unpriced",), "that price") if isinstance(value, dict) else value


def _price(making: Making, value: Any, path: Keys, what: str) -> Any:
    if not isinstance(value, dict):
        making.mistaken(path, "a table: { input = 1.25, output = 10 }", value)
        return None
    with making.noting(path, value):
        return price_from(value, what)


def _cache(making: Making, value: Any) -> Any:
    """Make a cache of a table: what `Cache` takes, and `memory` and `disk`, each a table of its tier or false."""
    if not isinstance(value, dict):
        return value
    rest = {name: each for name, each in value.items() if name not in ("memory", "disk")}
    tiers: list[Any] = []
    memory, disk = value.get("memory", True), value.get("disk", True)
    if memory is not False:
        tiers.append(making.made(MemoryTier, {} if memory is True else memory, ("cache", "memory")))
    if disk is not False:
        folder = cache_folder(making.settings.get("home"))
        table = {} if disk is True else disk
        if isinstance(table, dict) and "folder" not in table:
            table = {**table, "folder": str(folder)}
        elif isinstance(table, dict) and isinstance(table["folder"], str):
            table = {**table, "folder": making.file.beside(table["folder"])}
        tiers.append(making.made(DiskTier, table, ("cache", "disk")))
    given = making.read(Cache, rest, ("cache",), also=("memory", "disk"))
    if given is None or None in tiers:
        return None
    with making.noting(("cache",), rest):
        return Cache(*tiers, **given)


def _limits(making: Making, value: Any) -> Any:
    expected = 'a table for each: [limits."openai:*"], with concurrent = 50'
    return {
        name: making.made(RateLimit, table, ("limits", name))
        for name, table in making.tables(value, ("limits",), expected).items()
    }


def _failover(making: Making, value: Any) -> Any:
    if isinstance(value, dict) and value and all(isinstance(each, dict) for each in value.values()):
        return {name: making.made(Failover, table, ("failover", name)) for name, table in value.items()}
    return making.made(Failover, value, ("failover",))


def _hedge(making: Making, value: Any) -> Any:
    return Hedge() if value is True else making.made(Hedge, value, ("hedge",))


def _health(making: Making, value: Any) -> Any:
    return making.made(Health, value, ("health",))


_MAKERS: dict[str, Callable[[Making, Any], Any]] = {
    "budget": _budget,
    "cache": _cache,
    "default": _default,
    "failover": _failover,
    "health": _health,
    "hedge": _hedge,
    "home": _path,
    "ledger": _path,
    "limits": _limits,
    "models": _models,
    "on_unpriced": _on_unpriced,
    "plans": _plans,
    "prices": _prices,
    "providers": _providers,
    "routes": _routes,
    "transport": _transport,
}
