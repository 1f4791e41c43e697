"""What a ledger does, whatever stores it: reserve before money can be spent, settle once after.

An account has a balance for each window: what was posted (spent), what is pending (held by calls that still run), and
what it may use beyond its limit (topped up, or carried over from the window before). A reservation covers all lines of
a call or none. A hold is leased: where its process dies, the lease runs out, and a call that had been sent is posted at
the amount held, marked as estimated; settling it late corrects that.

Beside the balances a ledger keeps two books that are only ever added to: entries (what calls cost) and credits (what
moved limits).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from inferkit._errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "NOBODY",
    "NOTHING",
    "Amounts",
    "Balance",
    "Charge",
    "Credit",
    "CreditKind",
    "Crossing",
    "Entry",
    "EntryKind",
    "Grant",
    "Ledger",
    "LedgerBusy",
    "Line",
    "Payer",
    "Refusal",
    "Unit",
]

Unit = Literal["usd", "tokens", "calls"]
EntryKind = Literal["settled", "expired", "corrected"]
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


class Payer(NamedTuple):
    """Who caused a call, for reports."""

    user: str | None = None
    tenant: str | None = None


NOBODY = Payer()


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


class Charge(NamedTuple):
    """What a call turned out to cost. `usd` in nano-dollars; None where the model has no known price."""

    usd: int | None
    provider: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    attempts: int = 1
    estimated: bool = False
    outcome: str | None = None
    payer: Payer = NOBODY

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger's book. `at` is in seconds since the epoch, amounts may be negative in a correction.

    A call has one entry, "settled". Where its lease ran out it has "expired" instead, and "corrected" by the difference
    if its process came back. `accounts` are the (account, window) pairs it was charged to.
    """

    call: str
    kind: EntryKind
    at: float
    calls: int
    charge: Charge
    accounts: tuple[tuple[str, str], ...] = field(default=())


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
        payer: Payer = NOBODY,
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
    ) -> Iterator[Entry]:
        """Go through the book in the order it was written, from `since` until before `until`."""

    def credits(self, account: str | None = None) -> Iterator[Credit]:
        """Go through what was added to limits (of one account), in the order it was written."""
