"""What a period's calls come to, for a store that adds them up itself: sums of what is alike, and the few others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.usage import NO_DETAILS, UsageDetails
from inferkit.ledger.journal import NOBODY, Attribution, Charge, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AMOUNTS", "ModelName", "OneCall", "Pending", "Stretch", "Summary", "Total"]

ModelName = tuple[str | None, str | None]
"""Provider and model; None where it is not known."""


class Total(NamedTuple):
    """Settled calls, of one attempt each, that have all of this in common, and what they come to.

    The fields are those of `Charge`; `priced` is false where their cost is not known, `is_detailed`
    true where they have `UsageDetails`. `reported`
    is what their provider says that they cost, where it does (`is_reported`). `first` is when the earliest was
    entered, in seconds since the epoch. `key` is
    the store's own, to ask for these calls one by one.
    """

    attribution: Attribution = NOBODY
    provider: str | None = None
    model: str | None = None
    outcome: str | None = None
    finish_reason: str | None = None
    priced: bool = True
    estimated: bool = False
    degraded: bool = False
    is_detailed: bool = False
    is_reported: bool = False
    calls: int = 0
    usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_cache_saved: int = 0
    routing_saved: int = 0
    overrun: int = 0
    reported: int = 0
    first: float = 0.0
    key: int = 0


AMOUNTS = (
    "calls", "usd", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "prompt_cache_saved", "routing_saved",
)  # fmt: skip
"""What each call of a total has an amount of, by the names of `Total`."""


class OneCall(NamedTuple):
    """What a call of the total that has this key does not have in common with the others; `amounts` are `AMOUNTS`."""

    key: int
    at: float
    amounts: tuple[int, ...]
    details: UsageDetails = NO_DETAILS

    def entry(self, total: Total) -> Entry:
        """Give it as a line of the journal, but for its name and what it asked for."""
        calls, usd, input_tokens, output_tokens, cache_read, cache_write, reasoning, cache_saved, saved = self.amounts
        charge = Charge(
            usd if total.priced else None, total.provider, total.model, input_tokens, output_tokens, cache_read,
            cache_write, reasoning, 1, total.estimated, total.outcome, total.finish_reason, None, total.degraded,
            cache_saved, saved, 0, (), total.attribution, self.details,
        )  # fmt: skip
        return Entry("", "settled", self.at, calls, charge)


class Stretch(NamedTuple):
    """What was entered between two of the bounds: `spent` is what totals cost by model, `apart` are other entries."""

    spent: dict[ModelName, int]
    apart: list[Entry]


class Summary(NamedTuple):
    """All entries of a period, to be gone through once; who begins with the stretches may find the totals added up.

    `totals` are of those that are alike, `stretches` lie between each two of the bounds that were given. `apart` are
    the entries that are in no total, for who does not ask what the stretches cost. Money is in nano-dollars.
    """

    totals: Iterator[Total]
    stretches: Iterator[Stretch]
    apart: Iterator[Entry]


class Pending(NamedTuple):
    """What calls hold that were not settled, in nano-dollars; `lapsed` of them belong to processes that are gone."""

    calls: int = 0
    usd: int = 0
    lapsed_calls: int = 0
    lapsed_usd: int = 0
