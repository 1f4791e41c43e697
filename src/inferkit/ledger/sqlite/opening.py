"""Opens the ledger's file, and brings its schema up to date: nobody else's file, and none of a newer format."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING, Literal

from inferkit.core.errors import LedgerError
from inferkit.ledger.sqlite.checkpoints import LOG_BYTES
from inferkit.ledger.sqlite.failures import damaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Durability", "migrate", "open_file", "version_of"]

Durability = Literal["normal", "full"]

_APPLICATION_ID = 0x1F_E2_B0_0C
_PAGE_SIZE = 1024  # a write costs a page: small ones make a transaction a sixth cheaper


def open_file(path: Path, migrations: Sequence[str], durability: Durability, wait_seconds: float) -> sqlite3.Connection:
    """Open the file at `path`, waiting so long for whoever locks it meanwhile; later steps do not wait.

    It is made if it is not there. `migrations` are scripts of statements; the file's version is the number of those
    that were applied.
    """
    path = path.resolve()
    if not _is_there(path):
        _make(path, migrations)
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=wait_seconds
    )
    try:
        _prepare(connection, path, migrations, durability)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_there(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal").exists()  # before the file itself, which another process may make now
    if path.exists():
        return True
    if log:
        raise LedgerError(
            f"the ledger {path} was deleted, and its log {path.name}-wal was not; put the file back, or delete the log "
            "too to begin with an empty one, which forgets what was spent"
        )
    return False


def _make(path: Path, migrations: Sequence[str]) -> None:
    """Make the file whole under another name, so that one that is there and empty is never one that is being made."""
    draft = path.with_name(f".{path.name}.new-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size={_PAGE_SIZE}")
            _share(connection, path)
            connection.execute("PRAGMA synchronous=normal")
            migrate(connection, migrations)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            if not path.exists():
                draft.rename(path)
    except OSError as error:
        raise LedgerError(
            f"the ledger {path} cannot be made ({error.strerror}); name a folder that this program may write to: "
            "INFERKIT_HOME in the environment, Client(home=...) or Client(ledger=...)"
        ) from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):  # on a disk that is only read even what is not there cannot be removed
                draft.with_name(f"{draft.name}{suffix}").unlink(missing_ok=True)


def _prepare(connection: sqlite3.Connection, path: Path, migrations: Sequence[str], durability: Durability) -> None:
    run = connection.execute
    version = version_of(connection, path, len(migrations))
    _share(connection, path)
    run(f"PRAGMA synchronous={durability}")
    run("PRAGMA wal_autocheckpoint=0")  # it would be done by whoever commits, on an event loop perhaps
    run(f"PRAGMA journal_size_limit={LOG_BYTES}")
    if version < len(migrations):
        migrate(connection, migrations)
    run("PRAGMA busy_timeout=0")


def version_of(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """Give the version of the format of an open file, `newest` at most. Raises `LedgerError` for what is no ledger."""
    if path.stat().st_size == 0:
        raise LedgerError(
            f"the ledger {path} is empty, which no ledger ever is; restore it from a backup, or delete it to begin "
            "with a new one, which forgets what was spent"
        )
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
    if version < 1 or not tables:
        raise damaged(path)
    return int(version)


def _share(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise LedgerError(f"the ledger {path} lies where SQLite cannot share it; use a local disk")


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema up to date, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been faster
        for script in migrations[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _statements(script: str) -> Iterator[str]:
    """Take a script apart; a trigger has statements of its own."""
    statement = ""
    for part in f"{script};".split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
