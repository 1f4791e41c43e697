"""What a ledger should do, as a few dictionaries: no transactions, no SQL, one caller.

Units are dollars and calls, in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.ledger.amounts import Amounts, Line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHORTS", "UNITS", "Model", "ModelAccount", "ModelRow", "Pair", "as_amounts"]

PERIOD, SHORT, SHORTS = 10, 4, 3  # seconds; and how many short windows before the running one still count
UNITS = (0, 1)
Pair = list[int]
Key = tuple[str, str]


def as_amounts(pair: Sequence[int]) -> Amounts:
    """Give a pair in the ledger's terms."""
    return Amounts(pair[0], 0, pair[1])


@dataclass(frozen=True)
class ModelAccount:
    """An account with its limits, in windows of its own."""

    name: str
    limits: tuple[int | None, int | None] = (None, None)
    grace: tuple[int, int] = (0, 0)
    carry: tuple[int, int] | None = None
    rolling: bool = False

    def line(self, at: int) -> Line:
        """Give the line of a call at this second."""
        number = at // (SHORT if self.rolling else PERIOD)
        return Line(
            self.name,
            _label(number, rolling=self.rolling),
            usd=self.limits[0],
            calls=self.limits[1],
            grace=as_amounts(self.grace),
            since=_label(number - SHORTS, rolling=True) if self.rolling else None,
            previous=None if self.carry is None else _label(number - 1, rolling=False),
            carry=None if self.carry is None else as_amounts(self.carry),
        )


def _label(number: int, *, rolling: bool) -> str:
    return f"{'short' if rolling else 'period'}:{number:06d}"


def _nothing() -> Pair:
    return [0, 0]


@dataclass
class ModelHold:
    """What a call holds."""

    amounts: Pair
    lines: list[Line]
    lease: int
    sent: bool


@dataclass
class ModelRow:
    """An account in a window. `credit` is what of `extra` was topped up, `over` what calls cost beyond their holds."""

    posted: Pair = field(default_factory=_nothing)
    held: Pair = field(default_factory=_nothing)
    extra: Pair = field(default_factory=_nothing)
    credit: Pair = field(default_factory=_nothing)
    over: Pair = field(default_factory=_nothing)

    def used(self, unit: int) -> int:
        """Give what is spent and held."""
        return self.posted[unit] + self.held[unit]


class Model:
    """A ledger's accounts."""

    def __init__(self, accounts: Sequence[ModelAccount]) -> None:
        self.accounts = {account.name: account for account in accounts}
        self.rows: dict[Key, ModelRow] = {}
        self.holds: dict[str, ModelHold] = {}
        self.expired: dict[str, ModelHold] = {}
        self.entered: set[str] = set()
        self.topped_up = {name: [0, 0] for name in self.accounts}

    def row(self, key: Key) -> ModelRow:
        """Give a row, which is made if need be."""
        return self.rows.setdefault(key, ModelRow())

    def known(self, call: str) -> bool:
        """Say whether a call was reserved or entered."""
        return call in self.holds or call in self.expired or call in self.entered

    def open(self, line: Line) -> None:
        """Let the first call of a calendar window bring what is carried from the one before, if there was any."""
        if line.since is not None or line[:2] in self.rows:
            return
        earlier = [window for account, window in self.rows if account == line.account and window < line.window]
        if not earlier:
            return
        if line.previous is not None and max(earlier) < line.previous:
            self._carry(line, max(earlier), line.previous)
            earlier.append(line.previous)
        self._carry(line, max(earlier), line.window)

    def _carry(self, line: Line, source: str, target: str) -> None:
        old, new = self.row((line.account, source)), self.row((line.account, target))
        allowed = self.accounts[line.account].carry if line.carry else None
        for unit, limit in zip(UNITS, (line.usd, line.calls), strict=True):
            credit = rest = old.credit[unit]
            if limit is not None:
                left = max(0, limit + old.extra[unit] - old.used(unit))
                credit = min(credit, left)
                rest = credit + min(allowed[unit] if allowed else 0, left - credit)
            for row, sign in ((old, -1), (new, 1)):
                row.extra[unit] += sign * rest
                row.credit[unit] += sign * credit

    def free(self, line: Line) -> list[int | None]:
        """Give what a line can spare of each unit; None where it is not limited."""
        if line.since is None:
            rows = [self.rows[line[:2]]] if line[:2] in self.rows else []
        else:
            rows = [row for (name, window), row in self.rows.items() if name == line.account and window >= line.since]
        limits, grace = (line.usd, line.calls), (line.grace.usd, line.grace.calls)
        return [
            None if limit is None else limit + more + sum(row.extra[unit] - row.used(unit) for row in rows)
            for unit, limit, more in zip(UNITS, limits, grace, strict=True)
        ]

    def _decide(self, lines: list[Line], wanted: Pair, least: Pair) -> Pair | None:
        granted = list(wanted)
        for line in lines:
            self.open(line)
            for unit, left in zip(UNITS, self.free(line), strict=True):
                if left is None:
                    continue
                if left < least[unit] and wanted[unit]:
                    return None
                granted[unit] = min(granted[unit], max(0, left))
        return granted

    def _hold(self, lines: list[Line], wanted: Pair, least: Pair, now: int) -> Pair | None:
        granted = self._decide(lines, wanted, least)
        if granted is None and self.sweep(now):
            granted = self._decide(lines, wanted, least)
        if granted is not None:
            for line in lines:
                _add(self.row(line[:2]).held, granted)
        return granted

    def reserve(
        self, call: str, lines: list[Line], wanted: Pair, least: Pair, *, now: int, lease: int, sent: bool
    ) -> Pair | None:
        """See `Accounts`; None is a refusal."""
        granted = self._hold(lines, wanted, least, now)
        if granted is not None:
            self.holds[call] = ModelHold(granted, lines, lease, sent)
        return granted

    def extend(self, call: str, more: Pair, *, now: int, lease: int) -> Pair | None:
        """See `Accounts`; None is a refusal."""
        lines = self.holds[call].lines
        granted = self._hold(lines, more, more, now)
        if granted is None:
            return None
        if call in self.expired:
            back = self.expired.pop(call)
            self.entered.add(call)
            for line in lines:
                _add(self.row(line[:2]).posted, back.amounts, -1)
                _add(self.row(line[:2]).held, back.amounts)
            self.holds[call] = ModelHold(list(back.amounts), lines, lease, sent=True)
        hold = self.holds[call]
        _add(hold.amounts, more)
        hold.lease = max(hold.lease, lease)
        return granted

    def settle(self, call: str, cost: Pair) -> bool:
        """See `Accounts`."""
        if not self.known(call):
            self.entered.add(call)
            return True
        for holds, part in ((self.holds, "held"), (self.expired, "posted")):
            hold = holds.pop(call, None)
            if hold is not None:
                for line in hold.lines:
                    row = self.row(line[:2])
                    _add(_part(row, part), hold.amounts, -1)
                    _add(row.posted, cost)
                    _add(row.over, [max(0, cost[unit] - hold.amounts[unit]) for unit in UNITS])
                self.entered.add(call)
                return True
        return False

    def void(self, call: str) -> bool:
        """See `Accounts`."""
        if call in self.expired:
            return self.settle(call, [0, 0])
        hold = self.holds.pop(call, None)
        for line in hold.lines if hold else ():
            _add(self.row(line[:2]).held, hold.amounts if hold else [0, 0], -1)
        return hold is not None

    def record(self, call: str) -> bool:
        """See `Accounts`."""
        new = call not in self.entered
        self.entered.add(call)
        return new

    def sweep(self, now: int) -> int:
        """See `Accounts`."""
        over = [call for call, hold in self.holds.items() if hold.lease <= now]
        for call in over:
            hold = self.holds.pop(call)
            for line in hold.lines:
                row = self.row(line[:2])
                _add(row.held, hold.amounts, -1)
                if hold.sent:
                    _add(row.posted, hold.amounts)
            if hold.sent:
                self.entered.add(call)
            else:
                hold.amounts = [0, 0]
            self.expired[call] = hold
        return len(over)

    def top_up(self, line: Line, amounts: Pair) -> None:
        """See `Accounts`."""
        self.open(line)
        self.row(line[:2])
        last = max(window for account, window in self.rows if account == line.account)
        row = self.row((line.account, last))
        _add(row.extra, amounts)
        _add(row.credit, amounts)
        _add(self.topped_up[line.account], amounts)


def _part(row: ModelRow, name: str) -> Pair:
    part: Any = getattr(row, name)
    found: Pair = part
    return found


def _add(amounts: Pair, more: Sequence[int], sign: int = 1) -> None:
    for unit in UNITS:
        amounts[unit] += sign * more[unit]
