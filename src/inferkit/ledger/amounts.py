"""What a ledger is asked and what it answers: amounts, the lines of a call, grants, refusals, balances, credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "NOTHING",
    "Amounts",
    "Balance",
    "Credit",
    "CreditKind",
    "Crossing",
    "Grant",
    "Line",
    "NotedLimit",
    "Refusal",
    "Settled",
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


class NotedLimit(NamedTuple):
    """What an account was last held to in its windows of a kind, from the instant `at` on; None: not limited.

    `period` is what the labels of these windows begin with: "month", "total", "rolling-3600s".
    """

    account: str
    period: str
    usd: int | None
    tokens: int | None
    calls: int | None
    at: float


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


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether a call was settled now, or had been before: it is true in the one case and false in the other.

    `crossings` are the shares of the lines to watch that what it cost has passed.
    """

    now: bool
    crossings: tuple[Crossing, ...] = ()

    def __bool__(self) -> bool:
        return self.now


class Credit(NamedTuple):
    """Something was added to an account's limit in a window, or taken from it, at an instant."""

    at: float
    kind: CreditKind
    account: str
    window: str
    amounts: Amounts
