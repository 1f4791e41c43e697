"""Facts as processes write them down for each other: JSON objects, of which only what makes sense is read."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_number", "number", "read", "write"]


def write(facts: Mapping[str, Any]) -> str:
    """Write facts down."""
    return json.dumps(facts, separators=(",", ":"), allow_nan=False)


def read(text: str) -> dict[str, Any]:
    """Read them; raises `ValueError` for what nobody here can have written."""
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("facts are an object")  # noqa: TRY004 - of JSON, which is a value here
    return facts


def as_number(value: object) -> float:
    """Give a number; raises `ValueError` for anything else, and for one without end."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def number(facts: Mapping[str, Any], name: str) -> float | None:
    """Give a number among the facts, None where it is not said; raises `ValueError` as `as_number` does."""
    value = facts.get(name)
    return None if value is None else as_number(value)
