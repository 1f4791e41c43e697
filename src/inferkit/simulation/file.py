"""A scenario in a TOML file, checked by pydantic models: what is wrong is said with the line that it stands on."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from inferkit.core.errors import ConfigurationError
from inferkit.plans.file import read_toml
from inferkit.plans.models import FileTable, TableError, optional, plan_from
from inferkit.plans.places import Places
from inferkit.plans.price_tables import price_from
from inferkit.simulation.policies import policies_from
from inferkit.simulation.scenario import CustomerGroup, Outage, OutageKind, Provider, Simulation, Spike, Traffic

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

__all__ = ["read_simulation"]

_A_COUNT = "is a whole number above zero"
_A_NUMBER = "is a number above zero"
_A_SHARE = "is a share, from 0 to 1"
_SECONDS = "is a number of seconds above zero"
_AN_INSTANT = "is a date, or a date with a time: 2026-03-12T14:00:00"
_TABLES = "are tables"

Number = int | float | Decimal
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[Number, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, le=1)]
T = TypeVar("T", bound=FileTable)


class _SpikeTable(FileTable):
    at: datetime | date = Field(description=_AN_INSTANT)
    minutes: Positive = Field(description=_A_NUMBER)
    times: Positive = Field(description=_A_NUMBER)


class _TrafficTable(FileTable):
    calls: Count = Field(description=_A_COUNT)
    busiest: Annotated[Number, Field(ge=0, lt=24), optional("is an hour of the day in UTC, from 0 to 24")]
    night: Annotated[Share, optional(_A_SHARE)]
    weekend: Annotated[Positive, optional(_A_NUMBER)]
    spikes: Annotated[list[dict[str, Any]], optional('are a list of tables: [[traffic.spikes]], with times = "10"')]
    repeated: Annotated[Share, optional(_A_SHARE)]
    questions: Annotated[Annotated[int, Field(gt=0, le=1_000_000)], optional("is a whole number, up to a million")]
    popularity: Annotated[Annotated[Number, Field(ge=0, le=5)], optional("is from 0 (all the same) to 5")]


class _CustomersTable(FileTable):
    count: Count = Field(description=_A_COUNT)
    calls: Annotated[Positive, optional(_A_NUMBER)]
    model: Annotated[str, optional("is one of the names in [models]")]
    priority: Annotated[int, optional("is a whole number")]
    input_tokens: Annotated[Count, optional(_A_COUNT)]
    output_tokens: Annotated[Count, optional(_A_COUNT)]
    max_output_tokens: Annotated[Count, optional(_A_COUNT)]
    timeout: Annotated[Positive, optional(_SECONDS)]


class _ProviderTable(FileTable):
    price: dict[str, Any] = Field(description="is a table: price = { input = 0.25, output = 2 }")
    first_token: Annotated[Positive, optional(_SECONDS)]
    tokens_per_second: Annotated[Positive, optional(_A_NUMBER)]
    spread: Annotated[Number, Field(ge=0, le=3), optional("is from 0 (always the same) to 3")]
    concurrent: Annotated[Count, optional(_A_COUNT)]
    queue: Annotated[int, Field(ge=0), optional("is a whole number from 0")]
    requests_per_minute: Annotated[Positive, optional(_A_NUMBER)]
    retry_after: Annotated[Positive, optional(_SECONDS)]
    errors: Annotated[Share, optional(_A_SHARE)]
    breaks: Annotated[Share, optional(_A_SHARE)]
    good: Annotated[Share, optional(_A_SHARE)]


class _OutageTable(FileTable):
    provider: str = Field(description='is a provider, or one of its models: "acme" or "acme:large"')
    at: datetime | date = Field(description=_AN_INSTANT)
    minutes: Positive = Field(description=_A_NUMBER)
    kind: Annotated[OutageKind, optional('is "down", "hanging", "slow" or "refusing"')]
    factor: Annotated[Positive, optional(_A_NUMBER)]


class _ScenarioFile(FileTable):
    unknown: ClassVar = "{what} has no {names}; what it may have is: {fields}"
    wrong: ClassVar = "{field} {says}; got {given}"

    seed: Annotated[int, optional("is a whole number")]
    start: Annotated[datetime | date, optional(_AN_INSTANT)]
    days: Annotated[Annotated[Number, Field(gt=0, le=400)], optional("is a number of days, up to 400")]
    traffic: dict[str, Any] = Field(description="is a table: [traffic], with calls = 10_000")
    plans: dict[str, dict[str, Any]] = Field(description=f'{_TABLES}: [plans.pro], with price = "20"')
    customers: dict[str, dict[str, Any]] = Field(description=f"{_TABLES}: [customers.pro], with count = 500")
    models: dict[str, str | list[str]] = Field(description='is a table of names: fast = ["acme:large", "bolt:small"]')
    providers: dict[str, dict[str, Any]] = Field(description=f'{_TABLES}: [providers."acme:large"], with a price')
    outages: Annotated[list[dict[str, Any]], optional("are a list of tables: [[outages]], with a provider")]
    policies: Annotated[dict[str, dict[str, Any]], optional(f'{_TABLES}: [policies.cheap], with routes = "cheapest"')]


def read_simulation(path: str | os.PathLike[str]) -> Simulation:
    """Read a scenario. Raises `ConfigurationError`, which says what is wrong on which line."""
    tables = read_toml(path)
    return _Reading(path, tables).scenario()


class _Reading:
    """A file while it is read, of which every part knows its line."""

    def __init__(self, path: str | os.PathLike[str], tables: Mapping[str, Any]) -> None:
        self._name = str(path)
        self._places = Places(Path(path).read_text("utf-8"))
        self._tables = tables

    def scenario(self) -> Simulation:
        file = self._table(_ScenarioFile, self._tables, (), "the scenario")
        start = _instant(file.start) if file.start is not None else datetime(2026, 1, 1, tzinfo=UTC)
        days = float(file.days or 31)
        models = {name: (each,) if isinstance(each, str) else tuple(each) for name, each in file.models.items()}
        providers = tuple([self._provider(name, table) for name, table in file.providers.items()])
        self._check_models(models, {each.name for each in providers})
        plans = []
        for name, table in file.plans.items():
            with self._at("plans", name):
                plans.append(plan_from(name, table))
        if not plans:
            raise self._wrong("a scenario has a plan at least: [plans.pro]", "plans")
        customers = tuple([self._customers(name, table, models, file.plans) for name, table in file.customers.items()])
        if not customers:
            raise self._wrong("a scenario has customers: [customers.pro], with count = 500", "customers")
        known = {each.name for each in providers} | {each.name.partition(":")[0] for each in providers}
        outages = tuple([self._outage(n, each, start, known) for n, each in enumerate(file.outages or [])])
        scenario = Simulation(
            Path(self._name).stem,
            file.seed or 0,
            start,
            days,
            self._traffic(file.traffic, start),
            tuple(plans),
            customers,
            models,
            providers,
            outages,
            {},
        )
        made = {}
        for name, table in ({} if file.policies is None else file.policies).items():
            with self._at("policies", name):
                made[name] = policies_from(name, table)
                made[name]()  # so that what makes no sense is said now
        return Simulation(**{**vars(scenario), "policies": made})

    def _traffic(self, table: Mapping[str, Any], start: datetime) -> Traffic:
        read = self._table(_TrafficTable, table, ("traffic",), "traffic")
        spikes = []
        for place, each in enumerate(read.spikes or []):
            spike = self._table(_SpikeTable, each, ("traffic", "spikes", place), "a spike")
            begins = (_instant(spike.at) - start).total_seconds()
            spikes.append(Spike(begins, begins + float(spike.minutes) * 60, float(spike.times)))
        return Traffic(**{**_floats(read.given(), but="calls questions"), "spikes": tuple(spikes)})

    def _provider(self, name: str, table: Mapping[str, Any]) -> Provider:
        path = ("providers", name)
        if not all(name.partition(":")):
            raise self._wrong(f'a model is named as "provider:model"; got "{name}"', *path)
        read = self._table(_ProviderTable, table, path, f'"{name}"')
        with self._at(*path, "price"):
            price = price_from(read.price, f'the price of "{name}"', "scenario")
        return Provider(name, **{**_floats(read.given(), but="concurrent queue price"), "price": price})

    def _customers(
        self, name: str, table: Mapping[str, Any], models: Mapping[str, Any], plans: Mapping[str, Any]
    ) -> CustomerGroup:
        path = ("customers", name)
        read = self._table(_CustomersTable, table, path, f"[customers.{name}]")
        if name not in plans:
            raise self._wrong(f'customers are those of a plan, and there is no plan "{name}"', *path)
        model = read.model or next(iter(models), "")
        if model not in models:
            raise self._wrong(f'there is no "{model}" in [models]', *path, "model")
        given = _floats(read.given(), but="count priority input_tokens output_tokens max_output_tokens")
        return CustomerGroup(name, **{"calls": 1.0, **given, "model": model})

    def _outage(self, place: int, table: Mapping[str, Any], start: datetime, known: set[str]) -> Outage:
        path = ("outages", place)
        read = self._table(_OutageTable, table, path, "an outage")
        if read.provider not in known:
            names = ", ".join(sorted(known))
            raise self._wrong(f'there is no provider "{read.provider}"; they are: {names}', *path, "provider")
        begins = (_instant(read.at) - start).total_seconds()
        end = begins + float(read.minutes) * 60
        given = read.given()
        return Outage(read.provider, begins, end, given.get("kind", "down"), float(given.get("factor", 10)))

    def _check_models(self, models: Mapping[str, tuple[str, ...]], known: set[str]) -> None:
        for alias, names in models.items():
            missing = next((name for name in names if name not in known), None)
            if missing is not None or not names:
                said = f'[providers."{missing}"] is missing' if names else "it stands for no model"
                raise self._wrong(f'"{alias}" names models that are simulated, and {said}', "models", alias)

    def _table(self, model: type[T], table: Mapping[str, Any], path: tuple[str | int, ...], what: str) -> T:
        """Read a table; what cannot stand there is said with its line."""
        with self._at(*path):
            return model.of(table, what)

    @contextmanager
    def _at(self, *path: str | int) -> Iterator[None]:
        """Say with its line what is found to be wrong by whom it is for."""
        try:
            yield
        except ConfigurationError as error:
            field = error.field if isinstance(error, TableError) else ()
            raise self._wrong(str(error), *path, *field) from error

    def _wrong(self, message: str, *path: str | int) -> ConfigurationError:
        return ConfigurationError(f"{self._name}, line {self._places.of(path).line}: {message}")


def _instant(given: datetime | date) -> datetime:
    moment = given if isinstance(given, datetime) else datetime.combine(given, time())
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _floats(given: Mapping[str, Any], but: str) -> dict[str, Any]:
    """Give a table's numbers as floats, but for those that are whole."""
    whole = but.split()
    return {
        name: float(value) if isinstance(value, int | Decimal) and name not in whole else value
        for name, value in given.items()
    }
