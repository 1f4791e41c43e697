"""A budget as `budgeted` and `budget` are given it: whole, or as its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit._errors import ConfigurationError
from inferkit.budgets.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["budget_given"]


def budget_given(budget: object, fields: Mapping[str, Any], *, example: str) -> Budget:
    """Give the budget that the arguments stand for. Raises `ConfigurationError`, with the example, for others."""
    if budget is not None and not isinstance(budget, Budget):
        raise ConfigurationError(f"this takes a Budget or its fields: {example}")
    if budget is not None and fields:
        raise ConfigurationError(f"pass a Budget or its fields, not both (got also {', '.join(sorted(fields))})")
    unknown = fields.keys() - Budget.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(Budget.__dataclass_fields__)
        raise ConfigurationError(f"a budget has no {', '.join(sorted(unknown))}; its fields are: {known}")
    return budget or Budget(**fields)
