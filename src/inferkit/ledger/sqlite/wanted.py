"""The calls of some totals: each of them, or added up by model, which a second thread does where there are many."""

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

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

__all__ = ["by_model", "calls_of"]

_CALLS = (
    f"SELECT cell, at, {', '.join(AMOUNTS).replace('usd', 'coalesce(usd, 0)')}, details "  # noqa: S608 - columns alone
    f"FROM {BETWEEN} AND cell IN (SELECT cell FROM temp.wanted) ORDER BY at, id"
)
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
    while at < end:
        stop = min(end, at + _STRETCH)
        yield from map(_read, _calls(reader, _CALLS, at, stop))
        at = stop
    reader.close()


def by_model(
    path: Path, migrations: Sequence[str], keys: Collection[int], bounds: Sequence[float]
) -> Iterator[list[Total]]:
    """Begin to add up the calls of these cells by model, between each two of the bounds."""
    adding = _Adding(LedgerReader(path, migrations, _wanting(keys)), bounds)
    return (totals for found in map(_Adding.result, [adding]) for totals in found)


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
            self._thread = threading.Thread(target=self._run, name="inferkit-sums", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(LedgerError):
            self._found = self._read()

    def _read(self) -> list[list[Total]]:
        found = [
            [
                Total(provider=provider, model=model, **dict(zip(_NAMES, amounts, strict=True)))
                for provider, model, *amounts in _calls(self._reader, _BY_MODEL, since, until)
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
        connection.executemany("INSERT INTO wanted VALUES (?)", [(key,) for key in keys])

    return prepare


def _calls(reader: LedgerReader, query: str, since: float, until: float) -> list[Any]:
    """Give rows of a query of the entries between two instants, unless some of them were archived."""

    def step(connection: sqlite3.Connection) -> list[Any]:
        refuse_calls(connection, since, until)
        return connection.execute(query, instants(since, until)).fetchall()

    return reader.run_at_once(step)
