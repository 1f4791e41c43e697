"""What was computed for earlier prompts, kept so that it need not be computed again: bounded, the oldest goes first.

Thousands of short prompts may be kept, and each call looks among them: they are in order, so that the one which shares
most with a prompt stands beside the place where that belongs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
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
        self._kept: dict[tuple[int, ...], Prefix] = {}  # the newest last
        self._ordered: list[tuple[int, ...]] = []
        self.size = 0
        """How many bytes are kept."""

    @property
    def all(self) -> list[Prefix]:
        """What is kept, the newest last."""
        return list(self._kept.values())

    def has(self, tokens: Sequence[int]) -> bool:
        """Say whether these tokens are kept, perhaps as the beginning of more."""
        at = bisect_left(self._ordered, tuple(tokens))
        return at < len(self._ordered) and shared_length(self._ordered[at], tokens) == len(tokens)

    def keep(self, tokens: list[int], state: bytearray) -> None:
        """Keep a prefix as the newest; what no longer fits is dropped, the one that was used longest ago first."""
        key = tuple(tokens)
        self._drop_beginnings(key)
        insort(self._ordered, key)
        self._kept[key] = Prefix(tokens, state)
        self.size += len(state)
        while self.size > self._limit:
            self._drop(next(iter(self._kept)))

    def longest(self, prompt: Sequence[int]) -> tuple[int, Prefix | None]:
        """Give the prefix that shares most with a prompt, and how many tokens that is."""
        at = bisect_left(self._ordered, tuple(prompt))
        most, best = 0, None
        for key in self._ordered[max(at - 1, 0) : at + 1]:
            shared = shared_length(key, prompt)
            if shared > most:
                most, best = shared, self._kept[key]
        return most, best

    def used(self, prefix: Prefix) -> None:
        """Take note that a prefix was used just now, also one that has been dropped since it was found."""
        key = tuple(prefix.tokens)
        if self._kept.get(key) is prefix:
            self._kept[key] = self._kept.pop(key)
        elif not self.has(prefix.tokens):
            self.keep(*prefix)

    def _drop(self, key: tuple[int, ...]) -> None:
        self.size -= len(self._kept.pop(key).state)
        del self._ordered[bisect_left(self._ordered, key)]

    def _drop_beginnings(self, key: tuple[int, ...]) -> None:
        """Drop what these tokens begin with, and these tokens themselves: each such beginning comes before the next."""
        length = len(key)
        while length:
            at = bisect_left(self._ordered, key[:length])
            if at < len(self._ordered) and self._ordered[at] == key[:length]:
                self._drop(key[:length])
                length -= 1
            elif at:
                length = min(length - 1, shared_length(self._ordered[at - 1], key))
            else:
                return


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the tokens that two sequences begin with alike."""
    shared = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared
