"""A what-if file: other plans, limits and prices than those that the calls were made under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit._errors import ConfigurationError
from inferkit.budgets.budget import Budget
from inferkit.budgets.plan_file import plans_of, read_toml
from inferkit.budgets.prices import Price, PriceBook

if TYPE_CHECKING:
    import os

    from inferkit.budgets.plan import Plan

__all__ = ["Scenario", "read_scenario"]

_TABLES = ("plans", "default_plan", "users", "tenants", "limits", "prices", "reroute")
_PRICE_FIELDS = [name for name in Price.__dataclass_fields__ if name != "source"]
_LIMIT_FIELDS = ("usd", "tokens", "calls", "per", "zone", "anchor_day", "each", "name", "grace")


@dataclass(frozen=True)
class Scenario:
    """What to replay the recorded calls against; what is left out stays as it was.

    `plans` replace those of the same name, and their allowances are applied. `users` and `tenants` name the plan that
    each is on, `default_plan` that of the others. `limits` are budgets for everybody, each user or each tenant.
    `prices` are other prices of models, and `reroute` sends the calls of a model to another one.
    """

    name: str
    plans: Mapping[str, Plan] = field(default_factory=dict)
    default_plan: str | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    tenants: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Budget, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    reroute: Mapping[str, str] = field(default_factory=dict)

    def book(self) -> PriceBook:
        """Give the prices, with the bundled list behind them."""
        return PriceBook(self.prices)


def read_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Read a TOML file. Raises `ConfigurationError`, which says what is wrong where.

    - `[plans.NAME]`: the fields of `Plan`; `[plans.NAME.allowance]`: those of `Budget`.
    - `default_plan = "free"`, `[users]` and `[tenants]`: who is on which plan.
    - `[[limits]]`: the fields of a `Budget`, such as `usd`, `per` and `each`.
    - `[prices."provider:model"]`: the fields of `Price`, in dollars per million tokens.
    - `[reroute]`: `"provider:model" = "provider:other"`.
    """
    document = read_toml(path, _TABLES)
    where = str(path)
    for table in ("users", "tenants", "reroute"):
        if not _is_names(document.get(table, {})):
            raise ConfigurationError(f'in {where}, [{table}] is a table of names: "one" = "other"')
    default = document.get("default_plan")
    if default is not None and not isinstance(default, str):
        raise ConfigurationError(f"in {where}, default_plan is the name of a plan; write it above the first table")
    return Scenario(
        Path(path).name,
        {plan.name: plan for plan in plans_of(document, where)},
        default,
        document.get("users", {}),
        document.get("tenants", {}),
        _limits(document.get("limits", []), where),
        _prices(document.get("prices", {}), where),
        document.get("reroute", {}),
    )


def _is_names(table: Any) -> bool:
    return isinstance(table, Mapping) and all(isinstance(value, str) for value in table.values())


def _limits(tables: Any, where: str) -> tuple[Budget, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigurationError(f'in {where}, limits are a list of tables: [[limits]], with usd = "5"')
    found = []
    for number, table in enumerate(tables, 1):
        fields = _known(table, _LIMIT_FIELDS, f"in {where}, limit {number}")
        if isinstance(fields.get("per"), Mapping):
            fields["per"] = timedelta(**fields["per"])
        found.append(Budget(**fields).named(f"limit-{number}"))
    return tuple(found)


def _prices(tables: Any, where: str) -> dict[str, Price]:
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ConfigurationError(f'in {where}, prices are tables: [prices."openai:gpt-5"], with input = "1.25"')
    return {name: _price(table, f'in {where}, the price of "{name}"') for name, table in tables.items()}


def _price(table: Any, what: str) -> Price:
    """Make a price; those above a number of tokens and from a date on are tables in it."""
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{what} is a table of amounts")
    fields = _known(table, _PRICE_FIELDS, what)
    for name, key in (("above", _tokens), ("changes", str)):
        if isinstance(fields.get(name), Mapping):
            fields[name] = {key(start): _price(each, what) for start, each in fields[name].items()}
    return Price(**fields, source="what-if")


def _tokens(text: str) -> int:
    return int(text) if text.isdecimal() else 0  # which a price refuses, and says why


def _known(table: Mapping[str, Any], known: Any, what: str) -> dict[str, Any]:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ConfigurationError(f"{what} has no {', '.join(unknown)}; its fields are: {', '.join(known)}")
    return dict(table)
