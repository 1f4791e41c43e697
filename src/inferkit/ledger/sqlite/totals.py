"""Adds up a period's entries inside SQLite, a stretch after the other, so that nobody has to wait for it.

What is alike has the same `cell`. The sums are kept in a table of the connection's own; only they become objects here,
and the few entries that have to be looked at by themselves.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from inferkit.ledger.journal import Attribution
from inferkit.ledger.sqlite.entries import WITHOUT_ACCOUNTS, as_entry, calls_reader
from inferkit.ledger.sqlite.hours import BETWEEN, instants, stretch_of
from inferkit.ledger.sqlite.reader import LedgerReader, at_once
from inferkit.ledger.sqlite.rollups import MODELS, refuse_calls, refuse_cut
from inferkit.ledger.summary import Summary, Total

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from inferkit.ledger.journal import Entry
    from inferkit.ledger.summary import ModelName

__all__ = ["by_model", "calls_of", "summarise"]

_MOST_FILTERS = 8
_AMOUNTS = (
    "calls, usd, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, "
    "prompt_cache_saved, routing_saved, overrun, reported"
)
_ADDED = ", ".join(f"{each} = {each} + excluded.{each}" for each in _AMOUNTS.split(", "))
_ADDED += ", first = min(first, excluded.first)"
_TABLE = f"CREATE TEMP TABLE sums (cell INTEGER PRIMARY KEY, {_AMOUNTS}, id INTEGER, first REAL)"
_WITHIN = f"FROM {BETWEEN} AND +id <= :last AND cell IS NOT NULL"
_REPORTED = "json_extract(details, '$.reported_nanos')"
_ADD = (
    "INSERT INTO temp.sums SELECT cell, calls, coalesce(usd, 0), input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, reasoning_tokens, prompt_cache_saved, routing_saved, overrun, "
    f"coalesce({_REPORTED}, 0), id, at {_WITHIN} ON CONFLICT DO UPDATE SET {_ADDED}"
)
_ADD_ROLLUPS = (
    "INSERT INTO temp.sums SELECT cell, calls, usd, input_tokens, output_tokens, cache_read_tokens, "  # noqa: S608
    "cache_write_tokens, reasoning_tokens, prompt_cache_saved, routing_saved, 0, reported, NULL, first "
    f"FROM main.rollups WHERE since >= ? AND since < ? ON CONFLICT DO UPDATE SET {_ADDED}"
)
_NAMED = "user, tenant, feature, plan, provider, model, outcome, finish_reason"
_COMMON = (
    *[(f"e.{name}", f"c.{name}") for name in _NAMED.split(", ")],
    ("e.usd IS NOT NULL", "c.priced"),
    ("e.estimated", "c.estimated"),
    ("e.degraded", "c.degraded"),
    ("details IS NOT NULL", "c.is_detailed"),
    (f"{_REPORTED} IS NOT NULL", "c.is_reported"),
)
_FACTS = [f"iif(e.id IS NULL, {archived}, {entered})" for entered, archived in _COMMON]
_JOINED = "FROM temp.sums AS s LEFT JOIN main.entries AS e ON e.id = s.id LEFT JOIN main.cells AS c ON c.cell = s.cell"
_TOTALS = (
    f"SELECT {', '.join(_FACTS)}, s.{_AMOUNTS.replace(', ', ', s.')}, s.first, s.cell {_JOINED} "
    "WHERE s.cell > ? ORDER BY s.cell LIMIT ?"
)
_MODELS = f"SELECT DISTINCT {_FACTS[4]}, {_FACTS[5]} {_JOINED}"
_SPENT = f"SELECT provider, model, sum(usd) {_WITHIN} GROUP BY provider, model"
_FILTER = "sum(usd) FILTER (WHERE model IS :model{0} AND provider IS :provider{0})"
_APART = (
    f"SELECT id, {WITHOUT_ACCOUNTS} FROM {BETWEEN} "  # noqa: S608 - columns alone
    "AND +id <= :last AND cell IS NULL ORDER BY id"
)
_CALLS = (
    f"SELECT cell, id, {WITHOUT_ACCOUNTS} FROM {BETWEEN} "  # noqa: S608 - columns alone
    "AND cell IN (SELECT cell FROM temp.wanted) ORDER BY at, id"
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
_PAGE = 256
_FLAGS_END = 13  # the columns before the amounts
_LEAST = -(2**63)


def summarise(path: Path, migrations: Sequence[str], bounds: Sequence[float]) -> Summary:
    """Add up what was entered from the first of the bounds until before the last, for each two of them by model."""
    sums = _Sums(path, migrations, bounds)
    return Summary(sums.totals(), sums.spent(), sums.apart())


def by_model(
    path: Path, migrations: Sequence[str], keys: Collection[int], bounds: Sequence[float]
) -> Iterator[list[Total]]:
    """Add up the calls of these cells by model, between each two of the bounds."""
    reader = LedgerReader(path, migrations, _wanting(keys))
    for since, until in itertools.pairwise(bounds):
        yield [
            Total(provider=provider, model=model, **dict(zip(_NAMES, amounts, strict=True)))
            for provider, model, *amounts in _calls(reader, _BY_MODEL, since, until)
        ]
    reader.close()


def _wanting(keys: Collection[int]) -> Callable[[sqlite3.Connection], None]:
    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TEMP TABLE wanted (cell INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO wanted VALUES (?)", [(key,) for key in keys])

    return prepare


def calls_of(
    path: Path, migrations: Sequence[str], keys: Collection[int], since: float, until: float
) -> Iterator[tuple[int, Entry]]:
    """Go through the calls of these cells from `since` until before `until`, in the order of their instants."""
    reader = LedgerReader(path, migrations, _wanting(keys))
    read = calls_reader()
    reader.run(lambda connection: refuse_calls(connection, since, until))
    at, end = reader.run(lambda connection: stretch_of(connection, since, until))
    while at < end:
        stop = min(end, at + _STRETCH)
        yield from map(read, _calls(reader, _CALLS, at, stop))
        at = stop
    reader.close()


def _calls(reader: LedgerReader, query: str, since: float, until: float) -> list[Any]:
    """Give rows of a query of the entries between two instants, unless some of them were archived."""

    def step(connection: sqlite3.Connection) -> list[Any]:
        refuse_calls(connection, since, until)
        return connection.execute(query, instants(since, until)).fetchall()

    return reader.run_at_once(step)


class _Filling:
    """Makes the table of sums on a connection; on another one it is made anew, of the same entries."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.stretches = list(itertools.pairwise(bounds))
        self.last: int | None = None  # what is entered meanwhile does not count

    def __call__(self, connection: sqlite3.Connection) -> None:
        if self.last is None:
            (self.last,) = connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()
        connection.execute(_TABLE)
        for since, until in self.stretches:
            at_once(connection, functools.partial(self._fill, since, until))

    def within(self, since: float, until: float) -> dict[str, Any]:
        """Give the parameters of a query of the entries between two instants."""
        return {**instants(since, until), "last": self.last}

    def _fill(self, since: float, until: float, connection: sqlite3.Connection) -> None:
        refuse_cut(connection, since, until)
        connection.execute(_ADD, self.within(since, until))
        connection.execute(_ADD_ROLLUPS, (since, until))


class _Sums:
    """Reads them, over a connection that is closed when nobody reads any more."""

    def __init__(self, path: Path, migrations: Sequence[str], bounds: Sequence[float]) -> None:
        self._filling = _Filling(bounds)
        self._reader = LedgerReader(path, migrations, self._filling)
        self._reader.rows("SELECT 1")  # so that they are there, whatever is read first

    def totals(self) -> Iterator[Total]:
        last = _LEAST
        while True:
            rows = self._reader.rows(_TOTALS, (last, _PAGE))
            for row in rows:
                yield _total(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1][-1]

    def spent(self) -> Iterator[dict[ModelName, int]]:
        models: list[ModelName] = self._reader.rows(_MODELS)
        few = len(models) <= _MOST_FILTERS
        sums = ", ".join(_FILTER.format(number) for number in range(len(models)))
        query = f"SELECT {sums or 'count(*)'} {_WITHIN}" if few else _SPENT
        names = {
            f"{name}{number}": value
            for number, (provider, model) in enumerate(models if few else ())
            for name, value in (("provider", provider), ("model", model))
        }

        def spend(since: float, until: float, connection: sqlite3.Connection) -> dict[ModelName, int]:
            refuse_cut(connection, since, until)
            rows = connection.execute(query, self._filling.within(since, until) | names).fetchall()
            if few:
                found = {model: usd for model, usd in zip(models, rows[0], strict=False) if usd is not None}
            else:
                found = {(provider, model): usd or 0 for provider, model, usd in rows}
            for provider, model, usd in connection.execute(MODELS, (since, until)).fetchall():
                if usd is not None or not few:
                    found[provider, model] = found.get((provider, model), 0) + (usd or 0)
            return found

        for since, until in self._filling.stretches:
            yield self._reader.run_at_once(functools.partial(spend, since, until))

    def apart(self) -> Iterator[Entry]:
        for since, until in self._filling.stretches:
            yield from map(as_entry, self._reader.rows(_APART, self._filling.within(since, until)))


def _total(row: Sequence[Any]) -> Total:
    user, tenant, feature, plan, provider, model, outcome, finish_reason, *flags = row[:_FLAGS_END]
    return Total(
        Attribution(user, tenant, feature, plan), provider, model, outcome, finish_reason, *map(bool, flags),
        *row[_FLAGS_END:],
    )  # fmt: skip
