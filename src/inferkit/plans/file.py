"""Plans in a TOML file, which the people who set prices can read and change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.plans.plan import Plan, plan_from

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["plans_of", "read_plans", "read_toml"]


def read_plans(path: str | os.PathLike[str]) -> list[Plan]:
    """Read the plans of a file: a table `[plans.NAME]` for each, with the fields of `Plan`.

    Raises `ConfigurationError` for a file that is not there, or does not say what it should.
    """
    found = plans_of(read_toml(path, ["plans"]), str(path))
    if not found:
        raise ConfigurationError(f'{path} has no plans; add a table for each: [plans.pro], with price = "99"')
    return found


def plans_of(document: Mapping[str, Any], where: str) -> list[Plan]:
    """Make the plans of a document."""
    tables = document.get("plans", {})
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ConfigurationError(f'in {where}, plans are tables: [plans.pro], with price = "99"')
    try:
        return [plan_from(name, table) for name, table in tables.items()]
    except ConfigurationError as error:
        raise ConfigurationError(f"in {where}, {error}") from error


def read_toml(path: str | os.PathLike[str], known: Iterable[str]) -> dict[str, Any]:
    """Read a file with the `known` tables. Numbers are exact: 99.90 is a Decimal."""
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # besides syntax: numbers too long for Python, tables too deep
        raise ConfigurationError(f"{path} is not a TOML file: {error}") from error
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ConfigurationError(f"{path} has unknown tables: {', '.join(unknown)}; known are: {', '.join(known)}")
    return document
