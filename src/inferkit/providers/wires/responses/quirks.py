"""How servers that speak the Responses wire, and their models, differ, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ResponsesQuirks"]


@dataclass(frozen=True, slots=True)
class ResponsesQuirks:
    """One server's ways, and what was learned of its models.

    `without` names fields that it refuses and can do without: `store`, `include`, `prompt_cache_key` and
    `prompt_cache_retention`. `unsealed` are models that do not give their reasoning encrypted, as those that have none.
    """

    without: frozenset[str] = frozenset()
    unsealed: frozenset[str] = frozenset()
