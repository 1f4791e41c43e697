"""Finds calls in a ledger's file for somebody who looks: the newest or the dearest of a kind, and one by its id.

The file is read in short ranges, so that calls go on meanwhile, however much it holds; by the notes of its hours where
a time is given (see `hours`). What was archived is elsewhere: `archived_between` says so.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.ledger.amounts import Amounts
from inferkit.ledger.journal import Attribution
from inferkit.ledger.sqlite.entries import COLUMNS, as_entry
from inferkit.ledger.sqlite.hours import ids_between
from inferkit.ledger.sqlite.soundness import NUMBER, PERHAPS_TEXT, TEXT, TIME, sound
from inferkit.ledger.state import Held

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from inferkit.ledger.journal import Entry
    from inferkit.ledger.sqlite.reader import LedgerReader

__all__ = [
    "CallFilter",
    "archived_between",
    "calls_like",
    "calls_since",
    "customers_known",
    "held_by",
    "is_known",
    "search",
]

_RANGE = 50_000  # ids that are read in one step
_LAST = "\U0010ffff"  # sorts behind whatever an id may go on with
_CALLS = (
    "SELECT call FROM entered WHERE call >= :first AND call < :end UNION "
    "SELECT call FROM holds WHERE call >= :first AND call < :end ORDER BY call LIMIT :most"
)
_HELD = "SELECT usd, tokens, calls, accounts, lease, sent, user, tenant, feature, plan FROM holds WHERE call = ?"
_ARCHIVED = (
    "SELECT min(s.since), max(s.until), group_concat(DISTINCT a.name) FROM stretches AS s "
    "JOIN archives AS a ON a.id = s.archive WHERE s.since < ? AND s.until > ?"
)
_NAMED = ("entries", "assignments", "holds", "tallies", "cells")  # tables that say whom something is for
_NOT_KNOWN = -(2**63)  # what an entry without a price counts as where the dearest are asked for


class CallFilter(NamedTuple):
    """What is looked for; None: whatever it is. Instants are seconds since the epoch, `until` is not in it.

    `model` is a model, "provider:model", "provider:*", or the name that the caller used. `status` is how a call ended
    ("completed", "error", ...), the kind of its entry ("expired", "corrected"), or "degraded".
    """

    since: float | None = None
    until: float | None = None
    user: str | None = None
    tenant: str | None = None
    feature: str | None = None
    plan: str | None = None
    model: str | None = None
    status: str | None = None
    estimated: bool = False


def search(
    reader: LedgerReader,
    wanted: CallFilter,
    *,
    limit: int,
    dearest: bool = False,
    step: Callable[[int, int], object] = lambda done, of: None,  # noqa: ARG005 - they are named for whoever looks
) -> list[Entry]:
    """Give the newest entries that are wanted, or the dearest, so many at most. `step` is told how many ids are done.

    Raises `LedgerError`.
    """
    conditions, values = _conditions(wanted)
    where = " AND ".join(["id BETWEEN ? AND ?", *conditions])
    order = f"coalesce(usd, {_NOT_KNOWN}) DESC, id DESC" if dearest else "id DESC"
    query = f"SELECT id, {COLUMNS} FROM entries WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608 - no value is in it
    ranges = reader.run(lambda connection: _ranges(connection, wanted))
    total, done = sum(last - first + 1 for first, last in ranges), 0
    found: list[Any] = []
    for first, last in _steps(ranges):
        step(done, total)
        found += reader.rows(query, (first, last, *values, limit))
        done += last - first + 1
        if dearest:
            found.sort(key=lambda row: (_NOT_KNOWN if row[5] is None else row[5], row[0]), reverse=True)
            del found[limit:]
        elif len(found) >= limit:
            break
    entries = list(map(as_entry, found[:limit]))
    return entries if dearest else sorted(entries, key=lambda entry: entry.at, reverse=True)


def _conditions(wanted: CallFilter) -> tuple[list[str], list[object]]:
    asked: list[tuple[str, object, int]] = [
        ("at >= ?", wanted.since, 1),
        ("at < ?", wanted.until, 1),
        *((f"{name} = ?", getattr(wanted, name), 1) for name in ("user", "tenant", "feature", "plan")),
    ]
    if wanted.model is not None and wanted.model.endswith(":*"):
        asked.append(("provider = ?", wanted.model.removesuffix(":*"), 1))
    else:
        asked.append(("(model = ? OR asked = ? OR provider || ':' || model = ?)", wanted.model, 3))
    if wanted.status == "degraded":
        asked.append(("degraded = ?", 1, 1))
    else:
        asked.append(("(outcome = ? OR kind = ?)", wanted.status, 2))
    if wanted.estimated:
        asked.append(("estimated = ?", 1, 1))
    given = [each for each in asked if each[1] is not None]
    return [condition for condition, _, _ in given], [value for _, value, times in given for _ in range(times)]


def _ranges(connection: sqlite3.Connection, wanted: CallFilter) -> list[tuple[int, int]]:
    if wanted.since is None and wanted.until is None:
        first, last = connection.execute("SELECT min(id), max(id) FROM entries").fetchone()
        return [] if first is None else [(first, last)]
    since = -math.inf if wanted.since is None else wanted.since
    return ids_between(connection, since, math.inf if wanted.until is None else wanted.until)


def _steps(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Part ranges into smaller ones, from the last id to the first."""
    for first, last in reversed(ranges):
        end = last
        while end >= first:
            begin = max(first, end - _RANGE + 1)
            yield begin, end
            end = begin - 1


def calls_like(reader: LedgerReader, begin: str, most: int) -> list[str]:
    """Give the ids of calls that begin so, whether they ended, still run or were archived; so many at most."""
    asked = {"first": begin, "end": begin + _LAST, "most": most}
    return [call for (call,) in reader.rows(_CALLS, asked)]


def calls_since(reader: LedgerReader, since: float, step: Callable[[int, int], object]) -> int:
    """Count the calls since an instant, archived ones too, by whole stretches. `step` is told how many ids are done."""
    ranges = reader.run(lambda connection: ids_between(connection, since, math.inf))
    total, done = sum(last - first + 1 for first, last in ranges), 0
    ((calls,),) = reader.rows("SELECT coalesce(sum(calls), 0) FROM rollups WHERE since >= ?", (since,))
    for first, last in _steps(ranges):
        step(done, total)
        ((some,),) = reader.rows(
            "SELECT coalesce(sum(calls), 0) FROM entries WHERE id BETWEEN ? AND ? AND at >= ?", (first, last, since)
        )
        calls += some
        done += last - first + 1
    return int(calls)


def _as_held(row: Sequence[Any]) -> Held:
    usd, tokens, calls, accounts, lease, sent, *names = row
    paid = tuple((account, window) for account, window in json.loads(accounts))
    return Held(Amounts(usd, tokens, calls), paid, lease, bool(sent), Attribution(*names))


_sound_held = sound(_as_held, NUMBER, NUMBER, NUMBER, TEXT, TIME, NUMBER, *[PERHAPS_TEXT] * 4)


def held_by(reader: LedgerReader, call: str) -> Held | None:
    """Give what a call that runs holds; None where it holds nothing."""
    rows = reader.rows(_HELD, (call,))
    return _sound_held(rows[0]) if rows else None


def archived_between(reader: LedgerReader, since: float, until: float) -> tuple[float, float, str] | None:
    """Give from when until when calls between two instants were archived, and in which files; None where none were."""
    ((first, last, names),) = reader.rows(_ARCHIVED, (until, since))
    return None if first is None else (first, last, names.replace(",", ", "))


def is_known(reader: LedgerReader, whose: str, name: str) -> bool:
    """Say whether anything in the ledger is for a customer; `whose` is "user" or "tenant"."""
    query = f"SELECT 1 FROM {{}} WHERE {whose} = ? LIMIT 1"  # noqa: S608 - one of two words
    return any(reader.rows(query.format(table), (name,)) for table in _NAMED)


def customers_known(reader: LedgerReader, whose: str, most: int = 100_000) -> list[str]:
    """Give the users, or the tenants, that the ledger knows."""
    each = " UNION ".join(f"SELECT {whose} FROM {table}" for table in _NAMED)  # noqa: S608
    return [name for (name,) in reader.rows(f"{each} LIMIT ?", (most,)) if name]
