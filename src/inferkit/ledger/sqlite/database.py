"""One SQLite file that threads, processes and forks share, and that never loses a committed row to a killed process.

One connection and one lock a process: threads of one process never contend inside SQLite. Between processes a writer
that finds the file locked tries again after a random pause, without the lock, because SQLite's own waiting is unfair.
Nothing here ever opens the file any other way: closing a second descriptor would drop SQLite's locks.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ConfigurationError, LedgerError
from inferkit.ledger.sqlite.checkpoints import LOOK_EVERY, LogKeeper
from inferkit.ledger.sqlite.failures import FAILURES, LedgerBusy, damaged, explain, primary_code
from inferkit.ledger.sqlite.opening import Durability, open_file
from inferkit.runtime import clock, exits
from inferkit.runtime.dropped import when_dropped
from inferkit.runtime.forks import hold_across_fork
from inferkit.runtime.protocol import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["PATIENCE", "READING", "WRITING", "Database"]

WRITING, READING = "BEGIN IMMEDIATE", "BEGIN"
T = TypeVar("T")

PATIENCE = 10.0
"""How many seconds a step waits for a file that is locked."""
_PAUSES = (0.0002, 0.02)  # the longest first pause and the longest of all, in seconds
_THREADS = {True: 8, False: 40}  # of an event loop's that wait; where each waits for the disk, they do so together
_INLINE_SECONDS = 0.002  # how long a caller who must not wait waits for another thread's transaction
_LOOK_SECONDS = 1.0
_PAGE = 500  # rows
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_inherited: list[object] = []  # connections of another process: neither to be used nor to be closed here


class Database:
    """A connection to the file at `path`, with its schema up to date, opened now or by whoever comes first.

    `migrations` are scripts of statements; the file's version is the number of those that were applied.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        migrations: Sequence[str],
        durability: Durability,
        *,
        open_now: bool = True,
    ) -> None:
        if durability not in ("normal", "full"):
            raise ConfigurationError(f'durability is "normal" or "full"; got {durability!r}')
        self.path = Path(path).expanduser().absolute()
        self._migrations = migrations
        self._durability = durability
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor
        self._inode = 0
        self._look_at = 0.0
        self._pid = os.getpid()
        self._count = 0
        self.log = LogKeeper(self.path)
        self.threads = Threads(_THREADS[self.is_quick])
        if open_now:
            self.open()
        hold_across_fork(self)
        _all.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def is_quick(self) -> bool:
        """Whether a transaction takes microseconds: no commit waits for the disk."""
        return self._durability == "normal"

    def open(self) -> None:
        """Open the file now, and make it where there is none. Raises as `write` does, which does this where need be."""
        self.write(lambda _: None)

    def write(
        self,
        step: Callable[[sqlite3.Cursor], T],
        *,
        wait: bool = True,
        begin: str = WRITING,
        since: float | None = None,
        patience: float | None = None,
    ) -> T:
        """Run `step` in one transaction of its own. Raises `LedgerError`; `LedgerBusy` where the file is locked.

        Without `wait` it is tried once, else for `patience` seconds (ten). `since` is the instant of `clock.now()`
        from which the caller has waited, if that was before this.
        """
        if self._pid != os.getpid():
            self._after_bare_fork()
        patience = (PATIENCE if patience is None else patience) if wait else None
        give_up = None if since is None or patience is None else since + patience
        pause = _PAUSES[0]
        while True:
            try:
                if self.log.is_full and begin == WRITING:
                    self.log.make_room(wait=wait)
                if wait:
                    with self._lock:  # not acquire(): an interrupt between that and a `try` would keep it for ever
                        return self._transaction(step, begin)
                return self._without_waiting(step, begin)
            except FAILURES as error:
                give_up = self._until(error, give_up, patience)
            clock.sleep(random.uniform(0, pause))  # noqa: S311 - to be different, not to be secret
            pause = min(pause * 2, _PAUSES[1])

    def _until(self, error: Exception, give_up: float | None, patience: float | None) -> float:
        """Give the instant until which a step that failed is tried again; raise what is wrong where it is not."""
        if primary_code(error) not in _BUSY:
            raise self.explain(error) from error
        if patience is None:
            raise LedgerBusy(f"the ledger {self.path} is in use by another process") from error
        if give_up is None:
            return clock.now() + patience
        if clock.now() >= min(give_up, exits.give_up_at):
            raise LedgerBusy(
                f"the ledger {self.path} was locked by another process for {patience:g} seconds; find the program "
                "that keeps a transaction open on it (a database browser, a backup)"
            ) from error
        return give_up

    def _without_waiting(self, step: Callable[[sqlite3.Cursor], T], begin: str) -> T:
        end = clock.now() + _INLINE_SECONDS if self._lock.locked() else 0.0
        while self._lock.locked():  # not acquire(timeout=...): an interrupt after it would keep the lock for ever
            if clock.now() >= end:
                raise LedgerBusy(f"the ledger {self.path} is in use by another thread")
            clock.sleep(_INLINE_SECONDS / 20)
        with self._lock:  # another thread may have been faster; it keeps it for no longer than a transaction takes
            return self._transaction(step, begin)

    def _transaction(self, step: Callable[[sqlite3.Cursor], T], begin: str) -> T:
        connection = self._connection
        if connection is None:
            connection = self._open()
            self._cursor = connection.cursor()
            self._connection = connection
        if clock.now() >= self._look_at:
            self._check_still_there()
        if connection.in_transaction:  # an interrupt that came during a rollback left it open
            connection.rollback()
        cursor = self._cursor
        try:
            cursor.execute(begin)
            result = step(cursor)
            if connection.in_transaction:  # a group of steps commits by itself, so as to know that it did
                cursor.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            raise
        self._count += 1
        if not self._count % LOOK_EVERY:
            self.log.look(self._count)
        return result

    def read(self, query: str, parameters: tuple[object, ...] | Mapping[str, object] = ()) -> list[tuple[object, ...]]:
        """Run one query and return its rows. Raises as `write` does."""
        return self.write(lambda cursor: cursor.execute(query, parameters).fetchall(), begin=READING)

    def pages(self, query: str, parameters: tuple[object, ...], start: tuple[object, ...]) -> Iterator[Any]:
        """Go through many rows, as many at a time as keep nobody waiting.

        The query orders its rows by their first columns, and ends with parameters for a row after which to begin
        (`start` is before all of them) and for how many to give.
        """
        while True:
            rows = self.read(query, (*parameters, *start, _PAGE))
            yield from rows
            if len(rows) < _PAGE:
                return
            start = rows[-1][: len(start)]

    def close(self) -> None:
        """Close the file. A ledger that is used again opens it again."""
        with self.log.lock, self._lock:  # the last connection to be closed puts everything into the one file
            self._drop()

    def close_if_idle(self) -> None:
        """Close the connections, unless somebody is at them."""
        if self.log.lock.acquire(blocking=False):
            try:
                if self._lock.acquire(blocking=False):
                    try:
                        self._drop()
                    finally:
                        self._lock.release()
            finally:
                self.log.lock.release()

    def _drop(self) -> None:
        self.log.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = open_file(self.path, self._migrations, self._durability, PATIENCE)
        self._closes_when_dropped = when_dropped(connection.close)
        self._inode = self.path.stat().st_ino
        self._look_at = clock.now() + _LOOK_SECONDS
        self.log.is_open = True
        return connection

    def _check_still_there(self) -> None:
        """Refuse to go on writing to a file that was deleted: the next process would start with an empty one."""
        try:
            inode = self.path.stat().st_ino
        except OSError:
            inode = 0
        if inode != self._inode:
            raise LedgerError(
                f"the ledger {self.path} was deleted or replaced while in use; put it back from a backup, "
                "or stop all programs that use it to begin with an empty one"
            )
        self._look_at = clock.now() + _LOOK_SECONDS

    def check(self) -> None:
        """Read the whole file and raise `LedgerError` if it is damaged."""
        rows = self.read("PRAGMA integrity_check(1)")
        if rows != [("ok",)]:
            raise damaged(self.path)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"the folder of the ledger {self.path} cannot be made ({error.strerror}); name one that this "
                "program may write to: INFERKIT_HOME in the environment, Client(home=...) or Client(ledger=...)"
            ) from error

    def explain(self, error: Exception) -> LedgerError:
        """Give the error that says what is wrong with this file and what to do."""
        return explain(self.path, error)

    def hold(self) -> None:
        """Close, so that the child inherits nothing: SQLite's locks do not survive a fork, and it would not know."""
        self.log.lock.acquire()
        self._lock.acquire()
        with contextlib.suppress(sqlite3.Error):
            self._drop()

    def release(self) -> None:
        """Let the others go on."""
        self._lock.release()
        self.log.lock.release()

    def renew(self) -> None:
        """Start again, with a connection of the child's own."""
        self._lock = threading.Lock()
        self.log.renew()
        self._pid = os.getpid()

    def _after_bare_fork(self) -> None:
        """Start again in a process that was forked behind Python's back (by an embedding server)."""
        _inherited.extend(self.log.inherited())
        if self._connection is not None:
            _inherited.extend((self._connection, self._closes_when_dropped))
            self._connection = None
        self.renew()


def _close_all(_: float) -> None:
    """Close at the exit what a thread that nobody waits for still holds."""
    for database in list(_all):
        database.close_if_idle()


_all: weakref.WeakSet[Database] = weakref.WeakSet()
exits.at_exit(exits.LEAVING, _close_all)
