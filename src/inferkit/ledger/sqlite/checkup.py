"""Looks whether a ledger is sound, and says what to do where it is not. Nothing is written, and calls go on meanwhile.

Every balance is what entries, holds and credits add up to. The balances are read at one instant, and the entries, to
which is only ever added, after it and in ranges, up to the last one of that instant.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import LedgerError
from inferkit.core.money import format_usd
from inferkit.ledger.spill import left_beside
from inferkit.ledger.sqlite.archive_checkup import ARCHIVED, MOVED, archive_itself, archives_of
from inferkit.ledger.sqlite.checkpoints import LOG_BYTES, log_of
from inferkit.ledger.sqlite.entries import accounts_of
from inferkit.ledger.sqlite.finding import Finding
from inferkit.ledger.sqlite.hours import STRAYED
from inferkit.ledger.sqlite.opening import version_of
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.schema import MIGRATIONS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Finding", "check_up"]

Key = tuple[str, str]  # an account and a window
Sums = dict[Key, list[int]]
_RANGE = 20_000  # entries that are read in one transaction
_SHOWN = 3  # accounts by name
_UNITS = ("nano-dollars", "tokens", "calls")
_ENTERED = (
    "SELECT accounts, sum(coalesce(usd, 0)), sum(input_tokens + output_tokens), sum(calls) FROM entries "
    "WHERE id > ? AND id <= ? GROUP BY accounts"
)
_BALANCES = (
    "SELECT account, window, usd, tokens, calls, usd_held, tokens_held, calls_held, "
    "usd_extra, tokens_extra, calls_extra FROM balances"
)
_BY_HAND = (
    "limits are kept by the balance, reports by the entries; restore the ledger from a backup, or keep it for its "
    "entries and begin with a new one"
)


def check_up(path: Path, at: float) -> Iterator[Finding]:
    """Look at the ledger at `path`, at an instant in seconds since the epoch. Raises nothing for a damaged one."""
    try:
        with contextlib.closing(LedgerReader(path, None)) as reader:
            yield from reader.run(lambda connection: [*_file(connection, path)])
            yield from reader.run(lambda connection: [*_content(connection, at)])
            yield from reader.run(lambda connection: [*archives_of(connection, path)])
    except LedgerError as error:
        yield Finding("wrong", "file", str(error))
    yield from _log(path)
    yield from _unwritten(path)


def _file(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    version = version_of(connection, path, len(MIGRATIONS))
    said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    if said != ["ok"]:
        yield Finding(
            "wrong", "file", f"it is damaged ({'; '.join(said)})",
            "stop the programs that use it and restore it from a backup, or move it away to begin with a new one, "
            "which forgets what was spent",
        )  # fmt: skip
    elif version < len(MIGRATIONS):
        yield Finding("ok", "file", f"it is whole, of format {version}; a client upgrades it to {len(MIGRATIONS)}")
    else:
        yield Finding("ok", "file", "it is whole")


def _content(connection: sqlite3.Connection, at: float) -> Iterator[Finding]:
    if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
        return
    if connection.execute("SELECT 1 FROM archives WHERE state = 'archive'").fetchone() is not None:
        yield from archive_itself(connection)
        return
    connection.execute("BEGIN")
    archived = connection.execute(ARCHIVED).fetchall()
    (moved,) = connection.execute(MOVED).fetchone()
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()
    balances = {(row[0], row[1]): row[2:] for row in connection.execute(_BALANCES)}
    holds = connection.execute("SELECT accounts, usd, tokens, calls, lease FROM holds").fetchall()
    credited = connection.execute(
        "SELECT account, window, sum(usd), sum(tokens), sum(calls) FROM credits GROUP BY account, window"
    ).fetchall()
    connection.execute("COMMIT")
    posted = {key: row[:3] for key, row in balances.items()}
    held = {key: row[3:6] for key, row in balances.items()}
    extra = {key: row[6:9] for key, row in balances.items()}
    entered = _sums(itertools.chain(archived, _ranges(connection, last)))
    if connection.execute(MOVED).fetchone() == (moved,):
        yield from _compared("balances", "what was entered", entered, posted, last)
    else:
        yield Finding("open", "balances", "entries were being archived meanwhile", "look again when that is done")
    yield from _strayed(connection, last)
    yield from _compared("holds", "what calls hold", _sums(row[:4] for row in holds), held, len(holds))
    added = {(row[0], row[1]): list(row[2:]) for row in credited}
    yield from _compared("credits", "what was added to limits", added, extra, len(credited))
    yield from _leases(holds, at)


def _ranges(connection: sqlite3.Connection, last: int) -> Iterator[Any]:
    for first in range(0, last, _RANGE):
        yield from connection.execute(_ENTERED, (first, min(first + _RANGE, last))).fetchall()


def _strayed(connection: sqlite3.Connection, last: int) -> Iterator[Finding]:
    strayed = sum(
        connection.execute(STRAYED, (first, min(first + _RANGE, last))).fetchone()[0]
        for first in range(0, last, _RANGE)
    )
    if strayed:
        yield Finding(
            "wrong", "hours", f"{strayed:,} entries are not where the ledger looks for those of their hour",
            "restore the ledger from a backup; limits are kept, and reports of a period leave these entries out",
        )  # fmt: skip


def _sums(rows: Iterable[Any]) -> Sums:
    sums: Sums = collections.defaultdict(lambda: [0, 0, 0])
    for accounts, *amounts in rows:
        for key in accounts_of(accounts):
            for unit, amount in enumerate(amounts):
                sums[key][unit] += amount
    return sums


def _compared(about: str, what: str, sums: Sums, kept: dict[Key, Any], number: int) -> Iterator[Finding]:
    apart = []
    for key in sorted({*sums, *kept}):
        expected, found = tuple(sums.get(key, (0, 0, 0))), tuple(kept.get(key, (0, 0, 0)))
        if expected != found and not (about != "holds" and _is_short(key)):
            apart.append((key, expected, found))
    if not apart:
        yield Finding("ok", about, f"{what} and the balances agree ({number:,} in all)")
        return
    shown = [
        f"{account} in {window}: {_amounts(found)} rather than {_amounts(expected)}"
        for (account, window), expected, found in apart[:_SHOWN]
    ]
    more = f", and {len(apart) - _SHOWN} more" if len(apart) > _SHOWN else ""
    yield Finding("wrong", about, f"{what} and the balances differ for {'; '.join(shown)}{more}", _BY_HAND)


def _is_short(key: Key) -> bool:
    """Say whether a window is a part of a rolling one: these are forgotten when they count no longer."""
    return key[1].partition(":")[2].isdigit()


def _amounts(amounts: tuple[int, ...]) -> str:
    usd, tokens, calls = amounts
    return f"{format_usd(usd)}, {tokens:,} tokens, {calls:,} calls"


def _leases(holds: list[Any], at: float) -> Iterator[Finding]:
    dead = [row for row in holds if row[4] <= at]
    running = len(holds) - len(dead)
    if running:
        yield Finding("ok", "leases", f"{running:,} running calls hold something")
    if dead:
        longest = (at - min(row[4] for row in dead)) / 60
        yield Finding(
            "open", "leases",
            f"the leases of {len(dead):,} calls that hold {format_usd(sum(row[1] for row in dead))} ran out, the first "
            f"{longest:,.0f} minutes ago: their processes died",
            "a client posts them in the background from its first call on; so does llm.ledger.sweep(time.time())",
        )  # fmt: skip


def _log(path: Path) -> Iterator[Finding]:
    size = log_of(path)
    if size > 4 * LOG_BYTES:
        yield Finding(
            "open", "log", f"{path.name}-wal has come to {size / 2**20:,.0f} MiB",
            "find the program that keeps a transaction open on the ledger (a database browser, a backup), and end it",
        )  # fmt: skip


def _unwritten(path: Path) -> Iterator[Finding]:
    try:
        for left in left_beside(path):
            if left.unreadable:
                yield Finding(
                    "wrong", "unwritten", f"{left.place.name} holds {len(left.unreadable)} lines that cannot be read",
                    "keep the file for what it says; move it away to hear no more of it",
                )  # fmt: skip
            if left:
                usd = sum(one.charge.usd or 0 for one in left if one.charge is not None)
                yield Finding(
                    "open", "unwritten", f"{left.place.name} holds {len(left)} calls of {format_usd(usd)}",
                    "its process enters them as soon as the ledger can be written" if left.in_use
                    else "whoever opens the ledger next enters them; a client does, and llm.ledger.sweep(time.time())",
                )  # fmt: skip
    except OSError as error:
        yield Finding("open", "unwritten", f"what is left beside the ledger cannot be read ({error.strerror})")
