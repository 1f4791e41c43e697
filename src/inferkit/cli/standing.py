"""How budgets stand, as a ledger has them: what is used, held and left of each account in its running period."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from inferkit.budgets.limits import MOST
from inferkit.budgets.windows import end_of_label, rolling_window
from inferkit.ledger.amounts import Amounts, Balance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from inferkit.ledger.amounts import NotedLimit
    from inferkit.ledger.sqlite.journal import SqliteRecords

__all__ = ["INTERNAL", "AccountStanding", "rolling_seconds", "standings"]

INTERNAL = re.compile(r"booked(-by-tenant)?|block-[0-9a-f]{16}")
"""Budgets that nobody named: accounts of what customers cost, and of blocks of code."""
_ROLLING = re.compile(r"rolling-(\d{1,10})s")
_STEP = 1000  # balances
_WEST = timedelta(hours=12)  # where a day begins last


class AccountStanding(NamedTuple):
    """An account in one window. `limits` are None where nothing is limited, or the ledger was not told yet.

    `ends` is when its period does, as the clocks of its zone show it; None: never, or it rolls.
    """

    account: str
    window: str
    period: str
    ends: datetime | None
    balance: Balance
    limits: tuple[int | None, int | None, int | None]

    @property
    def budget(self) -> str:
        """The budget's name."""
        return self.account.partition(":")[0]

    @property
    def key(self) -> str | None:
        """Whose share of it this is; None for all of it."""
        return self.account.partition(":")[2] or None

    @property
    def left(self) -> tuple[int | None, int | None, int | None]:
        """What is left of each unit that is limited, with what was added."""
        posted, pending, extra = self.balance.posted, self.balance.pending, self.balance.extra
        usd, tokens, calls = (
            None if limit is None else max(0, limit + more - used - held)
            for limit, more, used, held in zip(self.limits, extra, posted, pending, strict=True)
        )
        return usd, tokens, calls

    @property
    def used_share(self) -> float:
        """How much of the scarcest unit is used or held, 1.0 being all of it; -1.0 where nothing is limited."""
        shares = [
            1.0 if limit + more <= 0 else 1 - left / (limit + more)
            for limit, more, left in zip(self.limits, self.balance.extra, self.left, strict=True)
            if limit is not None and left is not None
        ]
        return max(shares, default=-1.0)

    def is_over(self, at: float) -> bool:
        """Whether its period has ended, wherever that is."""
        if self.ends is None:
            return False
        end = self.ends if self.ends.tzinfo is not None else self.ends.replace(tzinfo=UTC) + _WEST
        return datetime.fromtimestamp(at, UTC) >= end


def rolling_seconds(period: str) -> int | None:
    """Give the length of a window that rolls; None for another."""
    found = _ROLLING.fullmatch(period)
    return None if found is None else int(found[1])


def standings(
    records: SqliteRecords,
    at: float,
    budget: str | None = None,
    step: Callable[[int, int], object] = lambda done, of: None,  # noqa: ARG005 - they are named for whoever looks
) -> Iterator[AccountStanding]:
    """Go through all windows of all accounts (of one budget), of those that roll through the one that counts now.

    `step` is told how many of the balances were read. Raises `LedgerError`.
    """
    limits = {limit[:2]: limit for limit in records.limits(budget)}
    windows: dict[tuple[str, str], list[tuple[str, Balance]]] = defaultdict(list)
    ((total,),) = records.reader.rows("SELECT count(*) FROM balances")
    every = records.balances() if budget is None else records.balances_of(budget)
    for done, (name, window, balance) in enumerate(every):
        if not done % _STEP:
            step(done, total)
        windows[name, window.partition(":")[0]].append((window, balance))
    for place, each in windows.items():
        yield from _of_one(place, each, limits.get(place), at)


def _of_one(
    place: tuple[str, str], windows: Sequence[tuple[str, Balance]], limit: NotedLimit | None, at: float
) -> Iterator[AccountStanding]:
    account, period = place
    known = (None, None, None) if limit is None else limit[2:5]
    limits = tuple([None if each is None or each >= MOST else each for each in known])
    length = rolling_seconds(period)
    if length is not None:
        short, since = rolling_window(timedelta(seconds=length), at)
        whole = _sum(balance for window, balance in windows if window >= since)
        yield AccountStanding(account, short.label, period, None, whole, limits)  # type: ignore[arg-type]  # there are three
        return
    anchor = max((_day(window) for window, _ in windows), default=1)
    for window, balance in windows:
        yield AccountStanding(account, window, period, _end(window, anchor), balance, limits)  # type: ignore[arg-type]


def _end(window: str, anchor: int) -> datetime | None:
    try:
        return end_of_label(window, anchor)
    except (ValueError, OverflowError):  # a label that nobody here wrote
        return None


def _day(window: str) -> int:
    day = window[-2:]
    return int(day) if window.startswith("month:") and day.isdigit() else 1


def _sum(balances: Iterable[Balance]) -> Balance:
    total = Balance()
    for balance in balances:
        posted, pending, extra = (
            Amounts(*map(sum, zip(mine, more, strict=True)))
            for mine, more in (
                (total.posted, balance.posted),
                (total.pending, balance.pending),
                (total.extra, balance.extra),
            )
        )
        total = Balance(posted, pending, extra)
    return total
