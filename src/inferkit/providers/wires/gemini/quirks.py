"""How servers that speak the Gemini wire, and their models, differ, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GeminiQuirks"]


@dataclass(frozen=True, slots=True)
class GeminiQuirks:
    """What was learned of a server's models.

    `budgeted` are models that are told how many tokens they may think, and not how hard; `refused` are levels of
    thinking that a model does not have, as pairs of both names.
    """

    budgeted: frozenset[str] = frozenset()
    refused: frozenset[tuple[str, str]] = frozenset()
