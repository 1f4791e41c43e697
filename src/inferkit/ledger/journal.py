"""What a ledger's journal holds, for reports: entries (what calls cost), tallies (what cost nothing) and assignments.

Entries and assignments are only ever added to. Tallies are counts by the hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from inferkit.core.usage import NO_DETAILS, UsageDetails

__all__ = [
    "GONE_ON",
    "NOBODY",
    "Assignment",
    "Attribution",
    "Charge",
    "Entry",
    "EntryKind",
    "Part",
    "Tally",
    "TallyKind",
]

EntryKind = Literal["settled", "expired", "corrected"]
TallyKind = Literal["hit", "coalesced", "refused"]


class Attribution(NamedTuple):
    """Who caused a call, what for (`feature`), and under which plan."""

    user: str | None = None
    tenant: str | None = None
    feature: str | None = None
    plan: str | None = None


NOBODY = Attribution()
GONE_ON = "continued"
"""The outcome of an attempt that broke and was gone on with: what it gave was handed on."""


class Part(NamedTuple):
    """One of several attempts of a call. `usd` in nano-dollars; None where the model has no known price.

    `kind` and `outcome` are those of `Attempt`, or `GONE_ON`.
    """

    kind: str
    provider: str
    model: str
    outcome: str
    usd: int | None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    details: UsageDetails = NO_DETAILS


class Charge(NamedTuple):
    """What a call turned out to cost. `usd` in nano-dollars; None where the model has no known price.

    `provider`, `model` and `finish_reason` are those of the attempt that served the reply, `asked` is the name that the
    caller used, and `parts` are the attempts where there were several. `prompt_cache_saved` and `routing_saved` are the
    nano-dollars by which it came cheaper than without the provider's prompt cache (below zero where writing to it cost
    more than reading saved), and than at the dearest model that stands behind the name. `overrun` is how many
    nano-dollars of `usd` are beyond what was held for the call: its provider wrote more than it was allowed to.
    `details` are those of the usage; its `reported_nanos` is what the providers say that the call cost, where all that
    were paid said it.
    """

    usd: int | None
    provider: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    attempts: int = 1
    estimated: bool = False
    outcome: str | None = None
    finish_reason: str | None = None
    asked: str | None = None
    degraded: bool = False
    prompt_cache_saved: int = 0
    routing_saved: int = 0
    overrun: int = 0
    parts: tuple[Part, ...] = ()
    attribution: Attribution = NOBODY
    details: UsageDetails = NO_DETAILS

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def operation(self) -> str:
        """What was asked for: "chat" for a reply, "embed" for vectors."""
        return self.details.operation or "chat"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `at` is in seconds since the epoch, amounts may be negative in a correction.

    A call has one entry, "settled". Where its lease ran out it has "expired" instead, and "corrected" by the difference
    if its process came back. `accounts` are the (account, window) pairs it was charged to.
    """

    call: str
    kind: EntryKind
    at: float
    calls: int
    charge: Charge
    accounts: tuple[tuple[str, str], ...] = field(default=())


class Tally(NamedTuple):
    """How many calls of a kind there were within an hour that cost nothing, and what they would have cost.

    `hour` is its first instant, in seconds since the epoch. "hit" and "coalesced" calls were answered from the cache
    and by an identical call in flight; "refused" ones were not sent, since a budget (`scope`) did not cover them. `usd`
    is in nano-dollars: what the same reply had cost; nothing is known of what a refused call would have cost.
    """

    hour: int
    kind: TallyKind
    attribution: Attribution = NOBODY
    asked: str = ""
    provider: str = ""
    model: str = ""
    scope: str = ""
    calls: int = 1
    usd: int = 0


class Assignment(NamedTuple):
    """From the instant `at` on a customer, a user or a tenant, is on a plan with so many seats; None: on no plan."""

    at: float
    user: str | None
    tenant: str | None
    plan: str | None
    seats: int = 1
