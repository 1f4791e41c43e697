"""Finds among calls that are alike those that a scenario may change, so that the others need not be gone through.

A limit that all calls together do not reach stops none of them, in whichever order they were made.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from inferkit.economics.what_if.repricing import cost_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inferkit.budgets.scope import Scope
    from inferkit.economics.what_if.replay import Replay
    from inferkit.ledger.journal import Entry
    from inferkit.ledger.summary import Total

__all__ = ["touched"]


def touched(replay: Replay, totals: Iterable[Total], apart: Iterable[Entry]) -> set[int]:
    """Give the keys of the totals whose calls have to be gone through. `apart` are calls that all are."""
    sums = _Untouched()
    found: set[int] = set()
    charged: list[tuple[int, tuple[str, ...]]] = []
    for total in totals:
        scopes = replay.scopes(total.attribution, total.first)
        priced = replay.together(total)
        if priced is None or replay.varies(total.attribution) or any(scope.budget.per == "call" for scope in scopes):
            found.add(total.key)
        cost = 0 if priced is None else priced.usd + priced.calls
        amounts = (cost, total.input_tokens + total.output_tokens, total.calls)
        accounts = sums.add(scopes, amounts, total.first, certain=priced is not None)
        if accounts:
            charged.append((total.key, accounts))
    for entry in apart:
        charge = replay.priced(entry)
        amounts = (abs(cost_of(charge)), abs(charge.tokens), abs(entry.calls))
        sums.add(replay.scopes(entry.charge.attribution, entry.at), amounts, entry.at, certain=True)
    return found.union(key for key, accounts in charged if not sums.reached.isdisjoint(accounts))


class _Untouched:
    """What would be charged to each account; `reached` are those whose limit may not be enough."""

    def __init__(self) -> None:
        self.reached: set[str] = set()
        self._used: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(
        self, scopes: Sequence[Scope], amounts: tuple[int, int, int], at: float, *, certain: bool
    ) -> tuple[str, ...]:
        for scope in scopes:
            line = scope.line(at)
            used = self._used[line.account]
            for unit, (amount, limit) in enumerate(zip(amounts, (line.usd, line.tokens, line.calls), strict=True)):
                used[unit] += amount
                if limit is not None and used[unit] > limit + line.grace[unit]:
                    self.reached.add(line.account)
            if not certain:
                self.reached.add(line.account)
        return tuple([scope.account for scope in scopes])
