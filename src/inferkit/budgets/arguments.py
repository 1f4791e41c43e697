"""A budget as `budgeted` and `budget` are given it: whole, or as its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from inferkit.budgets.budget import Budget
from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from decimal import Decimal

    from inferkit.budgets.budget import Threshold
    from inferkit.budgets.limits import Share
    from inferkit.budgets.windows import Period

__all__ = ["BudgetFields", "budget_given"]


class BudgetFields(TypedDict, total=False):
    """The fields of a `Budget`, which says what they mean."""

    usd: str | int | Decimal | None
    tokens: int | None
    calls: int | None
    per: Period | timedelta
    name: str | None
    zone: str
    anchor_day: int
    on_exceed: Literal["raise", "truncate", "degrade", "land"]
    degrade_to: str | None
    land_with: str | None
    each: Literal["user", "tenant"] | None
    within: Budget | None
    warn_at: Share | Sequence[Share]
    on_threshold: Callable[[Threshold], object] | None
    grace: Share
    rollover: Share


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
