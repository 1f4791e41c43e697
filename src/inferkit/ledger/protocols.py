"""What a store of the ledger does: `Accounts` is what calls need while they run, `Journal` is for reports.

An account has a balance for each window: what was posted (spent), what is pending (held by calls that still run), and
what it may use beyond its limit (topped up, or carried over from the window before). A reservation covers all lines of
a call or none. A hold is leased: where its process dies, the lease runs out, and a call that had been sent is posted at
the amount held, marked as estimated; settling it late corrects that.

Beside the balances a store keeps the journal (see `journal`), and credits: what moved limits, which are only ever added
to. `inferkit.testing.ledger.LedgerContract` holds a store to all of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from inferkit.ledger.journal import NOBODY, Attribution

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from inferkit.ledger.amounts import Amounts, Balance, Credit, Crossing, Grant, Line, Refusal, Settled
    from inferkit.ledger.journal import Assignment, Charge, Entry, EntryKind, Tally
    from inferkit.ledger.notices import Notice
    from inferkit.ledger.summary import OneCall, Pending, Summary, Total
    from inferkit.ledger.unwritten import Unwritten
    from inferkit.runtime.protocol import Runtime

__all__ = ["Accounts", "Journal", "Noticeboard", "Records", "Store", "Summing"]


class Accounts(Protocol):
    """The balances, and who is on which plan: what is asked before a call is sent, and written when it is over.

    Coroutines that wait through the runtime alone, so that they never suspend on the direct one, and never stop an
    event loop for longer than it takes to write down a call. Safe in any thread, task and process. They raise
    `LedgerError` where they cannot be sure. Instants (`at`) are seconds since the epoch. A call's id is charged once,
    whatever is repeated.

    A step that is cancelled or interrupted may take effect all the same, except that `reserve` leaves no hold: what it
    took is given back by the time that the runtime's endings have done what they were given.
    """

    async def reserve(
        self,
        runtime: Runtime,
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
        """Hold up to `wanted` on every line, at least `minimum` on each, or nothing at all.

        Before it refuses, it ends the holds whose lease ran out. Raises `LedgerError` for a call that holds something
        already or was settled.
        """

    async def extend(
        self, runtime: Runtime, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float
    ) -> Grant | Refusal:
        """Hold `more` for a call that holds something already, on every line, or leave everything as it is."""

    async def mark_sent(self, runtime: Runtime, call: str) -> None:
        """Note that a call reserved with `sent=False` is on its way: should its lease run out, it is paid for."""

    async def settle(
        self, runtime: Runtime, call: str, charge: Charge, *, at: float, calls: int = 1, watched: Sequence[Line] = ()
    ) -> Settled:
        """Replace what a call holds by what it cost, and give the shares in `warn_at` that were passed as `warn` does.

        False, and nothing done, if it was settled before.
        """

    async def void(self, runtime: Runtime, call: str, *, at: float) -> bool:
        """Give back what a call holds, which cost nothing. False if it holds nothing."""

    async def record(self, runtime: Runtime, call: str, charge: Charge, *, at: float) -> bool:
        """Enter a call that no budget covers. False, and nothing done, if it was entered before."""

    def write_later(self, one: Unwritten) -> None:
        """Enter as soon as it can be what could not be: a settlement is never dropped. Does not wait.

        Should the process die before that, it is entered when the store is opened next.
        """

    async def sweep(self, runtime: Runtime, at: float) -> int:
        """Post or void the holds whose lease ran out, and return how many there were.

        However many there are, nobody has to wait for it longer than for another call.
        """

    async def warn(self, runtime: Runtime, lines: Sequence[Line]) -> list[Crossing]:
        """Give the shares in `warn_at` that were passed and that nobody was given in this window before."""

    async def top_up(self, runtime: Runtime, line: Line, amounts: Amounts, *, at: float) -> None:
        """Add to what an account may use. What is not used when the window ends stays for the next."""

    async def balance(self, runtime: Runtime, account: str, window: str, *, since: str | None = None) -> Balance:
        """Give an account's balance in a window; zero where nothing was ever charged. `since` as in `Line`."""

    async def assignment(
        self, runtime: Runtime, *, user: str | None = None, tenant: str | None = None, at: float
    ) -> Assignment | None:
        """Give the assignment of a user or a tenant that holds at an instant.

        It is here, and not in the journal, because a call's plan says whose allowance pays for it.
        """

    async def assign(self, runtime: Runtime, assignment: Assignment) -> None:
        """Put a customer on a plan from an instant on, unless the latest assignment then says the same."""


class Records(Protocol):
    """What is written down, for reports. These methods block; those that give iterators read page by page.

    Calls go on meanwhile. Safe in any thread and process; they raise `LedgerError`.
    """

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
        """Go through the entries in the order they were written, from `since` until before `until`."""

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """Go through what was added to limits (of one account), in the order it was written."""

    def balances(self, account: str | None = None) -> Iterator[tuple[str, str, Balance]]:
        """Go through all balances (of one account) in the order of their names: account, window, balance."""

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        """Go through the counts of calls that cost nothing, hour by hour."""

    def assignments(self) -> Iterator[Assignment]:
        """Go through all assignments in the order of their instants."""

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        """Give the latest definition of every plan, or that which held just before an instant, or else its first."""


class Journal(Records, Protocol):
    """Records, and what is added to them outside of calls."""

    def tally(self, tallies: Iterable[Tally]) -> None:
        """Add to the counts of calls that cost nothing. Those of one hour, kind, attribution and model add up."""

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """Keep the definitions of plans, by name, so that a report of this ledger knows them."""


@runtime_checkable
class Summing(Protocol):
    """What a store may do beside, so that a report of many entries need not see each: add them up where they are."""

    def summary(self, bounds: Sequence[float]) -> Summary:
        """Give what was entered from the first of the bounds until before the last, which ascend."""

    def calls(self, keys: Collection[int], since: float, until: float) -> Iterator[OneCall]:
        """Go through the calls of totals that have these keys, in the order of their instants."""

    def by_model(self, keys: Collection[int], bounds: Sequence[float]) -> Iterator[list[Total]]:
        """Give what the calls of totals that have these keys come to by model, between each two of the bounds."""

    def pending(self, at: float) -> Pending:
        """Give what calls hold at an instant."""


@runtime_checkable
class Noticeboard(Protocol):
    """What a store may do beside, so that the processes that share it know together how models stand."""

    def exchange(
        self, notices: Sequence[Notice], *, teller: str, since: int, at: float, patience: float
    ) -> tuple[list[Notice], int]:
        """Put up notices of a teller, and give those that others put up since, with the mark for the next time.

        `since` is the mark that was given last, 0 at first. What is worth nothing any more at the instant `at` (seconds
        since the epoch) is not given, nor what claims to be from more than a minute after it. A store may drop both and
        the oldest of more than `MOST_NOTICES`. It blocks, for `patience` seconds at most where the store is
        locked; it raises `LedgerError`. Never called on an event loop, or by a call. Safe in any thread and process.
        """


class Store(Accounts, Journal, Protocol):
    """Both, in one place."""

    def close(self) -> None:
        """Give back files and connections. Using the store again opens them again."""
