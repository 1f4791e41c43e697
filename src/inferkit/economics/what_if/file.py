"""A what-if file: a scenario in TOML, checked by pydantic models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from inferkit.core.errors import ConfigurationError
from inferkit.economics.what_if.scenario import Scenario
from inferkit.plans.file import read_toml
from inferkit.plans.models import BudgetTable, PlansFile, budget_from, optional, plan_from
from inferkit.plans.price_tables import price_from

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from inferkit.budgets.budget import Budget

__all__ = ["LimitTable", "ScenarioFile", "read_scenario"]

_NAMES = 'is a table of names: "one" = "other"'


class LimitTable(BudgetTable):
    """A limit of a scenario: what a replay can hold calls to."""

    name: Annotated[str, optional("is a short text without a colon")]
    each: Annotated[str, optional('is "user" or "tenant"')]


class ScenarioFile(PlansFile):
    """The tables of a what-if file."""

    default_plan: str | None = Field(default=None, description="is the name of a plan; write it above the first table")
    users: dict[str, str] = Field(default={}, title="[users]", description=_NAMES)
    tenants: dict[str, str] = Field(default={}, title="[tenants]", description=_NAMES)
    limits: list[dict[str, Any]] = Field(default=[], description='are a list of tables: [[limits]], with usd = "5"')
    prices: dict[str, dict[str, Any]] = Field(
        default={}, description='are tables: [prices."openai:gpt-5"], with input = "1.25"'
    )
    reroute: dict[str, str] = Field(default={}, title="[reroute]", description=_NAMES)


def read_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Read a TOML file. Raises `ConfigurationError`, which says what is wrong where.

    - `[plans.NAME]`: the fields of `Plan`; `[plans.NAME.allowance]`: those of `Budget`.
    - `default_plan = "free"`, `[users]` and `[tenants]`: who is on which plan.
    - `[[limits]]`: the fields of a `Budget`, such as `usd`, `per` and `each`.
    - `[prices."provider:model"]`: the fields of `Price`, in dollars per million tokens.
    - `[reroute]`: `"provider:model" = "provider:other"`.
    """
    file = ScenarioFile.of(read_toml(path), str(path))
    try:
        return Scenario(
            Path(path).name,
            {name: plan_from(name, table) for name, table in file.plans.items()},
            file.default_plan,
            file.users,
            file.tenants,
            _limits(file.limits),
            {name: price_from(table, f'the price of "{name}"', "what-if") for name, table in file.prices.items()},
            _reroute(file.reroute),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"in {path}, {error}") from error


def _limits(tables: Sequence[Mapping[str, Any]]) -> tuple[Budget, ...]:
    found: dict[str, Budget] = {}
    for number, table in enumerate(tables, 1):
        limit = budget_from(LimitTable, table, f"limit {number}").named(f"limit-{number}")
        if limit.name in found:
            raise ConfigurationError(f'two limits are named "{limit.name}"; give each a name of its own')
        found[limit.name or ""] = limit
    return tuple(found.values())


def _reroute(models: Mapping[str, str]) -> Mapping[str, str]:
    for name in models:
        if ":" not in name:
            raise ConfigurationError(f'[reroute] sends "provider:model" to another; got "{name}"')
    return models
