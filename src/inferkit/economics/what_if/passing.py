"""Calls that a limit might have stopped and did not: they are added up, so that no more is made of each of them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from inferkit.core.usage import Usage
from inferkit.economics.report.calls import name_of
from inferkit.ledger.summary import AMOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inferkit.budgets.scope import Scope
    from inferkit.economics.what_if.replay import Replay
    from inferkit.ledger.summary import OneCall, Total
    from inferkit.pricing.rates import Rates

    Respend = Callable[[float, str | None, int, str | None, int], object]

__all__ = ["Unstopped"]


class Unstopped:
    """Takes calls in the order in which they were made. `early` is the instant until which they are added up apart.

    `respend` is told of each that is priced anew: its instant, its model and what it cost, and the same as it is now.
    """

    def __init__(self, replay: Replay, early: float | None = None, respend: Respend | None = None) -> None:
        self._replay = replay
        self._early = float("-inf") if early is None else early
        self._respend = respend
        self._alike: dict[int, _Alike | None] = {}

    def take(self, call: OneCall, total: Total, *, counts: bool) -> bool:
        """Let a call of a total pass, if no limit stops it. One that does not count only uses its limits."""
        key, at, amounts, _ = call
        try:
            alike = self._alike[key]
        except KeyError:
            alike = self._alike[key] = self._begun(total)
        if alike is None:
            return False
        calls, usd, read, written, cached, cache_written, reasoned, *_ = amounts
        was, rates = usd, alike.rates
        if rates is not None:
            if not (read or written):
                return False  # it was not billed
            usd = rates.cost(Usage(read, written, cached, cache_written, reasoned)) or 0
            amounts = (calls, usd, read, written, cached, cache_written, reasoned, 0, 0)  # it saved at other prices
        if alike.scopes and not self._replay.take(alike.scopes, at, usd, read + written, calls):
            return False
        if counts:
            if alike.sums is None:
                alike.sums, alike.first = amounts, at
            else:
                alike.sums = tuple(map(operator.add, alike.sums, amounts))
            if at < self._early:
                alike.early += usd
            if rates is not None and self._respend is not None:
                self._respend(at, alike.name, was, alike.new_name, usd)
        return True

    def totals(self) -> Iterator[Total]:
        """Give what the calls that passed come to, as they would have been."""
        for alike in self._alike.values():
            if alike is not None and alike.sums is not None:
                sums: dict[str, Any] = dict(zip(AMOUNTS, alike.sums, strict=True))
                yield self._placed(alike, alike.total._replace(**sums, first=alike.first))

    def early(self) -> Iterator[Total]:
        """Give what the early ones of them cost."""
        for alike in self._alike.values():
            if alike is not None and alike.early:
                yield self._placed(alike, alike.total._replace(usd=alike.early, first=alike.first))

    def _placed(self, alike: _Alike, total: Total) -> Total:
        return self._replay.placed(total, is_changed=alike.rates is not None)

    def _begun(self, total: Total) -> _Alike | None:
        """Begin with calls that are alike; None where each of them has to be looked at."""
        replay = self._replay
        if total.is_reported or replay.varies(total.attribution):
            return None
        priced, rates = replay.together(total), replay.rates(total)
        if priced is None or (priced is not total and rates is None):
            return None
        return _Alike(total, priced, rates, replay.scopes(total.attribution, total.first))


class _Alike:
    """Calls that are alike, as they would have been: what holds them, and what those of them come to that passed.

    `rates` are those that each is priced anew at, and None where they cost what they did.
    """

    __slots__ = ("early", "first", "name", "new_name", "rates", "scopes", "sums", "total")

    def __init__(self, total: Total, priced: Total, rates: Rates | None, scopes: Sequence[tuple[str, Scope]]) -> None:
        self.total = priced
        self.name = name_of(total.provider, total.model)
        self.new_name = name_of(priced.provider, priced.model)
        self.rates = rates
        self.scopes = scopes
        self.sums: tuple[int, ...] | None = None
        self.first = 0.0
        self.early = 0
