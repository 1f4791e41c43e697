"""A connection of its own for those who read: calls go on meanwhile, and nothing is ever written to the file.

A ledger that nobody has open may lie where nothing can be written, on a read-only disk or in a backup. One of an older
format is read from a copy that was brought up to date.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import LedgerError
from inferkit.ledger.sqlite.failures import FAILURES, explain, primary_code
from inferkit.ledger.sqlite.opening import migrate, version_of
from inferkit.runtime.dropped import when_dropped
from inferkit.runtime.forks import hold_across_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["LedgerReader", "at_once"]

T = TypeVar("T")
_PAGE = 500  # rows
_WAIT_SECONDS = 10.0
_CACHE = -8000  # kibibytes
_AGAIN_SECONDS = 0.005


class LedgerReader:
    """Reads the ledger at `path`, in steps that each see it as it is at one instant.

    `migrations` are those of the format that is read; without them the file is read as it lies there, whatever its
    format. `prepare` is run on every connection that it opens: after a fork it has another one. Threads take turns.
    Raises `LedgerError`.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[str] | None,
        prepare: Callable[[sqlite3.Connection], object] = lambda _: None,
    ) -> None:
        self.path = path
        self._migrations = migrations
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self.renew()
        hold_across_fork(self)

    def run(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Give what `step` reads; it may be run again, on another connection."""
        while True:
            self._no_fork.wait()  # a lock alone would be taken again before the thread that forks gets it
            try:
                with self._lock:
                    return step(self._connected())
            except LedgerError:
                raise
            except FAILURES as error:
                if self._no_fork.is_set() or primary_code(error) != sqlite3.SQLITE_INTERRUPT:
                    raise explain(self.path, error) from error

    def run_at_once(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Give what `step` reads with several queries, all of them as the ledger is at one instant."""
        return self.run(lambda connection: at_once(connection, step))

    def rows(self, query: str, parameters: tuple[object, ...] | Mapping[str, object] = ()) -> list[Any]:
        """Give all rows of a query."""
        return self.run(lambda connection: connection.execute(query, parameters).fetchall())

    def pages(self, query: str, parameters: tuple[object, ...], start: tuple[object, ...]) -> Iterator[Any]:
        """Go through many rows, of which some at a time are kept in memory.

        The query orders its rows by their first columns, and ends with parameters for a row after which to begin
        (`start` is before all of them) and for how many to give.
        """
        while True:
            rows = self.rows(query, (*parameters, *start, _PAGE))
            yield from rows
            if len(rows) < _PAGE:
                return
            start = rows[-1][: len(start)]

    def close(self) -> None:
        """Close the connection. A reader that is used again opens another one."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = _open(self.path, self._migrations)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._closes_when_dropped = when_dropped(connection.close)
        return self._connection

    def hold(self) -> None:
        """Close, so that the child inherits nothing. What is being read is broken off, and read again later."""
        self._no_fork.clear()
        while not self._lock.acquire(timeout=_AGAIN_SECONDS):  # what only begins when it is interrupted is not
            connection = self._connection
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.interrupt()
        with suppress(sqlite3.Error):
            self._drop()

    def release(self) -> None:
        """Go on, in the parent."""
        self._lock.release()
        self._no_fork.set()

    def renew(self) -> None:
        """Start afresh, in the child."""
        self._lock = threading.Lock()
        self._no_fork = threading.Event()
        self._no_fork.set()


def at_once(connection: sqlite3.Connection, step: Callable[[sqlite3.Connection], T]) -> T:
    """Run a step that reads the ledger as it is at one instant."""
    connection.execute("BEGIN")
    try:
        result = step(connection)
        connection.execute("COMMIT")  # of what it noted in tables of its own; the ledger is only read
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise
    return result


def _open(path: Path, migrations: Sequence[str] | None) -> sqlite3.Connection:
    connection = _open_file(path)
    try:
        if migrations is not None and version_of(connection, path, len(migrations)) < len(migrations):
            connection = _up_to_date(connection, migrations)
        connection.execute(f"PRAGMA cache_size={_CACHE}")
        connection.execute("PRAGMA temp_store=MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_file(path: Path) -> sqlite3.Connection:
    """Open the file at `path` for somebody who never writes to it. Raises `LedgerError` for what is no ledger.

    It is opened in the first of three ways that this program is allowed: as long as nobody has it open, so that SQLite
    tidies up after itself; then as somebody who may read alone; and where even the log's index cannot be made, as a
    file that stays as it is.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}")
    path = path.resolve()
    log = path.with_name(f"{path.name}-wal")
    alone = not log.exists() or log.stat().st_size == 0  # nothing of what anybody left would be moved into the file
    hows = ["mode=rw", "mode=ro", "mode=ro&immutable=1"] if alone else ["mode=ro", "mode=ro&immutable=1"]
    while True:
        connection = sqlite3.connect(
            f"{path.as_uri()}?{hows.pop(0)}", uri=True, isolation_level=None, check_same_thread=False,
            timeout=_WAIT_SECONDS,
        )  # fmt: skip
        try:
            version_of(connection, path, sys.maxsize)
        except sqlite3.OperationalError:
            connection.close()
            if not hows:
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection


def _up_to_date(old: sqlite3.Connection, migrations: Sequence[str]) -> sqlite3.Connection:
    """Give a connection to a copy in the current format, which goes away with it."""
    with closing(old), tempfile.NamedTemporaryFile(prefix="inferkit-ledger-") as file:
        copy = sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)
        try:
            old.backup(copy)
            copy.execute("PRAGMA journal_mode=OFF")
            migrate(copy, migrations)
        except BaseException:
            copy.close()
            raise
    return copy  # the file has no name any more, and lives as long as this is open
