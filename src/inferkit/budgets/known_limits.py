"""One name has one limit: budgets of a name share what was spent, so two limits would each say something else of it."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import format_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from inferkit.budgets.budget import Budget
    from inferkit.budgets.windows import Period

    _Key = tuple[str, Period | timedelta]

__all__ = ["KnownLimits", "limits_of_functions", "with_larger"]

_MOST = 1024  # names that come from callers must not fill the memory


class _Seen(NamedTuple):
    budget: Callable[[], Budget | None]
    owner: str | None


class KnownLimits:
    """The budgets that are known, by name and period: each name has one limit in a unit.

    `owner` is the function that a budget is on; a function that is defined again may say something else. What functions
    declared is forgotten with them. `latest` holds the last budget that was checked under each name.
    """

    def __init__(self) -> None:
        self.latest: dict[_Key, weakref.ref[Budget]] = {}
        self._known: dict[_Key, list[_Seen]] = {}

    def check(self, budget: Budget, owner: str | None = None) -> None:
        """Take note of a budget. Raises `ConfigurationError` where its name is known with another limit."""
        if budget.name is None or budget.per == "call":  # which keeps no account, so that nothing is shared
            return
        key = budget.name, budget.per
        conflict = self._conflict(key, budget, owner)
        if conflict is not None:
            del conflict
            gc.collect()  # what is in a cycle, as classes are, may only seem to be there
            conflict = self._conflict(key, budget, owner)
        if conflict is not None:
            other, unit, whose = conflict
            raise ConfigurationError(
                f"budget {budget.name} has two limits {budget.period}: {_limit(other, unit)}{_of(whose)}, and "
                f"{_limit(budget, unit)}{_of(owner)}; budgets of one name share what was spent, so give them the same "
                "limit, or one of them another name"
            )
        others = [each for each in self._known.pop(key, ()) if each.owner != owner and each.budget() is not None]
        self._known[key] = [*others, _Seen(weakref.ref(budget) if owner is not None else lambda: budget, owner)]
        self.latest[key] = weakref.ref(budget)
        if len(self._known) > _MOST:
            longest_ago = list(self._known)[0]  # noqa: RUF015 - in one step, since other threads add to it meanwhile
            self._known.pop(longest_ago, None)
            self.latest.pop(longest_ago, None)

    def _conflict(self, key: _Key, budget: Budget, owner: str | None) -> tuple[Budget, str, str | None] | None:
        for seen in self._known.get(key, ()):
            other = seen.budget()
            if other is None or (owner is not None and owner == seen.owner):
                continue
            for unit in ("nanos", "tokens", "calls"):
                one, two = getattr(other, unit), getattr(budget, unit)
                if one is not None and two is not None and one != two:
                    return other, unit, seen.owner
        return None


def with_larger(budget: Budget | None) -> Iterator[Budget]:
    """Give a budget, and those that it lies within."""
    while budget is not None:
        yield budget
        budget = budget.within


def _limit(budget: Budget, unit: str) -> str:
    amount: int = getattr(budget, unit)
    return format_usd(amount) if unit == "nanos" else f"{amount:,} {unit}"


def _of(owner: str | None) -> str:
    return "" if owner is None else f" on {owner}"


limits_of_functions = KnownLimits()
"""Those that functions have, in this process."""
