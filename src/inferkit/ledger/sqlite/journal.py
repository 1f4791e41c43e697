"""The journal in a SQLite file, which is read page by page, so that calls go on meanwhile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inferkit.ledger.sqlite import balances, customers, entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inferkit.ledger.amounts import Balance, Credit
    from inferkit.ledger.journal import Assignment, Entry, EntryKind, Tally
    from inferkit.ledger.sqlite.database import Database

__all__ = ["SqliteJournal"]


class SqliteJournal:
    """See `Journal`."""

    def __init__(self, database: Database) -> None:
        self.database = database

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
        """See `Journal`."""
        asked = (
            ("at >= ?", since),
            ("at < ?", until),
            ("user = ?", user),
            ("tenant = ?", tenant),
            ("call = ?", call),
            ("kind = ?", kind),
        )
        conditions = [(condition, value) for condition, value in asked if value is not None]
        query = entries.page([condition for condition, _ in conditions])
        yield from map(entries.as_entry, self.database.pages(query, tuple(value for _, value in conditions), (0,)))

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """See `Journal`."""
        yield from map(balances.as_credit, self.database.pages(balances.CREDITS, (account,), (0,)))

    def balances(self, account: str | None = None) -> Iterator[tuple[str, str, Balance]]:
        """See `Journal`."""
        for name, window, *amounts in self.database.pages(balances.ALL, (account,), ("", "")):
            yield name, window, balances.as_balance(amounts)

    def tally(self, tallies: Iterable[Tally]) -> None:
        """See `Journal`."""
        given = list(tallies)  # the step may be run twice
        self.database.write(lambda cursor: customers.tally(cursor, given))

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        """See `Journal`."""
        between = (-math.inf if since is None else since, math.inf if until is None else until)
        yield from map(customers.as_tally, self.database.pages(customers.TALLIES, between, (-math.inf, *[""] * 9)))

    def assignments(self) -> Iterator[Assignment]:
        """See `Journal`."""
        yield from map(customers.as_assignment, self.database.pages(customers.ASSIGNMENTS, (), (-math.inf, 0)))

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """See `Journal`."""
        self.database.write(lambda cursor: customers.define(cursor, definitions, at))

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        """See `Journal`."""
        rows: list[Any] = self.database.read(customers.DEFINITIONS)
        return customers.defined(rows, before)
