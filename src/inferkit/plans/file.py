"""Plans in a TOML file, which the people who set prices can read and change."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, ConfigurationFileError

if TYPE_CHECKING:
    import os

    from inferkit.plans.places import Path as Keys
    from inferkit.plans.plan import Plan

__all__ = ["read_plans", "read_toml"]


def read_plans(path: str | os.PathLike[str]) -> list[Plan]:
    """Read the plans of a file: a table `[plans.NAME]` for each, with the fields of `Plan`.

    Raises `ConfigurationError` for a file that is not there, or does not say what it should: of a plan, with its line
    and column, as a `ConfigurationFileError`.
    """
    from inferkit.plans.models import PlansFile, TableError, plan_from

    tables = PlansFile.of(read_toml(path), str(path)).plans
    if not tables:
        raise ConfigurationError(f'{path} has no plans; add a table for each: [plans.pro], with price = "99"')
    made = []
    for name, table in tables.items():
        try:
            made.append(plan_from(name, table))
        except TableError as error:
            raise _wrong(path, str(error), ("plans", name, *error.field)) from error
    return made


def _wrong(path: str | os.PathLike[str], message: str, where: Keys) -> ConfigurationFileError:
    from inferkit.plans.places import Places

    line, column = Places(Path(path).read_text("utf-8")).of(where)
    said = f"in {path}, {message} (line {line}, column {column})"
    return ConfigurationFileError(said, file=str(path), line=line, column=column)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file. Numbers are exact: 99.90 is a Decimal. Raises `ConfigurationError`."""
    import tomllib

    try:
        return tomllib.loads(Path(path).read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # besides syntax: numbers too long for Python, tables too deep
        raise ConfigurationError(f"{path} is not a TOML file: {error}") from error
