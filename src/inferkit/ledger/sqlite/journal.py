"""The journal in a SQLite file. It is read page by page over a connection of its own, so that calls go on meanwhile."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.ledger.sqlite import balances, customers, entries
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.schema import MIGRATIONS
from inferkit.runtime import imports

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from inferkit.ledger.amounts import Balance, Credit, NotedLimit
    from inferkit.ledger.journal import Assignment, Entry, EntryKind, Tally
    from inferkit.ledger.sqlite.database import Database
    from inferkit.ledger.summary import OneCall, Pending, Summary, Total

__all__ = ["SqliteJournal", "SqliteRecords"]

_TOTALS, _WANTED = "inferkit.ledger.sqlite.totals", "inferkit.ledger.sqlite.wanted"
"""What reports alone need; they bring how hours and what was archived are found."""

_PENDING = (
    "SELECT count(*), coalesce(sum(usd), 0), count(*) FILTER (WHERE lease <= ?), "
    "coalesce(sum(usd) FILTER (WHERE lease <= ?), 0) FROM holds"
)


class SqliteRecords:
    """What is written in the file at `path`, for reports: see `Records`. Nothing is written to it, or beside it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.reader = LedgerReader(Path(path).expanduser().absolute(), MIGRATIONS)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.reader.path)!r})"

    def entries(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        user: str | None = None,
        tenant: str | None = None,
        call: str | None = None,
        kind: EntryKind | None = None,
    ) -> Iterator[Entry]:
        """See `Records`."""
        asked: list[tuple[str, object]] = [("at >= ?", since), ("at < ?", until), ("user = ?", user)]
        asked += [("tenant = ?", tenant), ("call = ?", call), ("kind = ?", kind)]
        given = [(condition, value) for condition, value in asked if value is not None]
        conditions, values = [condition for condition, _ in given], tuple(value for _, value in given)
        if kind not in (None, "settled"):  # these are few, have an index, and are never archived
            query = entries.page([*conditions, "kind != 'settled'"], "" if call else "INDEXED BY entries_lost")
            yield from map(entries.as_entry, self.reader.pages(query, values, (0,)))
            return
        imports.load(_TOTALS)
        from inferkit.ledger.sqlite.hours import ids_between

        begin, end = -math.inf if since is None else since, math.inf if until is None else until
        refuse = functools.partial(_refuse, since=begin, until=end, call=call)
        self.reader.run(refuse)
        if call is not None or (since is None and until is None):
            yield from map(entries.as_entry, self.reader.pages(entries.page(conditions), values, (0,)))
        else:
            query = entries.page([*conditions, "id <= ?"])
            for first, last in self.reader.run(lambda connection: ids_between(connection, begin, end)):
                yield from map(entries.as_entry, self.reader.pages(query, (*values, last), (first - 1,)))
        self.reader.run(refuse)  # what was archived meanwhile was not seen

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """See `Records`."""
        yield from map(balances.as_credit, self.reader.pages(balances.CREDITS, (account,), (0,)))

    def balances(self, account: str | None = None) -> Iterator[tuple[str, str, Balance]]:
        """See `Records`."""
        for name, window, *amounts in self.reader.pages(balances.ALL, (account,), ("", "")):
            yield name, window, balances.as_balance(amounts)

    def limits(self, budget: str | None = None) -> Iterator[NotedLimit]:
        """Go through what accounts (of one budget) were last held to, in the order of their names."""
        query, names = (balances.LIMITS, ()) if budget is None else (balances.LIMITS_OF, balances.names_of(budget))
        yield from map(balances.as_limit, self.reader.pages(query, names, ("", "")))

    def balances_of(self, budget: str) -> Iterator[tuple[str, str, Balance]]:
        """Go through the balances of one budget and of all its shares, as `balances` does."""
        for name, window, *amounts in self.reader.pages(balances.BALANCES_OF, balances.names_of(budget), ("", "")):
            yield name, window, balances.as_balance(amounts)

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        """See `Records`."""
        between = (-math.inf if since is None else since, math.inf if until is None else until)
        yield from map(customers.as_tally, self.reader.pages(customers.TALLIES, between, (-math.inf, *[""] * 9)))

    def assignments(self) -> Iterator[Assignment]:
        """See `Records`."""
        yield from map(customers.as_assignment, self.reader.pages(customers.ASSIGNMENTS, (), (-math.inf, 0)))

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        """See `Records`."""
        return customers.defined(self.reader.rows(customers.DEFINITIONS), before)

    def summary(self, bounds: Sequence[float]) -> Summary:
        """See `Summing`."""
        imports.load(_TOTALS)
        from inferkit.ledger.sqlite.totals import summarise

        return summarise(self.reader.path, MIGRATIONS, bounds)

    def calls(self, keys: Collection[int], since: float, until: float) -> Iterator[OneCall]:
        """See `Summing`."""
        imports.load(_WANTED)
        from inferkit.ledger.sqlite.wanted import calls_of

        return calls_of(self.reader.path, MIGRATIONS, keys, since, until)

    def by_model(self, keys: Collection[int], bounds: Sequence[float]) -> Iterator[list[Total]]:
        """See `Summing`."""
        imports.load(_WANTED)
        from inferkit.ledger.sqlite.wanted import by_model

        return by_model(self.reader.path, MIGRATIONS, keys, bounds)

    def pending(self, at: float) -> Pending:
        """See `Summing`."""
        imports.load(_TOTALS)
        from inferkit.ledger.summary import Pending

        (row,) = self.reader.rows(_PENDING, (at, at))
        return Pending(*row)

    def close(self) -> None:
        """Close the file; it is opened again when it is read again."""
        self.reader.close()


def _refuse(connection: sqlite3.Connection, since: float, until: float, call: str | None) -> None:
    from inferkit.ledger.sqlite.rollups import refuse_archived_call, refuse_calls

    if call is not None:
        refuse_archived_call(connection, call)
    else:
        refuse_calls(connection, since, until)


class SqliteJournal(SqliteRecords):
    """See `Journal`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.path)
        self.database = database

    def tally(self, tallies: Iterable[Tally]) -> None:
        """See `Journal`."""
        given = list(tallies)  # the step may be run twice
        self.database.write(lambda cursor: customers.tally(cursor, given))

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """See `Journal`."""
        self.database.write(lambda cursor: customers.define(cursor, definitions, at))
