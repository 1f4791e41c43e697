"""A what-if file: other plans, limits and prices than those that the calls were made under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.plans.file import plans_of, read_toml
from inferkit.plans.plan import budget_from, known_fields
from inferkit.pricing.prices import Price, PriceBook

if TYPE_CHECKING:
    import os

    from inferkit.budgets.budget import Budget
    from inferkit.plans.plan import Plan

__all__ = ["Scenario", "read_scenario"]

_TABLES = ("plans", "default_plan", "users", "tenants", "limits", "prices", "reroute")
_PRICE_FIELDS = frozenset(Price.__dataclass_fields__) - {"source"}
_LIMIT_FIELDS = frozenset(("usd", "tokens", "calls", "per", "zone", "anchor_day", "each", "name", "grace"))


@dataclass(frozen=True)
class Scenario:
    """What to replay the recorded calls against; what is left out stays as it was.

    `plans` replace those of the same name, and their allowances are applied. `users` and `tenants` name the plan that
    each is on, whose allowance is applied too, `default_plan` that of those who are on none. `limits` are budgets for
    everybody, each user or each tenant. `prices` are other prices of models, and `reroute` sends the calls of a model
    to another one.
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
    for name in document.get("reroute", {}):
        if ":" not in name:
            raise ConfigurationError(f'in {where}, [reroute] sends "provider:model" to another; got "{name}"')
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
    found: dict[str, Budget] = {}
    for number, table in enumerate(tables, 1):
        limit = budget_from(table, _LIMIT_FIELDS, f"limit {number} in {where}").named(f"limit-{number}")
        if limit.name in found:
            raise ConfigurationError(f'in {where}, two limits are named "{limit.name}"; give each a name of its own')
        found[limit.name or ""] = limit
    return tuple(found.values())


def _prices(tables: Any, where: str) -> dict[str, Price]:
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ConfigurationError(f'in {where}, prices are tables: [prices."openai:gpt-5"], with input = "1.25"')
    return {name: _price(table, f'in {where}, the price of "{name}"') for name, table in tables.items()}


def _price(table: Any, what: str) -> Price:
    """Make a price; those above a number of tokens and from a date on are tables in it."""
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{what} is a table of amounts")
    fields = known_fields(table, _PRICE_FIELDS, what)
    missing = [name for name in ("input", "output") if name not in fields]
    if missing:
        raise ConfigurationError(f"{what} says nothing of {' and '.join(missing)}, in dollars per million tokens")
    if isinstance(fields.get("above"), Mapping):
        fields["above"] = {_tokens(start, what): _price(each, what) for start, each in fields["above"].items()}
    if isinstance(fields.get("changes"), Mapping):
        fields["changes"] = {date: _price(each, what) for date, each in fields["changes"].items()}
    return Price(**fields, source="what-if")


def _tokens(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f'{what} is another above a number of tokens, such as 200_000; got "{text}"') from None
