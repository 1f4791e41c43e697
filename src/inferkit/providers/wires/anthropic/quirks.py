"""How servers that speak the Anthropic wire, and their models, differ, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AnthropicQuirks"]


@dataclass(frozen=True, slots=True)
class AnthropicQuirks:
    """One server's ways, and what was learned of its models.

    The wire demands a limit for every reply: `max_tokens` is the one where the caller sets none, and `limits` are the
    most that a model takes, by its name, as its refusals said. `budgeted` are models that are told how many tokens they
    may think, since they do not decide that themselves. `version` is the wire's, where it is sent in the body.
    """

    max_tokens: int = 16_384
    limits: Mapping[str, int] = field(default_factory=dict)
    budgeted: frozenset[str] = frozenset()
    version: str | None = None
    names_model: bool = True
