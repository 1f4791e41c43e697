"""What is used of limits while calls are replayed: the ledger's balances, in memory."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from inferkit.ledger.amounts import NOTHING, Amounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.ledger.amounts import Line

__all__ = ["Balances", "Room", "is_plain"]

_CALL = "call"


class Room(NamedTuple):
    """What a limit leaves, of each unit; None where that is not limited."""

    usd: int | None
    tokens: int | None
    calls: int | None


class Balances:
    """Balances by account and window."""

    def __init__(self) -> None:
        self._used: dict[str, dict[str, Amounts]] = defaultdict(dict)

    def room(self, line: Line) -> Room:
        """Give what is left of a line's limits, its grace included."""
        used, grace = self._used_of(line), line.grace
        return Room(
            None if line.usd is None else line.usd + grace.usd - used.usd,
            None if line.tokens is None else line.tokens + grace.tokens - used.tokens,
            None if line.calls is None else line.calls + grace.calls - used.calls,
        )

    def take(self, lines: Sequence[Line], amounts: Amounts) -> bool:
        """Charge a call if all lines have room for all of it. What costs nothing is free, also after the limit."""
        for line in lines:
            if not _has_room(line, self._used_of(line), *amounts):
                return False
        self.charge(lines, amounts)
        return True

    def take_of(self, line: Line, usd: int, tokens: int, calls: int) -> bool:
        """Charge a call to one plain line if it has room for all of it."""
        windows = self._used[line.account]
        used = windows.get(line.window, NOTHING)
        if not _has_room(line, used, usd, tokens, calls):
            return False
        windows[line.window] = Amounts(used[0] + usd, used[1] + tokens, used[2] + calls)
        return True

    def charge(self, lines: Sequence[Line], amounts: Amounts) -> None:
        """Add to what is used, once on each account."""
        keys = {(line.account, line.window) for line in lines} if len(lines) > 1 else [lines[0][:2]]
        for account, window in keys:
            if window != _CALL:  # a limit on each call keeps no account
                windows = self._used[account]
                used = windows.get(window)
                windows[window] = amounts if used is None else _added(used, amounts)

    def _used_of(self, line: Line) -> Amounts:
        windows = self._used[line.account]
        if line.since is None:
            return windows.get(line.window, NOTHING)
        kind = line.window.partition(":")[0]
        total = NOTHING
        for window in [window for window in windows if window.startswith(kind)]:
            if window < line.since:
                del windows[window]  # over for good
            else:
                total = _added(total, windows[window])
        return total


def is_plain(line: Line) -> bool:
    """Whether what is used of a line is kept in one place."""
    return line.since is None and line.window != _CALL


def _has_room(line: Line, used: Amounts, usd: int, tokens: int, calls: int) -> bool:
    _, _, most_usd, most_tokens, most_calls, grace, *_ = line
    return not (
        (most_usd is not None and 0 < usd > most_usd + grace[0] - used[0])
        or (most_tokens is not None and 0 < tokens > most_tokens + grace[1] - used[1])
        or (most_calls is not None and 0 < calls > most_calls + grace[2] - used[2])
    )


def _added(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(one.usd + other.usd, one.tokens + other.tokens, one.calls + other.calls)
