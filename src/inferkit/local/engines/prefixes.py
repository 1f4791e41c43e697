"""What was computed for earlier prompts, kept so that it need not be computed again: bounded, the oldest goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KeptPrefixes", "Prefix", "shared_length"]


class Prefix(NamedTuple):
    """Tokens, and what an engine computed for them."""

    tokens: list[int]
    state: bytearray


class KeptPrefixes:
    """Keeps prefixes in `limit` bytes at most. One that another one begins with is not kept twice."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[Prefix] = []

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return sum(len(prefix.state) for prefix in self._kept)

    @property
    def all(self) -> list[Prefix]:
        """What is kept, the newest last."""
        return list(self._kept)

    def has(self, tokens: Sequence[int]) -> bool:
        """Say whether these tokens are kept, perhaps as the beginning of more."""
        return any(shared_length(prefix.tokens, tokens) == len(tokens) for prefix in self._kept)

    def keep(self, tokens: list[int], state: bytearray) -> None:
        """Keep a prefix as the newest; what no longer fits is dropped, the one that was used longest ago first."""
        self._kept = [prefix for prefix in self._kept if shared_length(prefix.tokens, tokens) < len(prefix.tokens)]
        self._kept.append(Prefix(tokens, state))
        while self.size > self._limit:
            del self._kept[0]

    def longest(self, prompt: Sequence[int]) -> tuple[int, Prefix | None]:
        """Give the prefix that shares most with a prompt, and how many tokens that is."""
        most, best = 0, None
        for prefix in self._kept:
            shared = shared_length(prefix.tokens, prompt)
            if shared > most:
                most, best = shared, prefix
        return most, best

    def used(self, prefix: Prefix) -> None:
        """Take note that a prefix was used just now, also one that has been dropped since it was found."""
        kept = [one for one in self._kept if one is not prefix]
        if len(kept) < len(self._kept):
            self._kept = [*kept, prefix]
        elif not self.has(prefix.tokens):
            self.keep(*prefix)


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the tokens that two sequences begin with alike."""
    shared = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared
