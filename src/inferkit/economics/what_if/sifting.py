"""Finds among calls that are alike those that a scenario may change, so that the others need not be gone through.

A limit that all calls together do not reach stops none of them, in whichever order they were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.budgets.scope import Scope
    from inferkit.economics.what_if.replay import Replay
    from inferkit.ledger.amounts import Line
    from inferkit.ledger.journal import Attribution, Entry
    from inferkit.ledger.summary import Total

__all__ = ["touched"]


def touched(replay: Replay, totals: Iterable[Total], apart: Iterable[Entry]) -> set[int]:
    """Give the keys of the totals whose calls have to be gone through. `apart` are calls that all are."""
    if not replay.is_limited:
        return {total.key for total in totals if replay.together(total) is None}
    sums = _Uses(replay)
    found: set[int] = set()
    charged: list[tuple[int, tuple[_Use, ...]]] = []
    for total in totals:
        uses, varies = sums.of(total.attribution, total.first)
        priced = replay.together(total)
        if priced is None or varies:
            found.add(total.key)
        cost = 0 if priced is None else priced.usd + priced.calls
        for use in uses:
            use.add(cost, total.input_tokens + total.output_tokens, total.calls)
            use.is_reached = use.is_reached or priced is None
        if uses:
            charged.append((total.key, uses))
    for entry in apart:
        roomy = [use for use in sums.of(entry.charge.attribution, entry.at)[0] if not use.is_reached]
        if roomy:
            cost = abs(replay.cost(entry))
            for use in roomy:
                use.add(cost, abs(entry.charge.tokens), abs(entry.calls))
    return found.union(key for key, uses in charged if any(use.is_reached for use in uses))


class _Use:
    """What would be charged to an account; `is_reached` if its limit may not be enough, or holds each call alone."""

    __slots__ = ("_calls", "_line", "_tokens", "_usd", "is_reached")

    def __init__(self, scope: Scope, line: Line) -> None:
        self._line = line
        self._usd = self._tokens = self._calls = 0
        self.is_reached = scope.budget.per == "call"

    def add(self, usd: int, tokens: int, calls: int) -> None:
        line, grace = self._line, self._line.grace
        self._usd += usd
        self._tokens += tokens
        self._calls += calls
        if (
            (line.usd is not None and self._usd > line.usd + grace.usd)
            or (line.tokens is not None and self._tokens > line.tokens + grace.tokens)
            or (line.calls is not None and self._calls > line.calls + grace.calls)
        ):
            self.is_reached = True


class _Uses:
    """What would be charged to each account."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._uses: dict[str, _Use] = {}
        self._known: dict[Attribution, tuple[tuple[_Use, ...], bool]] = {}

    def of(self, attribution: Attribution, at: float) -> tuple[tuple[_Use, ...], bool]:
        """Give the accounts that a call is charged to, and whether seats change, so that all are gone through."""
        known = self._known.get(attribution)
        if known is None:
            uses = tuple([self._use(scope, at) for _, scope in self._replay.scopes(attribution, at)])
            known = self._known[attribution] = (uses, self._replay.varies(attribution))
        return known

    def _use(self, scope: Scope, at: float) -> _Use:
        use = self._uses.get(scope.account)
        if use is None:
            use = self._uses[scope.account] = _Use(scope, scope.line(at))
        return use
