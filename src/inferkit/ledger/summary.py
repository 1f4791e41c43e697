"""What a period's calls come to, for a store that adds them up itself: sums of what is alike, and the few others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inferkit.ledger.journal import NOBODY, Attribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.ledger.journal import Entry

__all__ = ["ModelName", "Pending", "Summary", "Total"]

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


class Summary(NamedTuple):
    """All entries of a period, to be gone through once and in this order.

    `totals` are of those that are alike. `spent` is what they cost by model, in nano-dollars, between each two of the
    bounds that were given. `apart` are the other entries.
    """

    totals: Iterator[Total]
    spent: Iterator[dict[ModelName, int]]
    apart: Iterator[Entry]


class Pending(NamedTuple):
    """What calls hold that were not settled, in nano-dollars; `lapsed` of them belong to processes that are gone."""

    calls: int = 0
    usd: int = 0
    lapsed_calls: int = 0
    lapsed_usd: int = 0
