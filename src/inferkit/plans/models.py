"""What a file says of plans, as pydantic models: which tables and fields there are, and what can stand in each.

A model checks a file's form and hands on exactly what stands there: 99.90 is a Decimal, and what is left out stays out.
Whether it makes sense is for `Plan` and `Budget` to say, as it is for those who write them in Python. This is imported
where a file is read, and nowhere else, since pydantic takes its time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from inferkit.budgets.budget import Budget
from inferkit.core.errors import ConfigurationError
from inferkit.core.misspelt import near
from inferkit.plans.plan import Plan

if TYPE_CHECKING:
    from typing import Self

    from pydantic_core import ErrorDetails

    from inferkit.plans.places import Path

__all__ = [
    "AllowanceTable",
    "BudgetTable",
    "Exact",
    "FileTable",
    "PlanTable",
    "PlansFile",
    "TableError",
    "blamed",
    "budget_from",
    "optional",
    "plan_from",
]

Exact = str | int | Annotated[Decimal, Field(allow_inf_nan=True)]  # nan is refused where "nan" is: by whom it is for


def optional(says: str) -> Any:
    """Declare a field that may be left out; `says` ends the sentence that refuses what it cannot be."""
    return Field(default=None, description=says)


class TableError(ConfigurationError):
    """A table says something wrong; `field` is the path to it from there, as far as one is to blame."""

    def __init__(self, message: str, field: Path = ()) -> None:
        super().__init__(message)
        self.field = field


def blamed(message: str, table: Mapping[str, Any]) -> Path:
    """Give the field of a table that a message is about: what it names first, or what it says that it got."""
    found = (match for name in table if (match := re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", message)))
    first = min(found, key=lambda match: match.start(), default=None)
    if first is not None:
        return (first[0],)
    return next(((name,) for name, value in table.items() if message.endswith(f"got {value!r}")), ())


class FileTable(BaseModel):
    """A table of a file. Each field's description ends the sentence that refuses what cannot stand there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    unknown: ClassVar = "{what} has no {names}; its fields are: {fields}"
    wrong: ClassVar = "{field} of {what} {says}; got {given}"

    @classmethod
    def of(cls, table: Mapping[str, Any], what: str) -> Self:
        """Read a table. Raises `TableError`, which names it by `what`, for what it cannot say."""
        try:
            return cls.model_validate(dict(table))
        except ValidationError as error:
            raise TableError(*cls._explained(error.errors(), what)) from None

    @classmethod
    def _explained(cls, errors: list[ErrorDetails], what: str) -> tuple[str, Path]:
        def named(kind: str) -> list[str]:
            return sorted(str(error["loc"][0]) for error in errors if error["type"] == kind)

        if unknown := named("extra_forbidden"):
            fields = ", ".join(sorted(cls.model_fields))
            names = ", ".join(unknown) + near(set(unknown), cls.model_fields)
            return cls.unknown.format(what=what, names=names, fields=fields), (unknown[0],)
        if missing := named("missing"):
            who = "it" if len(missing) == 1 else "each"
            says = cls.model_fields[missing[0]].description
            return f"{what} says nothing of {' and '.join(missing)}; {who} {says}", ()
        name = str(errors[0]["loc"][0])
        declared = cls.model_fields[name]
        given = _as_written(errors[0]["input"])
        said = cls.wrong.format(what=what, field=declared.title or name, says=declared.description, given=given)
        return said, (name,)

    def given(self) -> dict[str, Any]:
        """Give what the table says, and nothing of what it leaves out."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def _as_written(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value} as a float, which is not exact"
    return repr(value) if isinstance(value, str) else str(value)


def _length(value: Any) -> Any:
    """Make a length of time of a table of its parts."""
    if not isinstance(value, Mapping):
        return value
    try:
        return timedelta(**{unit: float(number) for unit, number in value.items()})
    except (TypeError, OverflowError) as error:
        raise ValueError from error


class BudgetTable(FileTable):
    """What all budgets of files have."""

    usd: Annotated[Exact, optional('is an amount of dollars: 5, 5.50 or "5.50"')]
    tokens: Annotated[int, optional("is a whole number above zero")]
    calls: Annotated[int, optional("is a whole number above zero")]
    per: Annotated[
        str | timedelta,
        BeforeValidator(_length),
        optional('is a name, such as "day", or a table of days, hours, minutes and seconds: per = { hours = 5 }'),
    ]
    zone: Annotated[str, optional('is the name of a time zone: zone = "Europe/Berlin"')]
    anchor_day: Annotated[int, optional("is a day of the month, 1 to 31")]
    grace: Annotated[Exact, optional('is a share of the limit: 0.1 or "0.1"')]


class AllowanceTable(BudgetTable):
    """The allowance of a plan: a `Budget` but for what the plan itself says of it."""

    on_exceed: Annotated[str, optional('is "raise", "truncate", "degrade" or "land"')]
    degrade_to: Annotated[str, optional('is the model to go to: "local", an alias, or "provider:model"')]
    land_with: Annotated[str, optional('is a local model that ends what was cut: "local", or an alias')]
    warn_at: Annotated[Exact | list[Exact], optional("is a share of the limit, or a list of them: [0.5, 0.8]")]
    rollover: Annotated[Exact, optional('is a share of the limit: 0.5 or "0.5"')]


class PlanTable(FileTable):
    """A `Plan` but for its name, which is the table's."""

    price: Annotated[Exact, optional('is an amount of dollars: 99, 99.90 or "99.90"')]
    per: Annotated[str, optional('is "day", "week", "month" or "year"')]
    per_seat: Annotated[bool, optional("is true or false, without quotes")]
    seats: Annotated[int, optional("is a whole number of seats from 1")]
    allowance: Annotated[
        dict[str, Any] | Literal["unlimited"], optional('is a table: allowance = {usd = "5"}, or "unlimited"')
    ]
    pooled: Annotated[bool, optional("is true or false, without quotes")]
    target_margin: Annotated[Exact, optional('is the share of the price that is to remain: 0.7 or "0.7"')]
    zone: Annotated[str, optional('is the name of a time zone: zone = "Europe/Berlin"')]


class PlansFile(FileTable):
    """A whole file, whose fields are its tables."""

    unknown: ClassVar = "{what} has unknown tables: {names}; known are: {fields}"
    wrong: ClassVar = "in {what}, {field} {says}"

    plans: dict[str, dict[str, Any]] = Field(default={}, description='are tables: [plans.pro], with price = "99"')


def plan_from(name: str, table: Mapping[str, Any]) -> Plan:
    """Make a plan of what a file says, or a definition in a ledger. Raises `TableError`."""
    fields = PlanTable.of(table, f'plan "{name}"').given()
    try:
        if isinstance(fields.get("allowance"), dict):
            fields["allowance"] = budget_from(AllowanceTable, fields["allowance"], f'the allowance of plan "{name}"')
        return Plan(name, **fields)
    except TableError as error:
        raise TableError(str(error), ("allowance", *error.field)) from error
    except ConfigurationError as error:
        raise TableError(str(error), blamed(str(error), table)) from error


def budget_from(model: type[BudgetTable], table: Mapping[str, Any], what: str) -> Budget:
    """Make a budget of what a file says; `what` names it in the message of a `TableError`."""
    fields = model.of(table, what).given()
    try:
        return Budget(**fields)
    except ConfigurationError as error:
        raise TableError(f"{what}: {error}", blamed(str(error), table)) from error
