"""A ledger in memory, for one process: for tests, and to be read by whoever writes a store of another kind.

What a store has to see to is in `_step` and `reserve`: a step is done or not done, and a caller who is interrupted
leaves nothing held. `inferkit.testing.ledger.LedgerContract` holds a store to everything else; this one passes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from inferkit.core.errors import LedgerError
from inferkit.ledger import MOST_NOTICES, NOBODY, NOTHING, Held, LedgerState, Line
from inferkit.ledger.ledger import Ledger
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from inferkit.ledger import (
        Amounts,
        Assignment,
        Attribution,
        Balance,
        Charge,
        Credit,
        Crossing,
        Entry,
        EntryKind,
        Grant,
        Notice,
        Refusal,
        Settled,
        Tally,
        Unwritten,
    )
    from inferkit.runtime.protocol import Runtime

__all__ = ["MemoryStore", "memory_ledger"]

T = TypeVar("T")


class MemoryStore:
    """Keeps the accounts and the journal in a `LedgerState`."""

    def __init__(self) -> None:
        self._state = LedgerState()
        self._notices: dict[tuple[str, str, str], tuple[int, Notice]] = {}
        self._mark = 0
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child, which goes on with a copy."""
        self._lock = threading.Lock()

    def _step(self, change: Callable[[LedgerState], T]) -> T:
        with self._lock:
            state = self._state.copy()
            result = change(state)
            self._state = state  # all of the step at once, or none where it failed
        return result

    # Accounts: coroutines, which would wait for another machine with `await runtime.run_blocking(...)`

    async def reserve(
        self,
        runtime: Runtime,
        call: str,
        lines: Sequence[Line],
        wanted: Amounts,
        minimum: Amounts,
        *,
        at: float,
        lease_seconds: float,
        sent: bool = True,
        attribution: Attribution = NOBODY,
    ) -> Grant | Refusal:
        hold = Held(NOTHING, (), at + lease_seconds, sent, attribution)
        try:
            return self._step(lambda state: state.reserve(call, lines, wanted, minimum, hold, at=at))
        except LedgerError:
            raise
        except BaseException:  # an interrupt, which may have come when it was held already
            self._step(lambda state: state.void(call, at=at))
            raise

    async def extend(
        self, runtime: Runtime, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float
    ) -> Grant | Refusal:
        return self._step(lambda state: state.extend(call, lines, more, at=at, lease=at + lease_seconds))

    async def mark_sent(self, runtime: Runtime, call: str) -> None:
        self._step(lambda state: state.mark_sent(call))

    async def settle(
        self, runtime: Runtime, call: str, charge: Charge, *, at: float, calls: int = 1, watched: Sequence[Line] = ()
    ) -> Settled:
        return self._step(lambda state: state.settle(call, charge, at=at, calls=calls, watched=watched))

    async def void(self, runtime: Runtime, call: str, *, at: float) -> bool:
        return self._step(lambda state: state.void(call, at=at))

    async def record(self, runtime: Runtime, call: str, charge: Charge, *, at: float) -> bool:
        return self._step(lambda state: state.record(call, charge, at=at))

    def write_later(self, one: Unwritten) -> None:
        self._step(lambda state: state.write(one))  # nothing keeps it from being written now

    async def sweep(self, runtime: Runtime, at: float) -> int:
        return self._step(lambda state: state.sweep(at))

    async def warn(self, runtime: Runtime, lines: Sequence[Line]) -> list[Crossing]:
        return self._step(lambda state: state.warn(lines))

    async def top_up(self, runtime: Runtime, line: Line, amounts: Amounts, *, at: float) -> None:
        self._step(lambda state: state.top_up(line, amounts, at=at))

    async def balance(self, runtime: Runtime, account: str, window: str, *, since: str | None = None) -> Balance:
        return self._state.balance_of(Line(account, window, since=since))

    async def assignment(
        self, runtime: Runtime, *, user: str | None = None, tenant: str | None = None, at: float
    ) -> Assignment | None:
        return self._state.assignment(user=user, tenant=tenant, at=at)

    async def assign(self, runtime: Runtime, assignment: Assignment) -> None:
        self._step(lambda state: state.assign(assignment))

    # Journal: blocking, for reports

    def entries(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        user: str | None = None,
        tenant: str | None = None,
        call: str | None = None,
        kind: EntryKind | None = None,
    ) -> Iterator[Entry]:
        for entry in self._state.entries:
            facts = (entry.charge.attribution.user, entry.charge.attribution.tenant, entry.call, entry.kind)
            asked = zip((user, tenant, call, kind), facts, strict=True)
            in_time = (since is None or entry.at >= since) and (until is None or entry.at < until)
            if in_time and all(wanted in (None, fact) for wanted, fact in asked):
                yield entry

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        return (each for each in self._state.credits if account in (None, each.account))

    def balances(self, account: str | None = None) -> Iterator[tuple[str, str, Balance]]:
        state = self._state
        return ((*key, state.balance([key])) for key in sorted(state.windows) if account in (None, key[0]))

    def tally(self, tallies: Iterable[Tally]) -> None:
        self._step(lambda state: state.tally(tallies))

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        for tally in sorted(self._state.tallies.values(), key=lambda each: each.hour):
            if (since is None or tally.hour >= since) and (until is None or tally.hour < until):
                yield tally

    def assignments(self) -> Iterator[Assignment]:
        return iter(sorted(self._state.assignments, key=lambda each: each.at))

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        self._step(lambda state: state.define(definitions, at=at))

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        return self._state.defined(before)

    # Noticeboard, which a store may be besides: what those who share it tell each other of models

    def exchange(
        self, notices: Sequence[Notice], *, teller: str, since: int, at: float, patience: float
    ) -> tuple[list[Notice], int]:
        """See `Noticeboard`. Nobody is waited for here."""
        del patience
        with self._lock:
            for notice in notices:
                self._mark += 1
                key = (notice.teller, notice.kind, notice.name)
                self._notices.pop(key, None)
                self._notices[key] = (self._mark, notice)
            kept = [(mark, one) for mark, one in self._notices.values() if one.until > at >= one.at - 60]
            self._notices = {(one.teller, one.kind, one.name): (mark, one) for mark, one in kept[-MOST_NOTICES:]}
            return [one for mark, one in self._notices.values() if mark > since and one.teller != teller], self._mark

    def close(self) -> None:
        pass


def memory_ledger() -> Ledger:
    """Make a ledger in memory: `Client(ledger=memory_ledger())`."""
    return Ledger(MemoryStore())
