"""What a ledger should do, as a few dictionaries: no transactions, no SQL, one caller.

Units are dollars and calls. `row[part]` is a list of the two: posted, held, extra, and of extra what was topped up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inferkit.ledger.protocols import Amounts, Line

PERIOD, SHORT, SHORTS = 10, 4, 3  # seconds; and how many short windows before the running one still count
UNITS = (0, 1)


@dataclass(frozen=True)
class Account:
    name: str
    limits: tuple = (None, None)
    grace: tuple = (0, 0)
    carry: tuple | None = None
    rolling: bool = False

    def line(self, at):
        number = at // (SHORT if self.rolling else PERIOD)
        return Line(
            self.name,
            _label(self.rolling, number),
            usd=self.limits[0],
            calls=self.limits[1],
            grace=_amounts(self.grace),
            since=_label(True, number - SHORTS) if self.rolling else None,
            previous=None if self.carry is None else _label(False, number - 1),
            carry=None if self.carry is None else _amounts(self.carry),
        )


def _label(rolling, number):
    return f"{'short' if rolling else 'period'}:{number:06d}"


def _amounts(pair):
    return Amounts(pair[0], 0, pair[1])


@dataclass
class Hold:
    amounts: list
    lines: list
    lease: int
    sent: bool


@dataclass
class Row:
    posted: list = field(default_factory=lambda: [0, 0])
    held: list = field(default_factory=lambda: [0, 0])
    extra: list = field(default_factory=lambda: [0, 0])
    credit: list = field(default_factory=lambda: [0, 0])
    over: list = field(default_factory=lambda: [0, 0])  # what calls cost beyond what was held for them

    def used(self, unit):
        return self.posted[unit] + self.held[unit]


class Model:
    def __init__(self, accounts):
        self.accounts = {account.name: account for account in accounts}
        self.rows = {}
        self.holds = {}
        self.expired = {}
        self.entered = set()
        self.topped_up = {name: [0, 0] for name in self.accounts}

    def row(self, line):
        return self.rows.setdefault(line[:2], Row())

    def known(self, call):
        return call in self.holds or call in self.expired or call in self.entered

    # windows

    def open(self, line):
        """The first call of a calendar window brings what is carried from the one before, if there was any."""
        if line.since is not None or line[:2] in self.rows:
            return
        earlier = [window for account, window in self.rows if account == line.account and window < line.window]
        if not earlier:
            return
        if line.previous is not None and max(earlier) < line.previous:
            self._carry(line, max(earlier), line.previous)
            earlier.append(line.previous)
        self._carry(line, max(earlier), line.window)

    def _carry(self, line, source, target):
        old, new = self.row((line.account, source)), self.row((line.account, target))
        for unit, limit in zip(UNITS, (line.usd, line.calls), strict=True):
            credit = rest = old.credit[unit]
            if limit is not None:
                left = max(0, limit + old.extra[unit] - old.used(unit))
                credit = min(credit, left)
                rest = credit + min(self.accounts[line.account].carry[unit] if line.carry else 0, left - credit)
            for row, sign in ((old, -1), (new, 1)):
                row.extra[unit] += sign * rest
                row.credit[unit] += sign * credit

    def free(self, line):
        """What a line can spare of each unit; None where it is not limited."""
        if line.since is None:
            rows = [self.rows[line[:2]]] if line[:2] in self.rows else []
        else:
            rows = [row for (name, window), row in self.rows.items() if name == line.account and window >= line.since]
        return [
            None if limit is None else limit + grace + sum(row.extra[unit] - row.used(unit) for row in rows)
            for unit, limit, grace in zip(
                UNITS, (line.usd, line.calls), (line.grace.usd, line.grace.calls), strict=True
            )
        ]

    # steps

    def decide(self, lines, wanted, least):
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

    def hold(self, lines, wanted, least, now):
        granted = self.decide(lines, wanted, least)
        if granted is None and self.sweep(now):
            granted = self.decide(lines, wanted, least)
        if granted is not None:
            for line in lines:
                _add(self.row(line).held, granted)
        return granted

    def reserve(self, call, lines, wanted, least, *, now, lease, sent):
        granted = self.hold(lines, wanted, least, now)
        if granted is not None:
            self.holds[call] = Hold(granted, lines, lease, sent)
        return granted

    def extend(self, call, more, *, now, lease):
        lines = self.holds[call].lines
        granted = self.hold(lines, more, more, now)
        if granted is None:
            return None
        if call in self.expired:
            back = self.expired.pop(call)
            self.entered.add(call)
            for line in lines:
                _add(self.row(line).posted, back.amounts, -1)
                _add(self.row(line).held, back.amounts)
            self.holds[call] = Hold(list(back.amounts), lines, lease, sent=True)
        hold = self.holds[call]
        _add(hold.amounts, more)
        hold.lease = max(hold.lease, lease)
        return granted

    def settle(self, call, cost):
        if not self.known(call):
            self.entered.add(call)
            return True
        for holds, part in ((self.holds, "held"), (self.expired, "posted")):
            hold = holds.pop(call, None)
            if hold is not None:
                for line in hold.lines:
                    row = self.row(line)
                    _add(getattr(row, part), hold.amounts, -1)
                    _add(row.posted, cost)
                    _add(row.over, [max(0, cost[unit] - hold.amounts[unit]) for unit in UNITS])
                self.entered.add(call)
                return True
        return False

    def void(self, call):
        if call in self.expired:
            return self.settle(call, [0, 0])
        hold = self.holds.pop(call, None)
        for line in hold.lines if hold else ():
            _add(self.row(line).held, hold.amounts, -1)
        return hold is not None

    def record(self, call):
        new = call not in self.entered
        self.entered.add(call)
        return new

    def sweep(self, now):
        over = [call for call, hold in self.holds.items() if hold.lease <= now]
        for call in over:
            hold = self.holds.pop(call)
            for line in hold.lines:
                row = self.row(line)
                _add(row.held, hold.amounts, -1)
                if hold.sent:
                    _add(row.posted, hold.amounts)
            if hold.sent:
                self.entered.add(call)
            else:
                hold.amounts = [0, 0]
            self.expired[call] = hold
        return len(over)

    def top_up(self, line, amounts):
        self.open(line)
        self.row(line)
        last = max(window for account, window in self.rows if account == line.account)
        row = self.row((line.account, last))
        _add(row.extra, amounts)
        _add(row.credit, amounts)
        _add(self.topped_up[line.account], amounts)


def _add(amounts, more, sign=1):
    for unit in UNITS:
        amounts[unit] += sign * more[unit]
