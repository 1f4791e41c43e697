"""Calls that a limit might have stopped and did not: they are added up, so that no more is made of each of them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from inferkit.ledger.summary import AMOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.budgets.scope import Scope
    from inferkit.economics.what_if.replay import Replay
    from inferkit.ledger.summary import OneCall, Total

__all__ = ["Unstopped"]

_USD = AMOUNTS.index("usd")


class Unstopped:
    """Takes calls in the order in which they were made. `early` is the instant until which they are added up apart."""

    def __init__(self, replay: Replay, early: float | None = None) -> None:
        self._replay = replay
        self._early = float("-inf") if early is None else early
        self._alike: dict[int, _Alike | None] = {}

    def take(self, call: OneCall, total: Total, *, counts: bool) -> bool:
        """Let a call of a total pass, if it stays as it was. One that does not count only uses its limits."""
        key = call.key
        try:
            alike = self._alike[key]
        except KeyError:
            alike = self._alike[key] = self._begun(total)
        if alike is None or (alike.scopes and not self._replay.passes(alike.scopes, call)):
            return False
        if counts:
            if alike.sums is None:
                alike.sums, alike.first = call.amounts, call.at
            else:
                alike.sums = tuple(map(operator.add, alike.sums, call.amounts))
            if call.at < self._early:
                alike.early += call.amounts[_USD]
        return True

    def totals(self) -> Iterator[Total]:
        """Give what the calls that passed come to."""
        for alike in self._alike.values():
            if alike is not None and alike.sums is not None:
                sums: dict[str, Any] = dict(zip(AMOUNTS, alike.sums, strict=True))
                yield alike.total._replace(**sums, first=alike.first)

    def early(self) -> Iterator[Total]:
        """Give what the early ones of them cost."""
        for alike in self._alike.values():
            if alike is not None and alike.early:
                yield alike.total._replace(usd=alike.early, first=alike.first)

    def _begun(self, total: Total) -> _Alike | None:
        """Begin with calls that are alike; None where each of them may be another one under the scenario."""
        if total.is_reported or not self._replay.leaves(total):
            return None
        return _Alike(total, self._replay.scopes(total.attribution, total.first))


class _Alike:
    """Calls that are alike, what holds them, and what those of them come to that passed."""

    __slots__ = ("early", "first", "scopes", "sums", "total")

    def __init__(self, total: Total, scopes: Sequence[tuple[str, Scope]]) -> None:
        self.total = total
        self.scopes = scopes
        self.sums: tuple[int, ...] | None = None
        self.first = 0.0
        self.early = 0
