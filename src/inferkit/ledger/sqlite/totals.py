"""What a period's entries come to, of which only their sums become objects, and the few that are looked at one by one.

SQLite adds them up, in a second thread where there are many, while the first one reads what each day cost by model.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import threading
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import LedgerError
from inferkit.ledger.journal import Attribution
from inferkit.ledger.sqlite.entries import WITHOUT_ACCOUNTS, as_entry
from inferkit.ledger.sqlite.filling import AMOUNTS, REPORTED, WITHIN, Filling
from inferkit.ledger.sqlite.hours import instants, need_two
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.rollups import MODELS, refuse_cut
from inferkit.ledger.summary import Stretch, Summary, Total
from inferkit.runtime.dropped import when_dropped
from inferkit.runtime.yielding import OWN_THREAD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from inferkit.ledger.journal import Entry
    from inferkit.ledger.summary import ModelName

__all__ = ["summarise"]

_MOST_FILTERS = 8
_NAMED = "user, tenant, feature, plan, provider, model, outcome, finish_reason"
_COMMON = (
    *[(f"e.{name}", f"c.{name}") for name in _NAMED.split(", ")],
    ("e.usd IS NOT NULL", "c.priced"),
    ("e.estimated", "c.estimated"),
    ("e.degraded", "c.degraded"),
    ("details IS NOT NULL", "c.is_detailed"),
    (f"{REPORTED} IS NOT NULL", "c.is_reported"),
)
_FACTS = [f"iif(e.id IS NULL, {archived}, {entered})" for entered, archived in _COMMON]
_JOINED = "FROM temp.sums AS s LEFT JOIN main.entries AS e ON e.id = s.id LEFT JOIN main.cells AS c ON c.cell = s.cell"
_SUMS = f"s.{AMOUNTS.replace(', ', ', s.')}".replace("s.reported", "0, s.reported")  # none was an overrun
_TOTALS = f"SELECT {', '.join(_FACTS)}, {_SUMS}, s.first, s.cell {_JOINED} WHERE s.cell > ? ORDER BY s.cell LIMIT ?"
_IDS_APART = "json_group_array(id) FILTER (WHERE cell IS NULL)"
_ALL = f"FROM {WITHIN}"
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


class _Sums:
    """Reads them over two connections, which are closed when nobody reads any more.

    Both see the same: entries are only ever added, so those up to one id are the same for whoever looks; and where some
    were archived meanwhile, each stretch is read at one instant, and comes to the same with what took their place.
    """

    def __init__(self, path: Path, migrations: Sequence[str], bounds: Sequence[float]) -> None:
        self._bounds = list(itertools.pairwise(bounds))
        self._reader = LedgerReader(path, migrations)
        ((self._last,),) = self._reader.rows(_LAST)
        self._filling = Filling(self._bounds, self._last)
        self._sums = LedgerReader(path, migrations, self._filling)
        self._models: list[ModelName] = []
        self._are_two = self._reader.run(functools.partial(need_two, bounds[0], bounds[-1]))
        if self._are_two:
            self._stops_when_dropped = when_dropped(self._filling.stop)
            threading.Thread(target=_fill, args=(self._sums,), name=OWN_THREAD, daemon=True).start()

    def totals(self) -> Iterator[Total]:
        if self._are_two:
            self._filling.help(self._reader, self._sums)
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
