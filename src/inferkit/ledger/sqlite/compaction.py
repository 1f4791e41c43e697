"""Takes entries of a time that is over out of a ledger: they go into an archive beside it, and their sums stay.

A compaction is noted in the ledger first, with the instants between which it adds up and the last entry that it takes,
so that one which was killed goes on where it was. Then the archive is written; only when all of it is on the disk are
entries taken out, some at a time, each time in one transaction with what takes their place: their sums, their ids, so
that none is ever charged a second time, and what they add to balances.

What is looked at by itself (calls of several attempts, lost ones) stays as it is, and so does the newest entry, so that
no id of an entry is given twice.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, NamedTuple

from inferkit.core.errors import LedgerError
from inferkit.ledger.spill import check_locks
from inferkit.ledger.sqlite.archive import ALWAYS, forget_drafts, write_archive
from inferkit.ledger.sqlite.database import Database
from inferkit.ledger.sqlite.failures import FAILURES
from inferkit.ledger.sqlite.hours import BETWEEN, instants
from inferkit.ledger.sqlite.schema import ENTERED_OR_ARCHIVED, MIGRATIONS
from inferkit.runtime import clock
from inferkit.runtime.posix import fcntl

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Compacted", "compact"]

_BATCH = 250  # ids, a few milliseconds
_PAUSE_SECONDS = 0.001  # between two of them, so that calls come in between
_JOB = "SELECT id, name, state, since, before, last, bounds, moved FROM archives"
_FIRST = f"SELECT min(at) FROM {BETWEEN} AND +id <= :last AND cell IS NOT NULL"  # noqa: S608 - names alone
_FIRST_PLANNED = f"SELECT min(at) FROM {BETWEEN} AND plan IS NOT NULL"  # noqa: S608 - names alone
_FIRST_ASSIGNED = "SELECT min(at) FROM assignments WHERE plan IS NOT NULL"
_APART = "SELECT count(*) FROM entries WHERE at < ?"
_TAKE = (
    "INSERT INTO temp.moving SELECT e.id, (SELECT max(b.since) FROM temp.bounds AS b WHERE b.since <= e.at) "
    "FROM main.entries AS e WHERE e.id > ? AND e.id <= ? AND e.at >= ? AND e.at < ? AND e.cell IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM main.entries AS o WHERE o.call = e.call AND o.cell IS NULL)"
)
_STRETCHES = (
    "INSERT OR IGNORE INTO stretches SELECT b.since, b.until, ? FROM temp.bounds AS b "
    "WHERE b.since IN (SELECT since FROM temp.moving)"
)
_REPORTED = "json_extract(details, '$.reported_nanos')"
_MOVING = "FROM temp.moving AS m CROSS JOIN main.entries AS e ON e.id = m.id"
_CELLS = (
    "INSERT OR IGNORE INTO cells SELECT cell, user, tenant, feature, plan, provider, model, outcome, finish_reason, "
    f"usd IS NOT NULL, estimated, degraded, details IS NOT NULL, {_REPORTED} IS NOT NULL {_MOVING}"
)
_SUMS = (
    "calls", "usd", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "prompt_cache_saved", "routing_saved",
)  # fmt: skip
_ROLLUPS = (
    f"INSERT INTO rollups SELECT m.since, cell, min(at), {', '.join(f'coalesce(sum({name}), 0)' for name in _SUMS)}, "
    f"coalesce(sum({_REPORTED}), 0) {_MOVING} WHERE true GROUP BY m.since, cell ON CONFLICT DO UPDATE SET "
    f"first = min(first, excluded.first), {', '.join(f'{name} = {name} + excluded.{name}' for name in _SUMS)}, "
    "reported = reported + excluded.reported"
)
_IDS = f"INSERT INTO archived SELECT call {_MOVING} WHERE true ON CONFLICT DO NOTHING"
_ACCOUNTS = (
    "INSERT INTO archived_sums SELECT accounts, coalesce(sum(usd), 0), sum(input_tokens + output_tokens), sum(calls) "
    f"{_MOVING} WHERE true GROUP BY accounts ON CONFLICT DO UPDATE SET usd = usd + excluded.usd, "
    "tokens = tokens + excluded.tokens, calls = calls + excluded.calls"
)
_REMOVE = "DELETE FROM entries WHERE id IN (SELECT id FROM temp.moving)"


class Compacted(NamedTuple):
    """How many entries are archived now, in which file; how many of before the same instant stay in the ledger."""

    entries: int
    archive: Path
    stay: int


class _Job(NamedTuple):
    """A compaction as it is noted in the ledger."""

    id: int
    name: str
    state: str
    since: float
    before: float
    last: int
    bounds: str
    moved: int


def compact(path: Path, before: float, label: str, days: Callable[[float], Sequence[float]]) -> Iterator[Compacted]:
    """Archive the entries from before an instant, and give what was done; first, what one that was killed has left.

    `label` is that instant in the archive's name. `days` gives the instants at which days begin, from the day of the
    instant that it is asked for until `before`, which ends the last. Calls go on meanwhile. Raises `LedgerError`,
    and `ConfigurationError` where files cannot be locked.
    """
    check_locks()
    path = path.resolve()
    with _alone(path), contextlib.closing(Database(path, MIGRATIONS, "normal")) as database:
        for job in _jobs(database, path, before, label, days):
            yield _finish(database, path, job)


def _jobs(
    database: Database, path: Path, before: float, label: str, days: Callable[[float], Sequence[float]]
) -> Iterator[_Job]:
    left = database.read(f"{_JOB} WHERE state IN ('begun', 'written') ORDER BY id")
    yield from itertools.starmap(_Job, left)
    job = _begun(database, path, before, label, days)
    if job is not None:
        yield job


def _begun(
    database: Database, path: Path, before: float, label: str, days: Callable[[float], Sequence[float]]
) -> _Job | None:
    """Note a compaction; None where there is nothing to take."""
    ((is_archive,),) = database.read("SELECT count(*) FROM archives WHERE state = 'archive'")
    if is_archive:
        raise LedgerError(f"{path} is an archive itself; name the ledger")
    ((since,),) = database.read("SELECT coalesce(max(before), ?) FROM archives", (ALWAYS,))
    ((last,),) = database.read("SELECT coalesce(max(id) - 1, 0) FROM entries")
    assert isinstance(since, float)
    assert isinstance(last, int)
    ((first,),) = database.read(_FIRST, instants(since, before) | {"last": last})
    if first is None:
        return None
    assert isinstance(first, float)
    bounds = json.dumps(_bounds(database, [*days(first)]))
    name = _free_name(path, label)
    database.write(
        lambda cursor: cursor.execute(
            "INSERT INTO archives VALUES (NULL, ?, 'begun', ?, ?, ?, ?, 0, 0)", (name, since, before, last, bounds)
        )
    )
    (row,) = database.read(f"{_JOB} ORDER BY id DESC LIMIT 1")
    return _Job(*row)  # type: ignore[arg-type]


def _free_name(path: Path, label: str) -> str:
    names = (f"{path.stem}-before-{label}{number}{path.suffix}" for number in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not path.with_name(name).exists())


def _bounds(database: Database, days: list[float]) -> list[float]:
    """Give the instants between which entries are added up.

    These are days, and where a report asks what came before: the first plan that anybody was on, and until then the
    first call of each day that was under a plan.
    """
    ((assigned,),) = database.read(_FIRST_ASSIGNED)
    found = {*days}
    for since, until in itertools.pairwise(days):
        if isinstance(assigned, float) and assigned <= since:
            break
        ((planned,),) = database.read(_FIRST_PLANNED, instants(since, until))
        cuts = [_to_microseconds(at) for at in (planned, assigned) if isinstance(at, float)]
        found.update(at for at in cuts if since < at < until)
    return sorted(found)


def _to_microseconds(at: float) -> float:
    """Give an instant as a report's period has it."""
    return datetime.fromtimestamp(at, UTC).timestamp()


def _finish(database: Database, path: Path, job: _Job) -> Compacted:
    place = path.with_name(job.name)
    if job.state == "begun":
        forget_drafts(place)
        if not place.exists():
            try:
                write_archive(path, place, job.since, job.before, job.last)
            except FAILURES as error:
                raise database.explain(error) from error
        database.write(lambda cursor: _make_ready(cursor, job))
    elif not place.exists():
        raise LedgerError(f"{place} is gone, which holds what is being taken out of {path}; put it back")
    moved = job.moved
    for begin in _ranges(database, job):
        moved += database.write(lambda cursor: _move(cursor, job, begin))  # noqa: B023 - it is run at once
        clock.sleep(_PAUSE_SECONDS)
    database.write(
        lambda cursor: cursor.execute("UPDATE archives SET state = 'done', entries = moved WHERE id = ?", (job.id,))
    )
    ((stay,),) = database.read(_APART, (job.before,))
    assert isinstance(stay, int)
    return Compacted(moved, place, stay)


def _make_ready(cursor: sqlite3.Cursor, job: _Job) -> None:
    """Have all who ask whether a call was entered look among archived ones, too, from now on."""
    cursor.execute("DROP VIEW entered")
    cursor.execute(ENTERED_OR_ARCHIVED)
    cursor.execute("UPDATE archives SET state = 'written' WHERE id = ?", (job.id,))


def _ranges(database: Database, job: _Job) -> range:
    ((first,),) = database.read("SELECT min(id) FROM entries WHERE at >= ? AND at < ?", (job.since, job.before))
    return range(first - 1, job.last, _BATCH) if isinstance(first, int) else range(0)


def _move(cursor: sqlite3.Cursor, job: _Job, begin: int) -> int:
    """Put sums in the place of some entries."""
    run = cursor.execute
    run("CREATE TEMP TABLE IF NOT EXISTS moving (id INTEGER PRIMARY KEY, since REAL)")
    run("CREATE TEMP TABLE IF NOT EXISTS bounds (since REAL PRIMARY KEY, until REAL, job INTEGER) WITHOUT ROWID")
    run("DELETE FROM temp.moving")
    run("DELETE FROM temp.bounds WHERE job != ?", (job.id,))
    if run("SELECT 1 FROM temp.bounds").fetchone() is None:
        stretches = [(since, until, job.id) for since, until in itertools.pairwise(json.loads(job.bounds))]
        cursor.executemany("INSERT INTO temp.bounds VALUES (?, ?, ?)", stretches)
    run(_TAKE, (begin, min(begin + _BATCH, job.last), job.since, job.before))
    moved = cursor.rowcount
    if moved:
        run(_STRETCHES, (job.id,))
        for statement in (_CELLS, _ROLLUPS, _IDS, _ACCOUNTS, _REMOVE):
            run(statement)
        run("UPDATE archives SET moved = moved + ? WHERE id = ?", (moved, job.id))
    return moved


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Have no other compaction of the same ledger begin. The lock goes with the process."""
    place = path.with_name(f"{path.name}.compacting")
    try:
        file = _locked(place)
    except OSError as error:
        raise LedgerError(f"nothing can be written beside {path} ({error.strerror}), which an archive needs") from error
    if file is None:
        raise LedgerError(f"another process is compacting {path}; wait until it is done")
    with file:
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def _locked(place: Path) -> IO[bytes] | None:
    while True:
        file = place.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), place.stat()):  # it was not, if its owner has just gone
                return file
        file.close()
