"""The ledger as an application holds it: plain methods that block, over whatever stores it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from inferkit.ledger.instants import check_instant
from inferkit.ledger.journal import NOBODY, Attribution
from inferkit.runtime.direct import DirectRuntime, drive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.ledger.amounts import Amounts, Balance, Credit, Crossing, Grant, Line, Refusal, Settled
    from inferkit.ledger.journal import Assignment, Charge, Entry, EntryKind, Tally
    from inferkit.ledger.protocols import Accounts, Journal, Store

__all__ = ["Ledger"]

T = TypeVar("T")
_HERE = DirectRuntime()


class Ledger:
    """A ledger over a store of your own; `SqliteLedger` is one over a file.

    `accounts` are what calls wait for, `journal` is what reports read. The methods here are both of them for plain
    code: they block, and those of `Accounts` need no runtime. All raise `LedgerError`.
    """

    def __init__(self, store: Store) -> None:
        self.accounts: Accounts = store
        self.journal: Journal = store
        self._store = store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    def _repr_html_(self) -> str:
        """Show it in a notebook: what was entered in the last day, and what its accounts have spent and hold."""
        from inferkit.ledger.shown import ledger_html

        return ledger_html(repr(self), self.journal)

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
    ) -> Grant | Refusal:
        """See `Accounts`."""
        return drive(
            self.accounts.reserve(
                _HERE,
                call,
                lines,
                wanted,
                minimum,
                at=at,
                lease_seconds=lease_seconds,
                sent=sent,
                attribution=attribution,
            )
        )

    def extend(
        self, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float
    ) -> Grant | Refusal:
        """See `Accounts`."""
        return drive(self.accounts.extend(_HERE, call, lines, more, at=at, lease_seconds=lease_seconds))

    def mark_sent(self, call: str) -> None:
        """See `Accounts`."""
        drive(self.accounts.mark_sent(_HERE, call))

    def settle(self, call: str, charge: Charge, *, at: float, calls: int = 1, watched: Sequence[Line] = ()) -> Settled:
        """See `Accounts`."""
        return drive(self.accounts.settle(_HERE, call, charge, at=at, calls=calls, watched=watched))

    def void(self, call: str, *, at: float) -> bool:
        """See `Accounts`."""
        return drive(self.accounts.void(_HERE, call, at=at))

    def record(self, call: str, charge: Charge, *, at: float) -> bool:
        """See `Accounts`."""
        return drive(self.accounts.record(_HERE, call, charge, at=at))

    def sweep(self, at: float) -> int:
        """See `Accounts`."""
        return drive(self.accounts.sweep(_HERE, at))

    def warn(self, lines: Sequence[Line]) -> list[Crossing]:
        """See `Accounts`."""
        return drive(self.accounts.warn(_HERE, lines))

    def top_up(self, line: Line, amounts: Amounts, *, at: float) -> None:
        """See `Accounts`."""
        drive(self.accounts.top_up(_HERE, line, amounts, at=at))

    def balance(self, account: str, window: str, *, since: str | None = None) -> Balance:
        """See `Accounts`."""
        return drive(self.accounts.balance(_HERE, account, window, since=since))

    def assignment(self, *, user: str | None = None, tenant: str | None = None, at: float) -> Assignment | None:
        """See `Accounts`."""
        return drive(self.accounts.assignment(_HERE, user=user, tenant=tenant, at=at))

    def assign(self, assignment: Assignment) -> None:
        """See `Accounts`."""
        drive(self.accounts.assign(_HERE, assignment))

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
        """See `Journal`. Raises `ConfigurationError` for an instant that is not in seconds since the epoch."""
        check_instant("since", since)
        check_instant("until", until)
        return self.journal.entries(since=since, until=until, user=user, tenant=tenant, call=call, kind=kind)

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """See `Journal`."""
        return self.journal.credits(account)

    def balances(self, account: str | None = None) -> Iterator[tuple[str, str, Balance]]:
        """See `Journal`."""
        return self.journal.balances(account)

    def tally(self, tallies: Iterable[Tally]) -> None:
        """See `Journal`."""
        self.journal.tally(tallies)

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        """See `Journal`. Raises `ConfigurationError` for an instant that is not in seconds since the epoch."""
        check_instant("since", since)
        check_instant("until", until)
        return self.journal.tallies(since=since, until=until)

    def assignments(self) -> Iterator[Assignment]:
        """See `Journal`."""
        return self.journal.assignments()

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """See `Journal`."""
        self.journal.define(definitions, at=at)

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        """See `Journal`."""
        return self.journal.definitions(before=before)

    def close(self) -> None:
        """Close the store; using the ledger again opens it again."""
        self._store.close()
