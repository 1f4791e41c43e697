"""The accounts in a SQLite file: each step is one short transaction.

On an event loop a step is tried at once where it takes microseconds, and goes to a thread where the file is busy, or
where every commit waits for the disk.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Balance, Crossing, Grant, Line, Refusal
from inferkit.ledger.journal import NOBODY, Assignment, Attribution, Charge
from inferkit.ledger.sqlite import balances, customers, postings
from inferkit.ledger.sqlite.database import READING, WRITING, Database
from inferkit.ledger.sqlite.failures import LedgerBusy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from inferkit.runtime.protocol import Runtime

__all__ = ["SqliteAccounts"]

T = TypeVar("T")


class SqliteAccounts:
    """See `Accounts`."""

    def __init__(self, database: Database) -> None:
        self.database = database

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
        held = left = False

        def make(cursor: sqlite3.Cursor) -> Grant | Refusal:
            nonlocal held
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
                lease=at + lease_seconds,
                sent=sent,
                attribution=attribution,
            )
            held = isinstance(answer, Grant)
            return answer

        try:
            if runtime.blocking:
                return self.database.write(make)
            return await self._on_loop(runtime, make)
        except LedgerError:
            raise
        except BaseException:
            left = True
            runtime.endings.take(lambda: self._take_back(call, at, was_held=lambda: held))
            raise

    def _take_back(self, call: str, at: float, *, was_held: Callable[[], bool]) -> None:
        """Void a call that was left: whether it is held, or will not be, is known when it is this step's turn."""
        with contextlib.suppress(LedgerError):  # the lease ends it then
            self.database.write(lambda cursor: was_held() and postings.void(cursor, call, at))

    async def extend(
        self, runtime: Runtime, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float
    ) -> Grant | Refusal:
        """See `Accounts`."""
        lease = at + lease_seconds
        return await self._run(runtime, lambda cursor: postings.extend(cursor, call, lines, more, at=at, lease=lease))

    async def mark_sent(self, runtime: Runtime, call: str) -> None:
        """See `Accounts`."""
        await self._run(runtime, lambda cursor: postings.mark_sent(cursor, call))

    async def settle(self, runtime: Runtime, call: str, charge: Charge, *, at: float, calls: int = 1) -> bool:
        """See `Accounts`."""

        def step(cursor: sqlite3.Cursor) -> bool:
            return postings.settle(cursor, call, charge, at, calls)

        return self.database.write(step) if runtime.blocking else await self._on_loop(runtime, step)

    async def void(self, runtime: Runtime, call: str, *, at: float) -> bool:
        """See `Accounts`."""
        return await self._run(runtime, lambda cursor: postings.void(cursor, call, at))

    async def record(self, runtime: Runtime, call: str, charge: Charge, *, at: float) -> bool:
        """See `Accounts`."""
        return await self._run(runtime, lambda cursor: postings.record(cursor, call, charge, at))

    async def sweep(self, runtime: Runtime, at: float) -> int:
        """See `Accounts`."""
        return await self._run(runtime, lambda cursor: postings.sweep(cursor, at))

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

    async def _run(self, runtime: Runtime, step: Callable[[sqlite3.Cursor], T], begin: str = WRITING) -> T:
        if runtime.blocking:
            return self.database.write(step, begin=begin)
        return await self._on_loop(runtime, step, begin)

    async def _on_loop(self, runtime: Runtime, step: Callable[[sqlite3.Cursor], T], begin: str = WRITING) -> T:
        write = self.database.write
        if self.database.is_quick:
            try:
                return write(step, begin=begin, wait=False)
            except LedgerBusy:
                pass
        return await runtime.shield(lambda: runtime.run_blocking(lambda: write(step, begin=begin)))
