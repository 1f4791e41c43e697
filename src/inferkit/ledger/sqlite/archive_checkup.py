"""Looks whether what a ledger keeps of archived entries is whole, and whether their archives are there."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from inferkit.ledger.sqlite.finding import Finding
from inferkit.ledger.sqlite.opening import version_of
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.schema import MIGRATIONS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ARCHIVED", "MOVED", "archive_itself", "archives_of"]

ARCHIVED = "SELECT accounts, usd, tokens, calls FROM archived_sums"
"""What archived entries add to balances."""
MOVED = "SELECT coalesce(sum(moved), 0) FROM archives"
"""How many entries were archived."""
_SUMS = (
    "SELECT (SELECT coalesce(sum(moved), 0) FROM archives), (SELECT count(*) FROM archived)",
    "SELECT (SELECT total(usd) FROM rollups), (SELECT total(usd) FROM archived_sums)",
    "SELECT (SELECT total(calls) FROM rollups), (SELECT total(calls) FROM archived_sums)",
    "SELECT (SELECT total(input_tokens + output_tokens) FROM rollups), (SELECT total(tokens) FROM archived_sums)",
)
_HELD = "SELECT count(*) FROM entries WHERE cell IS NOT NULL"


def archives_of(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Look at the sums of archived entries, and at each archive of the ledger at `path`."""
    if version_of(connection, path, len(MIGRATIONS)) < len(MIGRATIONS):
        return
    connection.execute("BEGIN")
    archives = connection.execute("SELECT name, state, before, moved FROM archives WHERE state != 'archive'").fetchall()
    differ = bool(archives) and any(one != other for one, other in (connection.execute(_).fetchone() for _ in _SUMS))
    connection.execute("COMMIT")
    if differ:
        yield Finding(
            "wrong", "archived", "the sums of archived entries are not what these add to balances",
            "restore the ledger and its archives from a backup",
        )  # fmt: skip
    for name, state, before, moved in archives:
        until = f"what was entered before {datetime.fromtimestamp(before, UTC):%Y-%m-%d %H:%M} UTC"
        place = path.with_name(name)
        if state != "done":
            yield Finding(
                "open", "archived", f"{until} is being taken into {name}, with {moved:,} entries so far",
                "run `inferkit ledger compact` again if no process is at it any more; it goes on where it was",
            )  # fmt: skip
        elif not place.exists():
            yield Finding("ok", "archived", f"{until} ({moved:,} entries) is in {name}, which is not beside the ledger")
        else:
            yield from _archive(place, until, moved)


def _archive(place: Path, until: str, moved: int) -> Iterator[Finding]:
    with contextlib.closing(LedgerReader(place, None)) as reader:
        ((held,),) = reader.rows(_HELD)
    if held < moved:
        yield Finding(
            "wrong", "archived", f"{place.name} holds {held:,} entries of the {moved:,} that were taken there",
            "restore the archive from a backup; the ledger keeps the sums of them",
        )  # fmt: skip
    else:
        yield Finding("ok", "archived", f"{until} ({moved:,} entries) is in {place.name}")


def archive_itself(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look at a file that is an archive."""
    row = connection.execute("SELECT name, entries, (SELECT count(*) FROM entries) FROM archives").fetchone()
    name, entries, found = row
    if entries == found:
        yield Finding("ok", "archive", f"it is an archive of {name}, with {entries:,} entries and without balances")
    else:
        yield Finding(
            "wrong", "archive", f"it is an archive of {name} and holds {found:,} entries of {entries:,}",
            "restore it from a backup",
        )  # fmt: skip
