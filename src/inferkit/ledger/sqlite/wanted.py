"""The calls of some totals: each of them, or added up by model. A second thread reads where there are many."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import LedgerError
from inferkit.core.usage import NO_DETAILS
from inferkit.ledger.sqlite.entries import details_of
from inferkit.ledger.sqlite.hours import BETWEEN, instants, need_two, stretch_of
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.rollups import refuse_calls
from inferkit.ledger.sqlite.soundness import NUMBER, PERHAPS_TEXT, TIME, sound
from inferkit.ledger.summary import AMOUNTS, OneCall, Total
from inferkit.runtime.yielding import OWN_THREAD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

__all__ = ["by_model", "calls_of"]

_CALLS = (
    f"SELECT cell, at, {', '.join(AMOUNTS).replace('usd', 'coalesce(usd, 0)')}, details "  # noqa: S608 - columns alone
    f"FROM {BETWEEN} AND cell IN (SELECT cell FROM temp.wanted) ORDER BY at, id"
)
_FOUND = f"CREATE TEMP TABLE found (cell, at, {', '.join(AMOUNTS)}, details)"
_FIND = f"INSERT INTO temp.found {_CALLS}"
_TAKE = "SELECT * FROM temp.found ORDER BY rowid"
_NAMES = (
    "calls",
    "usd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
_BY_MODEL = (
    f"SELECT provider, model, {', '.join(f'coalesce(sum({name}), 0)' for name in _NAMES)} "  # noqa: S608
    f"FROM {BETWEEN} AND cell IN (SELECT cell FROM temp.wanted) GROUP BY provider, model"
)
_STRETCH = 6 * 3600.0  # seconds


def calls_of(
    path: Path, migrations: Sequence[str], keys: Collection[int], since: float, until: float
) -> Iterator[OneCall]:
    """Go through the calls of these cells from `since` until before `until`, in the order of their instants."""
    reader = LedgerReader(path, migrations, _wanting(keys))
    reader.run(lambda connection: refuse_calls(connection, since, until))
    at, end = reader.run(lambda connection: stretch_of(connection, since, until))
    are_many = reader.run(functools.partial(need_two, at, end))
    finding = _Finding(reader, at, min(end, at + _STRETCH))
    while at < end:
        rows = finding.rows()
        at += _STRETCH
        finding = _Finding(reader, at, min(end, at + _STRETCH))
        if are_many and at < end:
            finding.begin()
        yield from map(_read, rows)
    reader.close()


def by_model(
    path: Path, migrations: Sequence[str], keys: Collection[int], bounds: Sequence[float]
) -> Iterator[list[Total]]:
    """Begin to add up the calls of these cells by model, between each two of the bounds."""
    adding = _Adding(LedgerReader(path, migrations, _wanting(keys)), bounds)
    return (totals for found in map(_Adding.result, [adding]) for totals in found)


class _Finding:
    """Finds the calls of a stretch; in a second thread, once it has begun, while somebody goes through those before it.

    That thread leaves them in a table, as it would wait for Python's lock at each row. Where it failed, or the table is
    gone since the process forked, who asks for them reads them himself.
    """

    def __init__(self, reader: LedgerReader, since: float, until: float) -> None:
        self._reader = reader
        self._since = since
        self._until = until
        self._table_of: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name=OWN_THREAD, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(LedgerError):
            self._table_of = self._reader.run(self._find)

    def _find(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.execute(_FIND, instants(self._since, self._until))
        return connection

    def rows(self) -> list[Any]:
        if self._thread is not None:
            self._thread.join()
        return self._reader.run_at_once(self._take)

    def _take(self, connection: sqlite3.Connection) -> list[Any]:
        refuse_calls(connection, self._since, self._until)  # also if they were archived since they were found
        if connection is not self._table_of:
            return connection.execute(_CALLS, instants(self._since, self._until)).fetchall()
        rows = connection.execute(_TAKE).fetchall()
        connection.execute("DELETE FROM temp.found")
        return rows


class _Adding:
    """Adds up, in a second thread where there are many; who wants to know waits for it.

    Where the thread failed, or is in the process that this one was forked from, he adds up himself.
    """

    def __init__(self, reader: LedgerReader, bounds: Sequence[float]) -> None:
        self._reader = reader
        self._bounds = bounds
        self._found: list[list[Total]] | None = None
        self._thread: threading.Thread | None = None
        if reader.run(functools.partial(need_two, bounds[0], bounds[-1])):
            self._thread = threading.Thread(target=self._run, name=OWN_THREAD, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(LedgerError):
            self._found = self._read()

    def _read(self) -> list[list[Total]]:
        found = [
            [
                Total(provider=provider, model=model, **dict(zip(_NAMES, amounts, strict=True)))
                for provider, model, *amounts in _by_model(self._reader, since, until)
            ]
            for since, until in itertools.pairwise(self._bounds)
        ]
        self._reader.close()
        return found

    def result(self) -> list[list[Total]]:
        if self._thread is not None:
            self._thread.join()
        return self._read() if self._found is None else self._found


def _as_one_call(row: Sequence[Any]) -> OneCall:
    details = row[-1]
    return OneCall(row[0], row[1], tuple(row[2:-1]), NO_DETAILS if details is None else details_of(details))


_read = sound(_as_one_call, NUMBER, TIME, *[NUMBER] * len(AMOUNTS), PERHAPS_TEXT)


def _wanting(keys: Collection[int]) -> Callable[[sqlite3.Connection], None]:
    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TEMP TABLE wanted (cell INTEGER PRIMARY KEY)")
        connection.execute(_FOUND)
        connection.executemany("INSERT INTO wanted VALUES (?)", [(key,) for key in keys])

    return prepare


def _by_model(reader: LedgerReader, since: float, until: float) -> list[Any]:
    """Give what the calls between two instants come to, unless some of them were archived."""

    def step(connection: sqlite3.Connection) -> list[Any]:
        refuse_calls(connection, since, until)
        return connection.execute(_BY_MODEL, instants(since, until)).fetchall()

    return reader.run_at_once(step)
