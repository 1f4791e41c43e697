"""The ledger in a SQLite file, which threads and processes of one machine may share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from inferkit.ledger.ledger import Ledger
from inferkit.ledger.sqlite import postings
from inferkit.ledger.sqlite.accounts import SqliteAccounts
from inferkit.ledger.sqlite.database import Database
from inferkit.ledger.sqlite.group_commit import GroupedDatabase
from inferkit.ledger.sqlite.journal import SqliteJournal
from inferkit.ledger.sqlite.schema import MIGRATIONS
from inferkit.ledger.unwritten import Backlog, Unwritten, replay

if TYPE_CHECKING:
    import os

    from inferkit.ledger.sqlite.opening import Durability

__all__ = ["SqliteLedger", "SqliteStore"]


class SqliteStore(SqliteAccounts, SqliteJournal):
    """Accounts and journal in the file at `path`. See `SqliteLedger`."""

    _backlog: Backlog

    def __init__(self, path: str | os.PathLike[str], durability: Durability = "normal") -> None:
        if durability == "full":
            super().__init__(GroupedDatabase(path, MIGRATIONS))
        else:
            super().__init__(Database(path, MIGRATIONS, durability))
        SqliteJournal.__init__(self, self.database)
        self._post = functools.partial(_post, self.database)
        replay(self.database.path, self._post)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.database.path)!r})"

    def write_later(self, one: Unwritten) -> None:
        """See `Accounts`. What a process cannot write before it exits, it leaves for the next that opens the file."""
        backlog: Backlog = vars(self).setdefault("_backlog", Backlog(self.database.path, self._post))
        backlog.add(one)

    def close(self) -> None:
        """See `Store`."""
        if "_backlog" in vars(self):
            self._backlog.close()
        SqliteJournal.close(self)  # the last connection to be closed tidies up, and this one may not
        self.database.close()


class SqliteLedger(Ledger):
    """A ledger in the file at `path`, which threads and processes of one machine may share.

    `durability="normal"` loses nothing to a killed process, and at most the last moments to a power cut; `"full"` waits
    for the disk at every step, once for all threads that come at the same time.

    Raises `LedgerError`, which names the file and says what to do, when the file is locked for ten seconds, damaged,
    read-only, of a newer format, deleted, or cannot be made: it never starts over with an empty one.
    """

    def __init__(self, path: str | os.PathLike[str], durability: Durability = "normal") -> None:
        store = SqliteStore(path, durability)
        super().__init__(store)
        self._database = store.database

    def __repr__(self) -> str:
        return f"SqliteLedger({str(self._database.path)!r})"

    def check(self) -> None:
        """Read the whole file, and raise `LedgerError` if it is damaged."""
        self._database.check()


def _post(database: Database, one: Unwritten) -> bool:
    """Enter one step. Whatever was done before is not done again."""
    call, at, charge = one.call, one.at, one.charge
    if charge is None:
        return database.write(lambda cursor: postings.void(cursor, call, at))
    if one.step == "record":
        return database.write(lambda cursor: postings.record(cursor, call, charge, at))
    return database.write(lambda cursor: postings.settle(cursor, call, charge, at, 1))
