"""Opens the ledger's file, and brings its schema up to date: nobody else's file, and none of a newer format."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Literal

from inferkit.core.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Durability", "migrate", "open_file", "version_of"]

Durability = Literal["normal", "full"]

_APPLICATION_ID = 0x1F_E2_B0_0C
_PAGE_SIZE = 1024  # a write costs a page: small ones make a transaction a sixth cheaper
_CHECKPOINT_AT_ONCE = 16_000  # pages; should the background not come round to it


def open_file(path: Path, migrations: Sequence[str], durability: Durability, wait_seconds: float) -> sqlite3.Connection:
    """Open the file at `path`, waiting so long for whoever locks it meanwhile; later steps do not wait.

    `migrations` are scripts of statements; the file's version is the number of those that were applied.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=wait_seconds)
    try:
        _prepare(connection, path, migrations, durability)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, migrations: Sequence[str], durability: Durability) -> None:
    run = connection.execute
    version = version_of(connection, path, len(migrations))
    if not version:
        run(f"PRAGMA page_size={_PAGE_SIZE}")
    (mode,) = run("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise LedgerError(f"the ledger {path} lies where SQLite cannot share it; use a local disk")
    run(f"PRAGMA synchronous={durability}")
    run(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_AT_ONCE}")
    if version < len(migrations):
        migrate(connection, migrations)
    run("PRAGMA busy_timeout=0")


def version_of(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """Give the version of the format of an open file, `newest` at most. Raises `LedgerError` for what is no ledger."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and application != _APPLICATION_ID:
        raise LedgerError(f"{path} is another program's database; give the ledger a file of its own")
    if version > newest:
        raise LedgerError(
            f"the ledger {path} was written by a newer inferkit (version {version} of its format, this one "
            f"knows {newest}); upgrade inferkit, or use another file"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema up to date, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been faster
        for script in migrations[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
