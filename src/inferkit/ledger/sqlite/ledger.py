"""The ledger in a SQLite file, which threads and processes of one machine may share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.ledger.ledger import Ledger
from inferkit.ledger.spill import check_locks, replay
from inferkit.ledger.sqlite.accounts import SqliteAccounts
from inferkit.ledger.sqlite.database import Database
from inferkit.ledger.sqlite.journal import SqliteJournal
from inferkit.ledger.sqlite.notices import SqliteNotices
from inferkit.ledger.sqlite.schema import MIGRATIONS
from inferkit.runtime import imports

if TYPE_CHECKING:
    import os

    from inferkit.ledger.sqlite.opening import Durability

__all__ = ["SqliteLedger", "SqliteStore"]


class SqliteStore(SqliteAccounts, SqliteJournal, SqliteNotices):
    """Accounts, journal and notices in the file at `path`. See `SqliteLedger`."""

    def __init__(
        self, path: str | os.PathLike[str], durability: Durability = "normal", *, open_now: bool = True
    ) -> None:
        check_locks()
        if durability == "full":
            imports.load("inferkit.ledger.sqlite.group_commit")
            from inferkit.ledger.sqlite.group_commit import GroupedDatabase

            super().__init__(GroupedDatabase(path, MIGRATIONS, open_now=open_now))
        else:
            super().__init__(Database(path, MIGRATIONS, durability, open_now=open_now))
        SqliteJournal.__init__(self, self.database)
        SqliteNotices.__init__(self, self.database)
        if open_now:
            self.open()

    def open(self) -> None:
        """Open the file, and enter what processes that are gone left beside it. Raises `LedgerError`."""
        self.database.open()
        replay(self.database.path, self.enter)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.database.path)!r})"

    def close(self) -> None:
        """See `Store`."""
        backlog = vars(self).pop("_backlog", None)
        if backlog is not None:
            backlog.close()
        SqliteJournal.close(self)  # the last connection to be closed tidies up, and this one may not
        self.database.close()


class SqliteLedger(Ledger):
    """A ledger in the file at `path`, which threads and processes of one machine may share.

    `durability="normal"` loses nothing to a killed process, and at most the last moments to a power cut; `"full"` waits
    for the disk at every step, once for all threads that come at the same time.

    With `open_now=False`, the file is not touched before it is needed, or `open` is called.

    Raises `LedgerError`, which names the file and says what to do, when the file is locked for ten seconds, damaged,
    read-only, of a newer format, deleted, or cannot be made: it never starts over with an empty one.
    """

    def __init__(
        self, path: str | os.PathLike[str], durability: Durability = "normal", *, open_now: bool = True
    ) -> None:
        store = SqliteStore(path, durability, open_now=open_now)
        super().__init__(store)
        self._database = store.database
        self.open = store.open

    def __repr__(self) -> str:
        return f"SqliteLedger({str(self._database.path)!r})"

    def check(self) -> None:
        """Read the whole file, and raise `LedgerError` if it is damaged."""
        self._database.check()
