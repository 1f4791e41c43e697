"""The accounts in a SQLite file: each step is one short transaction.

On an event loop a step is tried at once where it takes microseconds, and goes to a thread where the file is busy, or
where every commit waits for the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Balance, Crossing, Grant, Line, Refusal, Settled
from inferkit.ledger.backlog import Backlog
from inferkit.ledger.journal import NOBODY, Assignment, Attribution, Charge
from inferkit.ledger.spill import replay
from inferkit.ledger.sqlite import balances, customers, leases, postings
from inferkit.ledger.sqlite.database import READING, WRITING, Database
from inferkit.ledger.sqlite.failures import LedgerBusy
from inferkit.ledger.unwritten import Unwritten
from inferkit.runtime import clock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from inferkit.runtime.protocol import Runtime

__all__ = ["SqliteAccounts"]

T = TypeVar("T")
_BATCH = 100  # holds that are ended in one transaction at most
_BATCH_SECONDS = 0.004  # after which it is committed with fewer: calls wait for it
_PAUSE_SECONDS = 0.001  # between two of them
_KNOWN_SECONDS = 1.0  # for how long it is taken for known when the first lease of all runs out
_MOST_NOTED = 10_000
_OWED_SECONDS = 2.0  # how long a call waits at its end, before what it owes is kept and it goes on


class SqliteAccounts:
    """See `Accounts`."""

    _backlog: Backlog | None = None

    def __init__(self, database: Database) -> None:
        self.database = database
        self._none_due_before = 0.0  # no lease runs out before this instant
        self._noted: set[tuple[object, ...]] = set()  # the limits that were noted; whoever looks has no others

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
        """See `Accounts`."""
        if self._backlog is None:
            self._owing()
        held = left = due = False
        lease = at + lease_seconds
        self._none_due_before = min(self._none_due_before, lease)
        noted = self._noted
        new = [line for line in lines if _limits_in(line) not in noted]

        def make(cursor: sqlite3.Cursor) -> Grant | Refusal:
            nonlocal held, due
            held = False  # the step may be run twice
            if left:
                raise LedgerError(f"call {call} was left before anything was held for it")
            answer = postings.reserve(
                cursor,
                call,
                lines,
                wanted,
                minimum,
                at=at,
                lease=lease,
                sent=sent,
                attribution=attribution,
            )
            held = isinstance(answer, Grant)
            due = not held and self._is_due(cursor, at)
            if new:
                balances.note_limits(cursor, new, at)
            return answer

        try:
            while True:
                answer = self.database.write(make) if runtime.blocking else await self._on_loop(runtime, make)
                if new:
                    self._note(new)
                if not due:
                    return answer
                await self._end_leases(runtime, at)
        except LedgerError:
            raise
        except BaseException:
            left = True
            runtime.endings.take(lambda: self._take_back(call, at, was_held=lambda: held))
            raise

    def _note(self, lines: Sequence[Line]) -> None:
        if len(self._noted) >= _MOST_NOTED:  # names that come from callers must not fill the memory
            self._noted = set()
        self._noted.update(map(_limits_in, lines))

    def _take_back(self, call: str, at: float, *, was_held: Callable[[], bool]) -> None:
        """Void a call that was left: whether it is held, or will not be, is known when it is this step's turn."""
        try:
            self.database.write(lambda cursor: was_held() and leases.void(cursor, call, at), patience=self._patience)
        except LedgerError:
            self.write_later(Unwritten("void", call, at))

    async def extend(
        self, runtime: Runtime, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float
    ) -> Grant | Refusal:
        """See `Accounts`."""
        lease, due = at + lease_seconds, False
        self._none_due_before = min(self._none_due_before, lease)

        def step(cursor: sqlite3.Cursor) -> Grant | Refusal:
            nonlocal due
            answer = leases.extend(cursor, call, lines, more, at=at, lease=lease)
            due = isinstance(answer, Refusal) and self._is_due(cursor, at)
            return answer

        while True:
            answer = await self._run(runtime, step)
            if not due:
                return answer
            await self._end_leases(runtime, at)

    async def mark_sent(self, runtime: Runtime, call: str) -> None:
        """See `Accounts`."""
        await self._run(runtime, lambda cursor: leases.mark_sent(cursor, call))

    async def settle(
        self, runtime: Runtime, call: str, charge: Charge, *, at: float, calls: int = 1, watched: Sequence[Line] = ()
    ) -> Settled:
        """See `Accounts`."""

        def step(cursor: sqlite3.Cursor) -> Settled:
            return postings.settle(cursor, call, charge, at, calls=calls, watched=watched)

        if runtime.blocking:
            return self.database.write(step, patience=self._patience)
        return await self._on_loop(runtime, step, patience=self._patience)

    async def void(self, runtime: Runtime, call: str, *, at: float) -> bool:
        """See `Accounts`."""
        return await self._run(runtime, lambda cursor: leases.void(cursor, call, at), patience=self._patience)

    async def record(self, runtime: Runtime, call: str, charge: Charge, *, at: float) -> bool:
        """See `Accounts`."""
        if self._backlog is None:
            self._owing()
        return await self._run(runtime, lambda cursor: leases.record(cursor, call, charge, at), patience=self._patience)

    def write_later(self, one: Unwritten) -> None:
        """See `Accounts`. It is in a file beside the ledger until then, for whoever opens that if this process dies."""
        self._owing().add(one)

    def enter(self, one: Unwritten) -> bool:
        """Enter what could not be entered before. Whatever was done before is not done again. Raises `LedgerError`."""
        return self.database.write(lambda cursor: leases.enter_late(cursor, one), patience=_OWED_SECONDS)

    async def sweep(self, runtime: Runtime, at: float) -> int:
        """See `Accounts`."""
        path = self.database.path
        await runtime.run_blocking(lambda: replay(path, self.enter), apart=self.database.threads)  # better known so
        return await self._end_leases(runtime, at)

    async def warn(self, runtime: Runtime, lines: Sequence[Line]) -> list[Crossing]:
        """See `Accounts`. Nothing is locked while no share was passed, as is nearly always so."""
        if not await self._run(runtime, lambda cursor: balances.crossings(cursor, lines), READING):
            return []
        return await self._run(runtime, lambda cursor: balances.warn(cursor, lines))

    async def top_up(self, runtime: Runtime, line: Line, amounts: Amounts, *, at: float) -> None:
        """See `Accounts`."""
        await self._run(runtime, lambda cursor: balances.top_up(cursor, line, amounts, at))

    async def balance(self, runtime: Runtime, account: str, window: str, *, since: str | None = None) -> Balance:
        """See `Accounts`."""
        line = Line(account, window, since=since)
        return await self._run(runtime, lambda cursor: balances.balance(cursor, line), READING)

    async def assignment(
        self, runtime: Runtime, *, user: str | None = None, tenant: str | None = None, at: float
    ) -> Assignment | None:
        """See `Accounts`."""

        def find(cursor: sqlite3.Cursor) -> Any:
            return cursor.execute(customers.ASSIGNMENT, (user, tenant, at)).fetchone()

        row = await self._run(runtime, find, READING)
        return None if row is None else Assignment(*row)

    async def assign(self, runtime: Runtime, assignment: Assignment) -> None:
        """See `Accounts`."""
        await self._run(runtime, lambda cursor: customers.assign(cursor, assignment))

    def _is_due(self, cursor: sqlite3.Cursor, at: float) -> bool:
        """Say whether the lease of a hold has run out.

        What others reserve within the second for which that is known runs for longer, unless they ask for less.
        """
        if at < self._none_due_before:
            return False
        earliest = leases.earliest_lease(cursor)
        self._none_due_before = min(earliest, at + _KNOWN_SECONDS)
        return earliest <= at

    async def _end_leases(self, runtime: Runtime, at: float) -> int:
        """End the holds whose lease ran out, some at a time, so that calls come in between."""
        write, threads = self.database.write, self.database.threads
        ended = 0

        def step(cursor: sqlite3.Cursor) -> leases.Swept:
            return leases.sweep(cursor, at, _BATCH, _BATCH_SECONDS)

        while True:
            some = await runtime.run_blocking(lambda: write(step, patience=_OWED_SECONDS), apart=threads)
            ended += some.ended
            if not some.are_more:
                return ended
            await runtime.sleep(_PAUSE_SECONDS)

    @property
    def _patience(self) -> float:
        """How many seconds to wait with what a call owes, which is kept: none where others wait already."""
        return 0.0 if self._backlog is not None and self._backlog.waiting else _OWED_SECONDS

    def _owing(self) -> Backlog:
        """Make ready for what may not be entered at once, before something is owed."""
        backlog = self._backlog
        if backlog is None:
            made = Backlog(self.database.path, self.enter, durable=not self.database.is_quick)
            backlog = vars(self).setdefault("_backlog", made)  # of those that threads make at once, one counts
            backlog.prepare()
        return backlog

    async def _run(
        self,
        runtime: Runtime,
        step: Callable[[sqlite3.Cursor], T],
        begin: str = WRITING,
        patience: float | None = None,
    ) -> T:
        if runtime.blocking:
            return self.database.write(step, begin=begin, patience=patience)
        return await self._on_loop(runtime, step, begin, patience)

    async def _on_loop(
        self,
        runtime: Runtime,
        step: Callable[[sqlite3.Cursor], T],
        begin: str = WRITING,
        patience: float | None = None,
    ) -> T:
        write = self.database.write
        if self.database.is_quick:
            try:
                return write(step, begin=begin, wait=False)
            except LedgerBusy:
                pass
        since = clock.now()  # a turn among the threads is waited for, too

        def wait() -> T:
            return write(step, begin=begin, since=since, patience=patience)

        return await runtime.shield(lambda: runtime.run_blocking(wait, apart=self.database.threads))


def _limits_in(line: Line) -> tuple[object, ...]:
    """Give what is noted of a line once: in each of its windows, or of one that rolls, in all of them."""
    return line[:5] if line.since is None else (line.account, line.window.partition(":")[0], *line[2:5])
