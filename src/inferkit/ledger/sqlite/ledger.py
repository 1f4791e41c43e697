"""The ledger in a SQLite file: each step is one short transaction.

`durability="normal"` loses nothing to a killed process, and at most the last moments to a power cut; `"full"` waits for
the disk at every step, once for all threads that come at the same time.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from inferkit.ledger.journal import NOBODY, Assignment, Attribution, Charge, Entry, EntryKind, Tally
from inferkit.ledger.protocols import Amounts, Balance, Credit, Crossing, Grant, Line, Refusal
from inferkit.ledger.sqlite import balances, customers, entries, postings
from inferkit.ledger.sqlite.database import Database, Durability
from inferkit.ledger.sqlite.group_commit import GroupedDatabase
from inferkit.ledger.unwritten import Backlog, Unwritten, replay

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["SqliteLedger"]

_PAGE = 500


class SqliteLedger:
    """A ledger in the file at `path`, which threads and processes of one machine may share.

    Raises `LedgerError`, which names the file and says what to do, when the file is locked for ten seconds, damaged,
    read-only, of a newer format, deleted, or cannot be made: it never starts over with an empty one.
    """

    _backlog: Backlog

    def __init__(self, path: str | os.PathLike[str], durability: Durability = "normal") -> None:
        if durability == "full":
            self._database: Database = GroupedDatabase(path, postings.MIGRATIONS)
        else:
            self._database = Database(path, postings.MIGRATIONS, durability)
        self.quick = durability == "normal"
        self._post = functools.partial(_post, self._database)
        replay(self._database.path, self._post)

    def __repr__(self) -> str:
        return f"SqliteLedger({str(self._database.path)!r})"

    def reserve(
        self,
        call: str,
        lines: Sequence[Line],
        wanted: Amounts,
        minimum: Amounts,
        *,
        at: float,
        lease_seconds: float,
        sent: bool = True,
        attribution: Attribution = NOBODY,
        wait: bool = True,
    ) -> Grant | Refusal:
        """See `Ledger`. Before it refuses, it ends the holds whose lease ran out."""
        lease = at + lease_seconds
        return self._database.write(
            lambda cursor: postings.reserve(
                cursor, call, lines, wanted, minimum, at=at, lease=lease, sent=sent, attribution=attribution
            ),
            wait=wait,
        )

    def extend(
        self, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float, wait: bool = True
    ) -> Grant | Refusal:
        """See `Ledger`."""
        lease = at + lease_seconds
        return self._database.write(
            lambda cursor: postings.extend(cursor, call, lines, more, at=at, lease=lease), wait=wait
        )

    def mark_sent(self, call: str, *, wait: bool = True) -> None:
        """See `Ledger`."""
        self._database.write(lambda cursor: postings.mark_sent(cursor, call), wait=wait)

    def settle(self, call: str, charge: Charge, *, at: float, calls: int = 1, wait: bool = True) -> bool:
        """See `Ledger`."""
        return self._database.write(lambda cursor: postings.settle(cursor, call, charge, at, calls), wait=wait)

    def void(self, call: str, *, at: float, wait: bool = True) -> bool:
        """See `Ledger`."""
        return self._database.write(lambda cursor: postings.void(cursor, call, at), wait=wait)

    def record(self, call: str, charge: Charge, *, at: float, wait: bool = True) -> bool:
        """See `Ledger`."""
        return self._database.write(lambda cursor: postings.record(cursor, call, charge, at), wait=wait)

    def write_later(self, one: Unwritten) -> None:
        """Enter what could not be entered, as soon as it can be: at the latest when this ledger is opened next."""
        backlog: Backlog = vars(self).setdefault("_backlog", Backlog(self._database.path, self._post))
        backlog.add(one)

    def sweep(self, at: float, *, wait: bool = True) -> int:
        """See `Ledger`."""
        return self._database.write(lambda cursor: postings.sweep(cursor, at), wait=wait)

    def warn(self, lines: Sequence[Line], *, wait: bool = True) -> list[Crossing]:
        """See `Ledger`. Nothing is locked while no share was passed, as is nearly always so."""
        if not any(self._database.write(lambda cursor: balances.crossings(cursor, lines), wait=wait, begin="BEGIN")):
            return []
        return self._database.write(lambda cursor: balances.warn(cursor, lines), wait=wait)

    def top_up(self, line: Line, amounts: Amounts, *, at: float, wait: bool = True) -> None:
        """See `Ledger`."""
        self._database.write(lambda cursor: balances.top_up(cursor, line, amounts, at), wait=wait)

    def balance(self, account: str, window: str, *, since: str | None = None) -> Balance:
        """See `Ledger`."""
        return self._database.write(
            lambda cursor: balances.balance(cursor, Line(account, window, since=since)), begin="BEGIN"
        )

    def balances(self, account: str | None = None) -> Iterator[tuple[str, str, Balance]]:
        """Go through all balances (of one account): account, window, balance."""
        for name, window, *amounts in self._database.read(balances.ALL, (account,)):
            yield str(name), str(window), balances.as_balance(amounts)

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """See `Ledger`."""
        rows: list[Any] = self._database.read(balances.CREDITS, (account,))
        for at, kind, name, window, *amounts in rows:
            yield Credit(at, kind, name, window, Amounts(*amounts))

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
        """See `Ledger`."""
        asked = (
            ("at >= ?", since),
            ("at < ?", until),
            ("user = ?", user),
            ("tenant = ?", tenant),
            ("call = ?", call),
            ("kind = ?", kind),
        )
        conditions = [(condition, value) for condition, value in asked if value is not None]
        query = entries.page([condition for condition, _ in conditions], _PAGE)
        values = tuple(value for _, value in conditions)
        for row in self._database.pages(lambda last: (query, (last, *values)), _PAGE):
            yield entries.as_entry(row)

    def tally(self, tallies: Iterable[Tally], *, wait: bool = True) -> None:
        """See `Ledger`."""
        given = list(tallies)  # the step may be run twice
        self._database.write(lambda cursor: customers.tally(cursor, given), wait=wait)

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        """See `Ledger`."""
        yield from map(customers.as_tally, self._database.read(customers.TALLIES, (since, until)))

    def assign(self, assignment: Assignment, *, wait: bool = True) -> None:
        """See `Ledger`."""
        self._database.write(lambda cursor: customers.assign(cursor, assignment), wait=wait)

    def assignment(
        self, *, user: str | None = None, tenant: str | None = None, at: float, wait: bool = True
    ) -> Assignment | None:
        """See `Ledger`."""
        rows: list[Any] = self._database.read(customers.ASSIGNMENT, (user, tenant, at), wait=wait)
        return Assignment(*rows[0]) if rows else None

    def assignments(self) -> Iterator[Assignment]:
        """See `Ledger`."""
        rows: list[Any] = self._database.read(customers.ASSIGNMENTS)
        yield from (Assignment(*row) for row in rows)

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """See `Ledger`."""
        self._database.write(lambda cursor: customers.define(cursor, definitions, at))

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        """See `Ledger`."""
        rows: list[Any] = self._database.read(customers.DEFINITIONS)
        return customers.defined(rows, before)

    def check(self) -> None:
        """Read the whole file, and raise `LedgerError` if it is damaged."""
        self._database.check()

    def close(self) -> None:
        """Close the file; using the ledger again opens it again."""
        if "_backlog" in vars(self):
            self._backlog.close()
        self._database.close()


def _post(database: Database, one: Unwritten) -> bool:
    """Enter one step. Whatever was done before is not done again."""
    call, at, charge = one.call, one.at, one.charge
    if charge is None:
        return database.write(lambda cursor: postings.void(cursor, call, at))
    if one.step == "record":
        return database.write(lambda cursor: postings.record(cursor, call, charge, at))
    return database.write(lambda cursor: postings.settle(cursor, call, charge, at, 1))
