"""How servers that speak the Chat Completions wire differ, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ChatQuirks"]


@dataclass(frozen=True, slots=True)
class ChatQuirks:
    """One server's ways.

    `max_tokens_field` is its name for the limit of the reply; `reasoning_field` the field of an assistant message in
    which it takes its own reasoning back, where it does.
    """

    max_tokens_field: str = "max_tokens"
    reasoning_field: str | None = None
