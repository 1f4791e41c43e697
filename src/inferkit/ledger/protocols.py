"""What a ledger does, whatever stores it: reserve before money can be spent, settle once after.

An account has a balance for each window: what was posted (spent), what is pending (held by calls that still run), and
what it may use beyond its limit (topped up, or carried over from the window before). A reservation covers all lines of
a call or none. A hold is leased: where its process dies, the lease runs out, and a call that had been sent is posted at
the amount held, marked as estimated; settling it late corrects that.

Beside the balances a ledger keeps a book for reports (see `book`), and credits: what moved limits, which are only ever
added to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from inferkit.core.errors import LedgerError
from inferkit.ledger.journal import NOBODY, Attribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.ledger.journal import Assignment, Charge, Entry, EntryKind, Tally

__all__ = [
    "NOTHING",
    "Amounts",
    "Balance",
    "Credit",
    "CreditKind",
    "Crossing",
    "Grant",
    "Ledger",
    "LedgerBusy",
    "Line",
    "Refusal",
    "Unit",
]

Unit = Literal["usd", "tokens", "calls"]
CreditKind = Literal["topped up", "carried in", "carried out"]


class Amounts(NamedTuple):
    """So much of each unit; `usd` in nano-dollars."""

    usd: int = 0
    tokens: int = 0
    calls: int = 0


NOTHING = Amounts()


class Line(NamedTuple):
    """One account that a call is charged to, and its limits in this window; None where a unit is not limited.

    `grace` may be used beyond the limits. `carry` is how much of each unit may be carried over from the window before,
    whose label is `previous`. A rolling window names in `since` the oldest of the short windows that it is the sum of.
    `warn_at` are the shares of the limit to be told of, in thousandths, ascending.
    """

    account: str
    window: str
    usd: int | None = None
    tokens: int | None = None
    calls: int | None = None
    grace: Amounts = NOTHING
    since: str | None = None
    previous: str | None = None
    carry: Amounts | None = None
    warn_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Balance:
    """What was spent from an account in a window, what running calls hold of it, and what was added to its limit."""

    posted: Amounts = NOTHING
    pending: Amounts = NOTHING
    extra: Amounts = NOTHING


class Grant(NamedTuple):
    """The call may go ahead and use up to `amounts`.

    `remaining` is what is left then, in each unit on its scarcest line. Units that no line limits are granted as
    wanted, and None in `remaining`.
    """

    amounts: Amounts
    remaining: tuple[int | None, int | None, int | None] = (None, None, None)


class Refusal(NamedTuple):
    """The call may not go ahead: `line` does not cover the least it needs of `unit`.

    `limit` is what the line allows with everything that was added to it. For a rolling window `oldest` is the first
    short window in which something was spent.
    """

    line: Line
    unit: Unit
    limit: int
    posted: int
    pending: int
    oldest: str | None = None


class Crossing(NamedTuple):
    """An account's use passed a share of its limit, in thousandths: told once in a window."""

    line: Line
    unit: Unit
    share: int
    used: int
    limit: int


class Credit(NamedTuple):
    """Something was added to an account's limit in a window, or taken from it, at an instant."""

    at: float
    kind: CreditKind
    account: str
    window: str
    amounts: Amounts


class LedgerBusy(LedgerError):
    """Another process is writing just now, and the caller did not want to wait."""


class Ledger(Protocol):
    """Where balances are kept. All methods are safe from any thread and raise `LedgerError` when they cannot be sure.

    `quick` is true where a call with `wait=False` takes microseconds, so that it may run on an event loop; it raises
    `LedgerBusy` rather than wait for another process then. Instants (`at`) are seconds since the epoch. A call's id is
    charged once, whatever is repeated.
    """

    quick: bool

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
        """Hold up to `wanted` on every line, at least `minimum` on each, or nothing at all.

        Raises `LedgerError` for a call that holds something already or was settled.
        """

    def extend(
        self, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease_seconds: float, wait: bool = True
    ) -> Grant | Refusal:
        """Hold `more` for a call that holds something already, on every line, or leave everything as it is."""

    def mark_sent(self, call: str, *, wait: bool = True) -> None:
        """Note that a call reserved with `sent=False` is on its way: should its lease run out, it is paid for."""

    def settle(self, call: str, charge: Charge, *, at: float, calls: int = 1, wait: bool = True) -> bool:
        """Replace what a call holds by what it cost. False, and nothing done, if it was settled before."""

    def void(self, call: str, *, at: float, wait: bool = True) -> bool:
        """Give back what a call holds, which cost nothing. False if it holds nothing."""

    def record(self, call: str, charge: Charge, *, at: float, wait: bool = True) -> bool:
        """Enter a call that no budget covers. False, and nothing done, if it was entered before."""

    def sweep(self, at: float, *, wait: bool = True) -> int:
        """Post or void the holds whose lease ran out, and return how many there were."""

    def warn(self, lines: Sequence[Line], *, wait: bool = True) -> list[Crossing]:
        """Give the shares in `warn_at` that were passed and that nobody was given in this window before."""

    def top_up(self, line: Line, amounts: Amounts, *, at: float, wait: bool = True) -> None:
        """Add to what an account may use. What is not used when the window ends stays for the next."""

    def balance(self, account: str, window: str, *, since: str | None = None) -> Balance:
        """Give an account's balance in a window; zero where nothing was ever charged. `since` as in `Line`."""

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
        """Go through the journal in the order it was written, from `since` until before `until`."""

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """Go through what was added to limits (of one account), in the order it was written."""

    def tally(self, tallies: Iterable[Tally], *, wait: bool = True) -> None:
        """Add to the counts of calls that cost nothing. Those of one hour, kind, attribution and model add up."""

    def tallies(self, *, since: float | None = None, until: float | None = None) -> Iterator[Tally]:
        """Go through these counts, hour by hour."""

    def assign(self, assignment: Assignment, *, wait: bool = True) -> None:
        """Put a customer on a plan from an instant on."""

    def assignment(
        self, *, user: str | None = None, tenant: str | None = None, at: float, wait: bool = True
    ) -> Assignment | None:
        """Give the assignment of a user or a tenant that holds at an instant."""

    def assignments(self) -> Iterator[Assignment]:
        """Go through all assignments in the order of their instants."""

    def define(self, definitions: Mapping[str, str], *, at: float) -> None:
        """Keep the definitions of plans, by name, so that a report of this ledger knows them."""

    def definitions(self, *, before: float | None = None) -> dict[str, str]:
        """Give the latest definition of every plan, or that which held just before an instant, or else its first."""
