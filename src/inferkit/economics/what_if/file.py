"""A what-if file: a scenario in TOML, checked by pydantic models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from inferkit.core.errors import ConfigurationError
from inferkit.economics.what_if.scenario import Scenario
from inferkit.plans.file import read_toml
from inferkit.plans.models import BudgetTable, Exact, FileTable, PlansFile, budget_from, optional, plan_from
from inferkit.pricing.prices import Price

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from inferkit.budgets.budget import Budget

__all__ = ["LimitTable", "PriceTable", "ScenarioFile", "read_scenario"]

_A_MILLION = 'is an amount of dollars per million tokens: 1.25 or "1.25"'
_WAYS = "is a table of prices by the provider's word: service_tiers.priority = { input = 2.5, output = 15 }"
_NAMES = 'is a table of names: "one" = "other"'


class LimitTable(BudgetTable):
    """A limit of a scenario: what a replay can hold calls to."""

    name: Annotated[str, optional("is a short text without a colon")]
    each: Annotated[str, optional('is "user" or "tenant"')]


class PriceTable(FileTable):
    """A `Price`. Those above a number of tokens and from a date on are tables in it."""

    input: Exact = Field(description=_A_MILLION)
    output: Exact = Field(description=_A_MILLION)
    cache_read: Annotated[Exact, optional(_A_MILLION)]
    cache_write: Annotated[Exact, optional(_A_MILLION)]
    reasoning: Annotated[Exact, optional(_A_MILLION)]
    request: Annotated[Exact, optional('is an amount of dollars per request: 0.01 or "0.01"')]
    cache_write_1h: Annotated[Exact, optional(_A_MILLION)]
    cache_write_12h: Annotated[Exact, optional(_A_MILLION)]
    input_audio: Annotated[Exact, optional(_A_MILLION)]
    input_image: Annotated[Exact, optional(_A_MILLION)]
    cache_read_audio: Annotated[Exact, optional(_A_MILLION)]
    cache_read_image: Annotated[Exact, optional(_A_MILLION)]
    output_audio: Annotated[Exact, optional(_A_MILLION)]
    output_image: Annotated[Exact, optional(_A_MILLION)]
    server_tools: Annotated[
        dict[str, Exact], optional("is a table of dollars per request: server_tools.web_search = 0.01")
    ]
    context_window: Annotated[int, optional("is a whole number of tokens")]
    service_tiers: Annotated[dict[str, dict[str, Any]], optional(_WAYS)]
    speeds: Annotated[dict[str, dict[str, Any]], optional(_WAYS)]
    regions: Annotated[dict[str, dict[str, Any]], optional(_WAYS)]
    above: Annotated[
        dict[str, dict[str, Any]], optional("is a table of prices: above.200_000 = { input = 2.5, output = 15 }")
    ]
    changes: Annotated[
        dict[str, dict[str, Any]], optional("is a table of prices: changes.2027-01-01 = { input = 1, output = 8 }")
    ]


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
            {name: _price(table, f'the price of "{name}"') for name, table in file.prices.items()},
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


def _price(table: Mapping[str, Any], what: str) -> Price:
    fields = PriceTable.of(table, what).given()
    if "above" in fields:
        fields["above"] = {
            _tokens(start, what): _price(each, f"{what} above {start}") for start, each in fields["above"].items()
        }
    for ways in {"service_tiers", "speeds", "regions"} & fields.keys():
        fields[ways] = {word: _price(each, f"{what} for {word}") for word, each in fields[ways].items()}
    if "changes" in fields:
        fields["changes"] = {date: _price(each, f"{what} from {date} on") for date, each in fields["changes"].items()}
    try:
        return Price(**fields, source="what-if")
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from error


def _tokens(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f'{what} is another above a number of tokens, such as 200_000; got "{text}"') from None


def _reroute(models: Mapping[str, str]) -> Mapping[str, str]:
    for name in models:
        if ":" not in name:
            raise ConfigurationError(f'[reroute] sends "provider:model" to another; got "{name}"')
    return models
