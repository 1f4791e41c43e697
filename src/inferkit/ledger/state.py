"""A ledger as plain values: for a store that keeps the whole of it in memory, and to read what each step means.

Every balance is what entries, holds and credits add up to, so that each step changes one thing. It takes longer with
every entry; a store for many keeps the sums beside them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import NOTHING, Amounts, Balance, Credit, Crossing, Grant, Line, Refusal, Settled
from inferkit.ledger.decisions import ALL_SHARES, carried, crossed, grant, refused
from inferkit.ledger.journal import Assignment, Attribution, Charge, Entry, EntryKind, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    from inferkit.ledger.unwritten import Unwritten

__all__ = ["Held", "LedgerState"]

Key = tuple[str, str]  # an account and a window


class Held(NamedTuple):
    """What a call holds, on which accounts and windows."""

    amounts: Amounts
    accounts: tuple[Key, ...]
    lease: float
    sent: bool
    attribution: Attribution


@dataclass
class LedgerState:
    """What is written down. The steps are those of `Accounts` and `Journal`, for one caller, without waiting.

    `lapsed` are the holds whose lease ran out, with what was posted for them. `windows` are those that were opened, and
    what of their credits was topped up; `told` is the last share of each that somebody was told of.
    """

    entries: list[Entry] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    holds: dict[str, Held] = field(default_factory=dict)
    lapsed: dict[str, Held] = field(default_factory=dict)
    windows: dict[Key, Amounts] = field(default_factory=dict)
    told: dict[Key, int] = field(default_factory=dict)
    tallies: dict[tuple[object, ...], Tally] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    definitions: list[tuple[float, str, str]] = field(default_factory=list)

    def copy(self) -> Self:
        """Give one that may be changed without changing this one."""
        return type(self)(*(copy.copy(getattr(self, each.name)) for each in fields(self)))

    def reserve(
        self, call: str, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, hold: Held, *, at: float
    ) -> Grant | Refusal:
        """See `Accounts`. `hold` says how it is held; its amounts and accounts are those that are granted."""
        if call in self.holds or call in self.lapsed or self._is_entered(call):
            raise LedgerError(f"call {call} was reserved before; give every call an id of its own")
        answer = self._grant(lines, wanted, minimum, at)
        if isinstance(answer, Grant):
            self.holds[call] = hold._replace(amounts=answer.amounts, accounts=tuple(line[:2] for line in lines))
        return answer

    def extend(self, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease: float) -> Grant | Refusal:
        """See `Accounts`."""
        answer = self._grant(lines, more, more, at)
        if isinstance(answer, Refusal):
            return answer
        hold = self.holds.get(call)
        if hold is None:  # what was posted when the lease ran out is held again
            hold = self.lapsed.get(call)
            if hold is None:
                raise LedgerError(f"call {call} holds nothing that could be extended; it was settled or never reserved")
            self._correct(call, at, 0, Charge(0, attribution=hold.attribution))
            hold = hold._replace(sent=True)  # it turns out to be running
        self.holds[call] = hold._replace(amounts=_sum(hold.amounts, more), lease=max(hold.lease, lease))
        return answer

    def mark_sent(self, call: str) -> None:
        """See `Accounts`."""
        if call in self.holds:
            self.holds[call] = self.holds[call]._replace(sent=True)

    def settle(self, call: str, charge: Charge, *, at: float, calls: int, watched: Sequence[Line] = ()) -> Settled:
        """See `Accounts`."""
        hold = self.holds.pop(call, None)
        if hold is None and self._is_entered(call) and call not in self.lapsed:
            return Settled(now=False)
        if hold is not None or not self._correct(call, at, calls, charge):
            self._enter(call, "settled", at, calls=calls, charge=charge, hold=hold)
        return Settled(now=True, crossings=tuple(self.warn(watched)))

    def void(self, call: str, *, at: float) -> bool:
        """See `Accounts`."""
        if self.holds.pop(call, None) is not None:
            return True
        hold = self.lapsed.get(call)
        return hold is not None and self._correct(call, at, 0, Charge(0, attempts=0, attribution=hold.attribution))

    def record(self, call: str, charge: Charge, *, at: float) -> bool:
        """See `Accounts`."""
        if self._is_entered(call):
            return False
        self._enter(call, "settled", at, calls=1, charge=charge)
        return True

    def write(self, one: Unwritten) -> bool:
        """Enter what could not be entered before. Whatever was done before is not done again."""
        if one.charge is None:
            return self.void(one.call, at=one.at)
        if one.step == "record":
            return self.record(one.call, one.charge, at=one.at)
        return bool(self.settle(one.call, one.charge, at=one.at, calls=1))

    def sweep(self, at: float) -> int:
        """See `Accounts`."""
        over = [call for call, hold in self.holds.items() if hold.lease <= at]
        for call in over:
            hold = self.holds.pop(call)
            posted = hold.amounts if hold.sent else NOTHING
            if hold.sent:
                usd, tokens, calls = posted
                charge = Charge(usd, output_tokens=tokens, estimated=True, attribution=hold.attribution)
                self._enter(call, "expired", at, calls=calls, charge=charge, hold=hold)
            self.lapsed[call] = hold._replace(amounts=posted)
        return len(over)

    def warn(self, lines: Iterable[Line]) -> list[Crossing]:
        """See `Accounts`."""
        found: list[Crossing] = []
        for line in lines:
            keys = self._counted(line)
            found += crossed(line, self.balance(keys), max([self.told.get(key, 0) for key in keys], default=0))
        for crossing in found:
            key = crossing.line[:2]
            self.windows.setdefault(key, NOTHING)
            self.told[key] = max(crossing.share, self.told.get(key, 0))
        return found

    def top_up(self, line: Line, amounts: Amounts, *, at: float) -> None:
        """See `Accounts`. Where clocks differ, the next window may be open already, and gets it."""
        self._open(line, at)
        self.windows.setdefault(line[:2], NOTHING)
        key = self._between(line.account, line.window, _after_all(line.window))[-1]
        self.windows[key] = _sum(self.windows[key], amounts)
        self.credits.append(Credit(at, "topped up", *key, amounts))

    def balance(self, keys: Iterable[Key]) -> Balance:
        """Give the balance of windows together."""
        posted = pending = extra = NOTHING
        for key in keys:
            for entry in self.entries:
                if key in entry.accounts:
                    posted = _sum(posted, (entry.charge.usd or 0, entry.charge.tokens, entry.calls))
            for hold in self.holds.values():
                if key in hold.accounts:
                    pending = _sum(pending, hold.amounts)
            for credit in self.credits:
                if key == (credit.account, credit.window):
                    extra = _sum(extra, credit.amounts)
        return Balance(posted, pending, extra)

    def balance_of(self, line: Line) -> Balance:
        """Give the balance that counts for a line."""
        return self.balance(self._counted(line))

    def tally(self, tallies: Iterable[Tally]) -> None:
        """See `Journal`."""
        for tally in tallies:
            key = tally._replace(calls=0, usd=0)
            known = self.tallies.get(key, key)
            self.tallies[key] = known._replace(calls=known.calls + tally.calls, usd=known.usd + tally.usd)

    def assignment(self, *, user: str | None, tenant: str | None, at: float) -> Assignment | None:
        """See `Accounts`."""
        found = [each for each in self.assignments if (each.user, each.tenant) == (user, tenant) and each.at <= at]
        return max(reversed(found), key=lambda each: each.at, default=None)

    def assign(self, assignment: Assignment) -> None:
        """See `Accounts`."""
        latest = self.assignment(user=assignment.user, tenant=assignment.tenant, at=assignment.at)
        if latest is None or latest[3:] != assignment[3:]:
            self.assignments.append(assignment)

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """See `Journal`."""
        known = self.defined(None)
        self.definitions += [(at, *each) for each in definitions.items() if known.get(each[0]) != each[1]]

    def defined(self, before: float | None) -> dict[str, str]:
        """See `Journal.definitions`."""
        found: dict[str, str] = {}
        for at, plan, definition in self.definitions:
            if before is None or at < before or plan not in found:
                found[plan] = definition
        return found

    def _is_entered(self, call: str) -> bool:
        return any(entry.call == call for entry in self.entries)

    def _enter(
        self, call: str, kind: EntryKind, at: float, *, calls: int, charge: Charge, hold: Held | None = None
    ) -> None:
        self.entries.append(Entry(call, kind, at, calls, charge, hold.accounts if hold else ()))

    def _correct(self, call: str, at: float, calls: int, charge: Charge) -> bool:
        """Settle a call whose lease ran out, by the difference to what was posted then."""
        hold = self.lapsed.pop(call, None)
        if hold is None:
            return False
        usd, tokens, number = hold.amounts
        cost = None if charge.usd is None and not usd else (charge.usd or 0) - usd
        difference = charge._replace(usd=cost, output_tokens=charge.output_tokens - tokens)
        self._enter(call, "corrected", at, calls=calls - number, charge=difference, hold=hold)
        return True

    def _grant(self, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float) -> Grant | Refusal:
        def used(line: Line) -> Amounts:
            self._open(line, at)
            balance = self.balance_of(line)
            return _sum(_sum(balance.posted, balance.pending), balance.extra, -1)

        answer = grant(lines, wanted, minimum, used)
        if not isinstance(answer, Grant) and self.sweep(at):
            answer = grant(lines, wanted, minimum, used)
        if isinstance(answer, Grant):
            for line in lines:
                self.windows.setdefault(line[:2], NOTHING)
            return answer
        keys = self._counted(answer.line)
        oldest = next((key[1] for key in keys if any(self.balance([key]).posted)), None)
        return refused(answer, self.balance(keys), oldest)

    def _counted(self, line: Line) -> list[Key]:
        """Give the windows that count for a line: its own, or the short ones that a rolling one is the sum of."""
        if line.since is None:
            return [line[:2]] if line[:2] in self.windows else []
        return self._between(line.account, line.since, _after_all(line.window))

    def _between(self, account: str, first: str, end: str) -> list[Key]:
        return sorted(key for key in self.windows if key[0] == account and first <= key[1] < end)

    def _open(self, line: Line, at: float) -> None:
        """Bring what may be carried over into a calendar window that has not been opened yet."""
        kind, colon, _ = line.window.partition(":")
        before = self._between(line.account, f"{kind}:", line.window)
        if line.since is not None or not colon or line[:2] in self.windows or not before:
            return
        if line.previous is not None and before[-1][1] < line.previous:  # all of the window before was left over
            self._carry(line._replace(window=line.previous), before[-1], at)
            before.append((line.account, line.previous))
        self._carry(line, before[-1], at)

    def _carry(self, line: Line, source: Key, at: float) -> None:
        moved, credit = carried(line, self.balance([source]), self.windows[source])
        self.windows[line[:2]] = credit
        if any(moved):
            self.windows[source] = _sum(self.windows[source], credit, -1)
            self.told[source] = ALL_SHARES  # a share of what stayed behind would say nothing
            self.credits.append(Credit(at, "carried out", *source, _sum(NOTHING, moved, -1)))
            self.credits.append(Credit(at, "carried in", line.account, line.window, moved))


def _sum(one: Amounts, other: Sequence[int], sign: int = 1) -> Amounts:
    return Amounts(*(mine + sign * more for mine, more in zip(one, other, strict=True)))


def _after_all(window: str) -> str:
    """Give what sorts behind all windows of the same kind."""
    return f"{window.partition(':')[0]};"
