"""Threads that write at the same time share one transaction, and so one wait for the disk.

Each thread puts its step into a queue. One of them leads: it runs the steps of all in one transaction, each in a
savepoint of its own, commits, and wakes the others; what came in meanwhile is the next one's to lead.

Nobody's fate depends on another thread's health. A step is either in a transaction that was committed or its own thread
still waits for it, and leads as soon as nobody else does: waking it only spares it a second. A leader that is
interrupted (Ctrl-C) thus takes nobody's step with it, and no step takes effect twice.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from inferkit.core.errors import LedgerError
from inferkit.ledger.sqlite.database import WRITING, Database
from inferkit.ledger.sqlite.failures import FAILURES, LedgerBusy
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["GroupCommit", "GroupedDatabase"]

T = TypeVar("T")
_LOOK_SECONDS = 1.0


class Write(Protocol):
    """Runs a step in a transaction, which it commits if the step did not; tries again while the file is locked.

    `since` is the instant of `clock.now()` from which the caller has waited, and `patience` for how many seconds it
    does. Raises `LedgerError`.
    """

    def __call__(self, step: Callable[[sqlite3.Cursor], None], /, *, since: float, patience: float | None) -> None: ...


class GroupedDatabase(Database):
    """A database that has what it commits on the disk, and whose threads wait for that together."""

    def __init__(self, path: str | os.PathLike[str], migrations: Sequence[str], *, open_now: bool = True) -> None:
        self._group = GroupCommit()
        super().__init__(path, migrations, "full", open_now=open_now)

    def write(
        self,
        step: Callable[[sqlite3.Cursor], T],
        *,
        wait: bool = True,
        begin: str = WRITING,
        since: float | None = None,
        patience: float | None = None,
    ) -> T:
        """See `Database`. Who reads, or must not wait, goes alone."""
        if begin != WRITING or not wait:
            return super().write(step, wait=wait, begin=begin, since=since, patience=patience)
        if self._pid != os.getpid():
            self._after_bare_fork()
        try:
            return self._group.run(step, super().write, since=since, patience=patience)
        except FAILURES as error:
            raise self.explain(error) from error

    def renew(self) -> None:
        """See `Database`."""
        super().renew()
        self._group = GroupCommit()  # the threads that wait in the other one are the parent's


class _Group:
    """Steps of one transaction. `committed` is set by one store, so that all of them are done or none is."""

    __slots__ = ("committed", "error", "tickets")

    def __init__(self, first: _Ticket) -> None:
        self.tickets = [first]
        self.committed = False
        self.error: LedgerError | None = None


class _Ticket:
    """A step, and what became of it."""

    __slots__ = ("_asleep", "error", "group", "patience", "result", "since", "step")

    def __init__(self, step: Callable[[sqlite3.Cursor], Any], since: float | None, patience: float | None) -> None:
        self.step = step
        self.since = clock.now() if since is None else since
        self.patience = patience
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self.group: _Group | None = None
        self.result: Any = None
        self.error: Exception | None = None

    @property
    def over(self) -> bool:
        group = self.group
        return group is not None and (group.committed or group.error is not None)

    def sleep(self) -> None:
        self._asleep.acquire(timeout=_LOOK_SECONDS)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is awake, or will be at once
            self._asleep.release()

    def outcome(self) -> Any:
        group = self.group
        if group is not None and group.error is not None:  # each thread raises an error of its own
            raise LedgerError(str(group.error)) from group.error
        if self.error is not None:
            raise self.error
        return self.result


class GroupCommit:
    """The queue in front of one database."""

    def __init__(self) -> None:
        self._queue: deque[_Ticket] = deque()
        self._turn = threading.Lock()  # whoever has it leads

    def run(
        self,
        step: Callable[[sqlite3.Cursor], T],
        write: Write,
        *,
        since: float | None = None,
        patience: float | None = None,
    ) -> T:
        """Run a step in a transaction that it shares with others, and return when that is committed.

        Raises what the step raises, which undoes this step alone, or `LedgerError` where the transaction failed.
        """
        ticket = _Ticket(step, since, patience)
        led = False
        try:
            self._queue.append(ticket)
            while not ticket.over:
                if self._turn.locked():
                    ticket.sleep()
                    continue
                with self._turn:  # not acquire(): an interrupt between that and a `try` would keep it for ever
                    if not ticket.over:
                        led = True
                        self._lead(ticket, write)
        finally:
            if not ticket.over:
                self._withdraw(ticket)
                led = True  # it may have been woken to lead
            if led:
                self._call_next()
        return cast("T", ticket.outcome())

    def _lead(self, mine: _Ticket, write: Write) -> None:
        group = _Group(mine)

        def together(cursor: sqlite3.Cursor) -> None:
            self._gather(group)
            _run(cursor, group.tickets)
            try:
                cursor.execute("COMMIT")
                group.committed = True
            except sqlite3.Error:
                raise
            except BaseException:  # an interrupt, which may have come when the commit was made already
                group.committed = not cursor.connection.in_transaction
                raise

        try:
            write(together, since=mine.since, patience=mine.patience)
        except LedgerError as error:
            if len(group.tickets) == 1 or isinstance(error, LedgerBusy):  # each is as patient as it was told to be
                raise
            group.error = error
        finally:
            if not group.committed and group.error is None:
                self._queue.extendleft(ticket for ticket in reversed(group.tickets) if ticket is not mine)
            for ticket in group.tickets:
                ticket.wake()

    def _gather(self, group: _Group) -> None:
        """Take everybody who waits; those of an attempt that found the file locked are in the group already."""
        while self._queue:
            ticket = self._queue.popleft()
            if ticket is not group.tickets[0]:
                group.tickets.append(ticket)
        for ticket in group.tickets:
            ticket.group = group

    def _withdraw(self, ticket: _Ticket) -> None:
        with contextlib.suppress(ValueError):
            self._queue.remove(ticket)

    def _call_next(self) -> None:
        """Wake whoever is first in the queue. Comes after the turn was given up: whoever saw it taken is queued."""
        with contextlib.suppress(IndexError):
            self._queue[0].wake()


def _run(cursor: sqlite3.Cursor, tickets: list[_Ticket]) -> None:
    """Run steps so that one that fails leaves no trace, and the others theirs."""
    for ticket in tickets:
        ticket.error = None  # it may have been run before, in a transaction that came to nothing
    if len(tickets) == 1:
        tickets[0].result = tickets[0].step(cursor)
        return
    for ticket in tickets:
        cursor.execute("SAVEPOINT step")
        try:
            ticket.result = ticket.step(cursor)
        except Exception as error:
            ticket.error = error
            try:
                cursor.execute("ROLLBACK TO step")
            except sqlite3.Error:  # the whole transaction is gone, because the disk is full, for example
                raise error from None
        cursor.execute("RELEASE step")
