"""Plans in a TOML file, which the people who set prices can read and change."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    import os

    from inferkit.plans.plan import Plan

__all__ = ["read_plans", "read_toml"]


def read_plans(path: str | os.PathLike[str]) -> list[Plan]:
    """Read the plans of a file: a table `[plans.NAME]` for each, with the fields of `Plan`.

    Raises `ConfigurationError` for a file that is not there, or does not say what it should.
    """
    from inferkit.plans.models import PlansFile, plan_from

    tables = PlansFile.of(read_toml(path), str(path)).plans
    if not tables:
        raise ConfigurationError(f'{path} has no plans; add a table for each: [plans.pro], with price = "99"')
    try:
        return [plan_from(name, table) for name, table in tables.items()]
    except ConfigurationError as error:
        raise ConfigurationError(f"in {path}, {error}") from error


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file. Numbers are exact: 99.90 is a Decimal. Raises `ConfigurationError`."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # besides syntax: numbers too long for Python, tables too deep
        raise ConfigurationError(f"{path} is not a TOML file: {error}") from error
