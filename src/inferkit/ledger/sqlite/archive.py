"""An archive: a ledger of its own beside the ledger, with all that reports ask about a time that is over.

It is written whole under another name, is on the disk before it gets its own, and is only read from then on. It says
itself which time it covers, so that nobody takes what it does not hold for nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.ledger.sqlite.entries import COLUMNS
from inferkit.ledger.sqlite.opening import migrate
from inferkit.ledger.sqlite.schema import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ALWAYS", "NEVER", "forget_drafts", "write_archive"]

ALWAYS, NEVER = -1e18, 1e18
"""Instants before and after all others, in seconds since the epoch."""
_RANGE = 20_000  # ids that are read in one transaction
_WAIT_SECONDS = 10.0
_COPY = (
    f"INSERT INTO main.entries (id, cell, {COLUMNS}) SELECT id, cell, {COLUMNS} FROM book.entries "  # noqa: S608 - columns alone
    "WHERE id > ? AND id <= ? AND at >= ? AND at < ?"
)
_COUNT = (  # amounts in two parts, which do not overflow
    "SELECT count(*), sum(usd >> 20), sum(usd & 1048575), sum(input_tokens + output_tokens) FROM {}.entries "
    "WHERE id <= ? AND at >= ? AND at < ?"
)
_TALLIES = "INSERT INTO main.tallies SELECT * FROM book.tallies WHERE hour >= ? AND hour < ?"
_THIS = "INSERT INTO main.archives VALUES (1, ?, 'archive', ?, ?, ?, '[]', (SELECT count(*) FROM main.entries), 0)"
_OUTSIDE = "INSERT INTO main.stretches VALUES (?, ?, 1)"


def write_archive(ledger: Path, place: Path, since: float, before: float, last: int) -> None:
    """Write what the ledger has of a time, up to the entry number `last`, to a file that is not there yet.

    Raises `LedgerError` and `sqlite3.Error`.
    """
    draft = place.with_name(f".{place.name}.new-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with contextlib.closing(_connect(draft, ledger)) as connection:
            _fill(connection, ledger.name, since, before, last)
        draft.chmod(ledger.stat().st_mode & 0o444)
        _sync(draft)
        draft.rename(place)
        _sync(place.parent)
    except OSError as error:
        raise LedgerError(
            f"the archive {place} cannot be written ({error.strerror}); the ledger is as it was"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def forget_drafts(place: Path) -> None:
    """Delete what is left of an archive whose process died before it was whole."""
    for draft in place.parent.glob(f".{place.name}.new-*"):
        draft.unlink(missing_ok=True)


def _connect(draft: Path, ledger: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{draft.as_uri()}?mode=rwc", uri=True, isolation_level=None, check_same_thread=False, timeout=_WAIT_SECONDS
    )
    try:
        connection.execute("PRAGMA journal_mode=OFF")  # one that is not whole is written anew
        connection.execute("PRAGMA synchronous=OFF")  # all of it is, in the end
        migrate(connection, MIGRATIONS)
        connection.execute("ATTACH ? AS book", (f"{ledger.resolve().as_uri()}?mode=ro",))
    except BaseException:
        connection.close()
        raise
    return connection


def _fill(connection: sqlite3.Connection, name: str, since: float, before: float, last: int) -> None:
    run = connection.execute
    (first,) = run("SELECT coalesce(min(id), 0) FROM book.entries").fetchone()
    for begin in range(first - 1, last, _RANGE):
        run(_COPY, (begin, min(begin + _RANGE, last), since, before))
    run("BEGIN")
    run(_TALLIES, (since, before))
    run("INSERT INTO main.assignments SELECT * FROM book.assignments")
    run("INSERT INTO main.definitions SELECT * FROM book.definitions")
    run(_THIS, (name, since, before, last))
    if since > ALWAYS:
        run(_OUTSIDE, (ALWAYS, since))
    run(_OUTSIDE, (before, NEVER))
    run("COMMIT")
    copied, there = (run(_COUNT.format(book), (last, since, before)).fetchone() for book in ("main", "book"))
    if copied != there or run("PRAGMA main.integrity_check(1)").fetchone() != ("ok",):
        raise LedgerError("the archive is not what was written to it; check the disk. The ledger is as it was")


def _sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
