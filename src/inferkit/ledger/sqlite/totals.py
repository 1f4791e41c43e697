"""Adds up a period's entries inside SQLite, a stretch after the other, so that nobody has to wait for it.

What is alike has the same `cell`. The sums are kept in a table of the connection's own; only they become objects here,
and the few entries that have to be looked at by themselves.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import LedgerError
from inferkit.ledger.journal import Attribution
from inferkit.ledger.sqlite.entries import WITHOUT_ACCOUNTS, as_entry
from inferkit.ledger.sqlite.hours import BETWEEN, instants, need_two
from inferkit.ledger.sqlite.reader import LedgerReader, at_once
from inferkit.ledger.sqlite.rollups import MODELS, refuse_cut
from inferkit.ledger.summary import Stretch, Summary, Total
from inferkit.runtime.dropped import when_dropped
from inferkit.runtime.yielding import OWN_THREAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from inferkit.ledger.journal import Entry
    from inferkit.ledger.summary import ModelName

__all__ = ["summarise"]

_MOST_FILTERS = 8
_AMOUNTS = (
    "calls, usd, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, "
    "prompt_cache_saved, routing_saved, reported"
)
_ADDED = ", ".join(f"{each} = {each} + excluded.{each}" for each in _AMOUNTS.split(", "))
_ADDED += ", first = iif(excluded.first < first, excluded.first, first)"  # a call of min() for each entry is slower
_TABLE = f"CREATE TEMP TABLE sums (cell INTEGER PRIMARY KEY, {_AMOUNTS}, id INTEGER, first REAL)"
_WITHIN = f"FROM {BETWEEN} AND +id <= :last AND cell IS NOT NULL"
_REPORTED = "json_extract(details, '$.reported_nanos')"
_ADD = (
    "INSERT INTO temp.sums SELECT cell, calls, coalesce(usd, 0), input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, reasoning_tokens, prompt_cache_saved, routing_saved, "
    f"iif(details IS NULL, 0, coalesce({_REPORTED}, 0)), id, at {_WITHIN} ON CONFLICT DO UPDATE SET {_ADDED}"
)
_ADD_ROLLUPS = (
    "INSERT INTO temp.sums SELECT cell, calls, usd, input_tokens, output_tokens, cache_read_tokens, "  # noqa: S608
    "cache_write_tokens, reasoning_tokens, prompt_cache_saved, routing_saved, reported, NULL, first "
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
_SUMS = f"s.{_AMOUNTS.replace(', ', ', s.')}".replace("s.reported", "0, s.reported")  # none was an overrun
_TOTALS = f"SELECT {', '.join(_FACTS)}, {_SUMS}, s.first, s.cell {_JOINED} WHERE s.cell > ? ORDER BY s.cell LIMIT ?"
_IDS_APART = "json_group_array(id) FILTER (WHERE cell IS NULL)"
_ALL = f"FROM {BETWEEN} AND +id <= :last"
_SPENT = (
    f"SELECT {_IDS_APART}, provider, model, sum(coalesce(usd, 0)) FILTER (WHERE cell IS NOT NULL) {_ALL} "
    "GROUP BY provider, model"
)
_IS = "(model IS :model{0} AND provider IS :provider{0})"
_FILTER = "sum(coalesce(usd, 0)) FILTER (WHERE {0} AND cell IS NOT NULL)"
_OTHERS = "count(*) FILTER (WHERE cell IS NOT NULL AND NOT ({0}))"
_APART = (
    f"SELECT id, {WITHOUT_ACCOUNTS} FROM main.entries "  # noqa: S608 - columns alone
    "WHERE id IN (SELECT value FROM json_each(?))"
)
_ALL_APART = f"SELECT id, {WITHOUT_ACCOUNTS} {_ALL} AND cell IS NULL ORDER BY id"
_LAST = "SELECT coalesce(max(id), 0) FROM main.entries"
_PAGE = 256
_FLAGS_END = 13  # the columns before the amounts
_LEAST = -(2**63)


def summarise(path: Path, migrations: Sequence[str], bounds: Sequence[float]) -> Summary:
    """Add up what was entered from the first of the bounds until before the last, for each two of them by model."""
    sums = _Sums(path, migrations, bounds)
    return Summary(sums.totals(), sums.stretches(), sums.apart())


class _Filling:
    """Makes the table of sums on a connection; on another one it is made anew, of the same entries."""

    def __init__(self, stretches: Sequence[tuple[float, float]], last: int) -> None:
        self._stretches = stretches
        self._last = last
        self._connection: sqlite3.Connection | None = None
        self._is_stopped = False

    def __call__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        try:
            connection.execute(_TABLE)
            for since, until in self._stretches:
                if self._is_stopped:
                    raise LedgerError("nobody asks for the sums any more")
                at_once(connection, functools.partial(self._fill, since, until))
        finally:
            self._connection = None

    def _fill(self, since: float, until: float, connection: sqlite3.Connection) -> None:
        refuse_cut(connection, since, until)
        connection.execute(_ADD, {**instants(since, until), "last": self._last})
        connection.execute(_ADD_ROLLUPS, (since, until))

    def stop(self) -> None:
        """Break off."""
        self._is_stopped = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.interrupt()


class _Sums:
    """Reads them over two connections, which are closed when nobody reads any more.

    Both see the same: entries are only ever added, so those up to one id are the same for whoever looks; and where some
    were archived meanwhile, each stretch is read at one instant, and comes to the same with what took their place.
    """

    def __init__(self, path: Path, migrations: Sequence[str], bounds: Sequence[float]) -> None:
        self._bounds = list(itertools.pairwise(bounds))
        self._reader = LedgerReader(path, migrations)
        ((self._last,),) = self._reader.rows(_LAST)
        filling = _Filling(self._bounds, self._last)
        self._sums = LedgerReader(path, migrations, filling)
        self._models: list[ModelName] = []
        if self._reader.run(functools.partial(need_two, bounds[0], bounds[-1])):
            self._stops_when_dropped = when_dropped(filling.stop)
            threading.Thread(target=_fill, args=(self._sums,), name=OWN_THREAD, daemon=True).start()

    def totals(self) -> Iterator[Total]:
        last = _LEAST
        while True:
            rows = self._sums.rows(_TOTALS, (last, _PAGE))
            for row in rows:
                yield _total(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1][-1]

    def stretches(self) -> Iterator[Stretch]:
        for since, until in self._bounds:
            spent, apart = self._reader.run_at_once(functools.partial(self._read, since, until))
            yield Stretch(spent, list(map(as_entry, apart)))

    def apart(self) -> Iterator[Entry]:
        for since, until in self._bounds:
            yield from map(as_entry, self._reader.run_at_once(functools.partial(self._read_apart, since, until)))

    def _read_apart(self, since: float, until: float, connection: sqlite3.Connection) -> list[Any]:
        refuse_cut(connection, since, until)
        return connection.execute(_ALL_APART, {**instants(since, until), "last": self._last}).fetchall()

    def _read(
        self, since: float, until: float, connection: sqlite3.Connection
    ) -> tuple[dict[ModelName, int], list[Any]]:
        refuse_cut(connection, since, until)
        within = {**instants(since, until), "last": self._last}
        spent, ids = self._by_known_models(connection, within) or self._by_model(connection, within)
        for provider, model, usd in connection.execute(MODELS, (since, until)).fetchall():
            spent[provider, model] = spent.get((provider, model), 0) + usd
        apart = [row for some in ids for row in connection.execute(_APART, (some,)).fetchall()]
        apart.sort(key=operator.itemgetter(0))
        return spent, apart

    def _by_known_models(
        self, connection: sqlite3.Connection, within: dict[str, Any]
    ) -> tuple[dict[ModelName, int], list[str]] | None:
        """Go by the models that were seen before: faster, where these are few. None where there are others."""
        models = self._models
        if not 0 < len(models) <= _MOST_FILTERS:
            return None
        each = [_IS.format(number) for number in range(len(models))]
        columns = [_IDS_APART, _OTHERS.format(" OR ".join(each)), *map(_FILTER.format, each)]
        names = {
            f"{name}{number}": value
            for number, (provider, model) in enumerate(models)
            for name, value in (("provider", provider), ("model", model))
        }
        query = f"SELECT {', '.join(columns)} {_ALL}"
        ids, others, *sums = connection.execute(query, within | names).fetchone()
        if others:
            return None
        return {model: usd for model, usd in zip(models, sums, strict=True) if usd is not None}, [ids]

    def _by_model(
        self, connection: sqlite3.Connection, within: dict[str, Any]
    ) -> tuple[dict[ModelName, int], list[str]]:
        rows = connection.execute(_SPENT, within).fetchall()
        spent = {(provider, model): usd for _, provider, model, usd in rows if usd is not None}
        self._models = list({*self._models, *spent})
        return spent, [ids for ids, *_ in rows]


def _fill(reader: LedgerReader) -> None:
    """Have the sums made while somebody reads other things. Who asks for them meets himself what is wrong there."""
    with contextlib.suppress(LedgerError):
        reader.rows("SELECT 1")


def _total(row: Sequence[Any]) -> Total:
    user, tenant, feature, plan, provider, model, outcome, finish_reason, *flags = row[:_FLAGS_END]
    return Total(
        Attribution(user, tenant, feature, plan), provider, model, outcome, finish_reason, *map(bool, flags),
        *row[_FLAGS_END:],
    )  # fmt: skip
