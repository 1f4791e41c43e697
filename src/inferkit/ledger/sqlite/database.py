"""One SQLite file that threads, processes and forks share, and that never loses a committed row to a killed process.

One connection and one lock a process: threads of one process never contend inside SQLite. Between processes a writer
that finds the file locked tries again after a random pause, without the lock, because SQLite's own waiting is unfair.
Nothing here ever opens the file any other way: closing a second descriptor would drop SQLite's locks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from inferkit.core.errors import ConfigurationError, LedgerError
from inferkit.ledger.protocols import LedgerBusy
from inferkit.runtime import clock, exits, writer
from inferkit.runtime.dropped import when_dropped
from inferkit.runtime.forks import hold_across_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["WRITING", "Database", "Durability"]

WRITING = "BEGIN IMMEDIATE"

Durability = Literal["normal", "full"]
T = TypeVar("T")
_log = logging.getLogger("inferkit")

_APPLICATION_ID = 0x1F_E2_B0_0C
_PAGE_SIZE = 1024  # a write costs a page: small ones make a transaction a sixth cheaper
_WAIT_SECONDS = 10.0
_PAUSES = (0.0002, 0.02)  # the longest first pause and the longest of all, in seconds
_INLINE_SECONDS = 0.002  # how long a caller who must not wait waits for another thread's transaction
_CHECKPOINT_EVERY = 512  # transactions; done in the background, where the disk may take its time
_CHECKPOINT_AT_ONCE = 16_000  # pages; should the background not come round to it
_LOOK_SECONDS = 1.0
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_inherited: list[tuple[sqlite3.Connection, object]] = []  # of another process: neither to be used nor to be closed here


class Database:
    """A connection to the file at `path`, with its schema up to date.

    `migrations` are scripts of statements; the file's version is the number of those that were applied.
    """

    def __init__(self, path: str | os.PathLike[str], migrations: Sequence[str], durability: Durability) -> None:
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
        self._tending = False
        self._tend_lock = threading.Lock()
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self.write(lambda _: None)
        hold_across_fork(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def write(
        self,
        step: Callable[[sqlite3.Cursor], T],
        *,
        wait: bool = True,
        begin: str = WRITING,
        since: float | None = None,
    ) -> T:
        """Run `step` in one transaction of its own. Raises `LedgerError`; `LedgerBusy` only without `wait`.

        `since` is the instant of `clock.now()` from which the caller has waited, if that was before this.
        """
        if self._pid != os.getpid():
            self._after_bare_fork()
        give_up = None if since is None else since + _WAIT_SECONDS
        pause = _PAUSES[0]
        while True:
            try:
                if wait:
                    with self._lock:  # not acquire(): an interrupt between that and a `try` would keep it for ever
                        return self._transaction(step, begin)
                return self._without_waiting(step, begin)
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY:
                    raise self.explain(error) from error
                if not wait:
                    raise LedgerBusy(f"the ledger {self.path} is in use by another process") from error
                if give_up is None:
                    give_up = clock.now() + _WAIT_SECONDS
                elif clock.now() >= min(give_up, exits.give_up_at):
                    raise LedgerError(
                        f"the ledger {self.path} was locked by another process for {_WAIT_SECONDS:g} seconds; "
                        "find the program that keeps a transaction open on it (a database browser, a backup)"
                    ) from error
            except sqlite3.Error as error:
                raise self.explain(error) from error
            clock.sleep(random.uniform(0, pause))  # noqa: S311 - to be different, not to be secret
            pause = min(pause * 2, _PAUSES[1])

    def _without_waiting(self, step: Callable[[sqlite3.Cursor], T], begin: str) -> T:
        if not self._lock.acquire(timeout=_INLINE_SECONDS):
            raise LedgerBusy(f"the ledger {self.path} is in use by another thread")
        try:
            return self._transaction(step, begin)
        finally:
            self._lock.release()

    def _transaction(self, step: Callable[[sqlite3.Cursor], T], begin: str) -> T:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._open()
            self._cursor = connection.cursor()
        if clock.now() >= self._look_at:
            self._check_still_there()
        if connection.in_transaction:  # an interrupt that came during a rollback left it open
            connection.rollback()
        cursor = self._cursor
        cursor.execute(begin)
        try:
            result = step(cursor)
            if connection.in_transaction:  # a group of steps commits by itself, so as to know that it did
                cursor.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            raise
        self._count += 1
        if self._count % _CHECKPOINT_EVERY == 0 and not self._tending:
            self._tending = True
            writer.disk.take(self._tend)
        return result

    def read(self, query: str, parameters: tuple[object, ...] = (), *, wait: bool = True) -> list[tuple[object, ...]]:
        """Run one query and return its rows. Raises as `write` does."""
        return self.write(lambda cursor: cursor.execute(query, parameters).fetchall(), wait=wait, begin="BEGIN")

    def pages(self, query: Callable[[int], tuple[str, tuple[object, ...]]], size: int) -> Iterator[tuple[object, ...]]:
        """Go through many rows, whose first column is their growing id, without keeping anyone waiting meanwhile."""
        last = 0
        while True:
            rows = self.read(*query(last))
            yield from rows
            if len(rows) < size:
                return
            last = int(str(rows[-1][0]))

    def close(self) -> None:
        """Close the file. A ledger that is used again opens it again."""
        with self._tend_lock, self._lock:  # the last connection to be closed puts everything into the one file
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=_WAIT_SECONDS)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._closes_when_dropped = when_dropped(connection.close)
        self._inode = self.path.stat().st_ino
        self._look_at = clock.now() + _LOOK_SECONDS
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        run = connection.execute
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = run("PRAGMA application_id").fetchone()
        (version,) = run("PRAGMA user_version").fetchone()
        if tables and application != _APPLICATION_ID:
            raise LedgerError(f"{self.path} is another program's database; give the ledger a file of its own")
        if version > len(self._migrations):
            raise LedgerError(
                f"the ledger {self.path} was written by a newer inferkit (version {version} of its format, this one "
                f"knows {len(self._migrations)}); upgrade inferkit, or use another file"
            )
        if not tables:
            run(f"PRAGMA page_size={_PAGE_SIZE}")
        (mode,) = run("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise LedgerError(f"the ledger {self.path} lies where SQLite cannot share it; use a local disk")
        run(f"PRAGMA synchronous={self._durability}")
        run(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_AT_ONCE}")
        if version < len(self._migrations):
            self._migrate(connection)
        run("PRAGMA busy_timeout=0")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been faster
            for script in self._migrations[version:]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={len(self._migrations)}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise

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
            raise self._damaged()

    def _tend(self) -> None:
        """Move what was written from the log into the file, so that no call has to. Runs in the background."""
        try:
            with self._tend_lock:
                if self._connection is not None:  # what was closed is in the file, which may be gone by now
                    self._checkpoint()
        except sqlite3.Error as error:  # it is busy, or the next call finds what is wrong
            _log.debug("the ledger's log was not moved into its file: %s", error)
        finally:
            self._tending = False

    def _checkpoint(self) -> None:
        with contextlib.closing(self._checkpointer()) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _checkpointer(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=0)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"the folder of the ledger {self.path} cannot be made ({error.strerror}); choose a folder that this "
                "program may write to"
            ) from error

    def _damaged(self) -> LedgerError:
        return LedgerError(
            f"the ledger {self.path} is damaged; stop the programs that use it and restore it from a backup, or move "
            "it away to begin with an empty one, which forgets what was spent"
        )

    def explain(self, error: sqlite3.Error) -> LedgerError:
        """Give the error that says what is wrong with this file and what to do."""
        code = _code(error)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._damaged()
        if code == sqlite3.SQLITE_READONLY:
            return LedgerError(
                f"the ledger {self.path} is read-only; let this program write to the file and its folder"
            )
        if code == sqlite3.SQLITE_FULL:
            return LedgerError(f"there is no room left for the ledger {self.path}; make room on its disk")
        if code == sqlite3.SQLITE_CANTOPEN:
            return LedgerError(
                f"the ledger {self.path} cannot be opened; choose a file in a folder that this program may write to"
            )
        if code == sqlite3.SQLITE_IOERR:
            return LedgerError(f"the disk failed the ledger {self.path} ({error}); check its room and its health")
        return LedgerError(f"the ledger {self.path} failed: {error}")

    def hold(self) -> None:
        """Close, so that the child inherits nothing: SQLite's locks do not survive a fork, and it would not know."""
        self._tend_lock.acquire()
        self._lock.acquire()
        with contextlib.suppress(sqlite3.Error):
            self._drop()

    def release(self) -> None:
        """Let the others go on."""
        self._lock.release()
        self._tend_lock.release()

    def renew(self) -> None:
        """Start again, with a connection of the child's own."""
        self._lock = threading.Lock()
        self._tend_lock = threading.Lock()
        self._pid = os.getpid()
        self._tending = False

    def _after_bare_fork(self) -> None:
        """Start again in a process that was forked behind Python's back (by an embedding server)."""
        if self._connection is not None:
            _inherited.append((self._connection, self._closes_when_dropped))
            self._connection = None
        self.renew()


def _code(error: sqlite3.Error) -> int:
    """Give the primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
