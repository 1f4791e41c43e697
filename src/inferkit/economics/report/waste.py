"""What was saved and what was wasted in a period."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferkit.core.attempt import LEFT
from inferkit.core.usage import Usage
from inferkit.ledger.journal import GONE_ON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inferkit.economics.report.calls import Fate
    from inferkit.ledger.journal import Charge, Entry, Part, Tally
    from inferkit.ledger.summary import Total
    from inferkit.pricing.prices import Price

__all__ = ["Reported", "Savings", "Subtotal", "Waste", "saved_by_tallies"]

_CUT = ("length", "budget")


@dataclass(slots=True)
class Subtotal:
    """So many calls, or attempts, and so many nano-dollars."""

    calls: int = 0
    usd: int = 0

    def add(self, calls: int, usd: int) -> None:
        """Add to both."""
        self.calls += calls
        self.usd += usd


@dataclass(slots=True)
class Reported:
    """What providers themselves say that calls cost, and what was booked for these; money in nano-dollars."""

    calls: int = 0
    usd: int = 0
    booked: int = 0

    def add(self, calls: int, usd: int, booked: int) -> None:
        """Add to all three."""
        self.calls += calls
        self.usd += usd
        self.booked += booked


@dataclass(slots=True)
class Waste:
    """What was paid for and not used, or not used as it was meant to be.

    - `failed_attempts`: attempts that failed before another one served the reply.
    - `lost_hedges`: attempts that another one was faster than.
    - `repaired_replies`: replies that were no valid object, after which the model was asked again.
    - `abandoned_streams`: calls whose reader left before the end.
    - `broken_streams`: calls that failed after something had been paid for.
    - `truncated_replies`: replies that ended at `max_output_tokens` or at a budget.
    - `died`: calls whose process died; at the amount that was held for them.

    What a call gave in several parts, since its stream broke and was gone on with or a local model ended it, is none.
    """

    failed_attempts: Subtotal = field(default_factory=Subtotal)
    lost_hedges: Subtotal = field(default_factory=Subtotal)
    repaired_replies: Subtotal = field(default_factory=Subtotal)
    abandoned_streams: Subtotal = field(default_factory=Subtotal)
    broken_streams: Subtotal = field(default_factory=Subtotal)
    truncated_replies: Subtotal = field(default_factory=Subtotal)
    died: Subtotal = field(default_factory=Subtotal)

    def add(self, entry: Entry, served: Charge | Part, fates: Sequence[Fate]) -> None:
        """Sort the cost of a call, of which one attempt `served` what the caller got, by what became of each."""
        if entry.kind == "expired":
            self.died.add(entry.calls, entry.charge.usd or 0)
            return
        charge, given = entry.charge, served.usd or 0
        for part, fate in zip(charge.parts, fates, strict=True):
            if fate == "given":
                given += (part.usd or 0) if part.outcome == GONE_ON else 0
            elif fate != "escalated":
                self._of(fate).add(1, part.usd or 0)
        self._end(charge.finish_reason, charge.outcome, entry.calls, given)

    def _of(self, fate: Fate) -> Subtotal:
        if fate == "failed":
            return self.failed_attempts
        return self.lost_hedges if fate == "lost" else self.repaired_replies

    def add_total(self, total: Total) -> None:
        """Sort the cost of calls that are alike."""
        self._end(total.finish_reason, total.outcome, total.calls, total.usd)

    def _end(self, finish_reason: str | None, outcome: str | None, calls: int, usd: int) -> None:
        if finish_reason in _CUT:
            self.truncated_replies.add(calls, usd)
        elif outcome in LEFT:
            self.abandoned_streams.add(calls, usd)
        elif outcome == "error":
            self.broken_streams.add(calls, usd)

    @property
    def kinds(self) -> dict[str, Subtotal]:
        """All of it, by its name for people."""
        return {name.replace("_", " "): getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def usd(self) -> int:
        """All of it, in nano-dollars."""
        return sum(subtotal.usd for subtotal in self.kinds.values())


@dataclass(slots=True)
class Savings:
    """What calls would have cost without these.

    - `cache`: replies from the cache, at what they had cost. `coalesced`: replies shared with an identical call.
    - `prompt_cache`: the provider's prompt cache; below zero where writing to it cost more than reading saved.
    - `routing`: calls served by a cheaper model than the dearest that stands behind the name. `degraded`: calls taken
      to a smaller model by a budget. `escalated`: replies of a smaller model that were not good enough, so that a
      larger one was asked; what they cost is taken off.
    - `local_models`: calls served on this machine, at the price of the dearest model behind the name, or else at
      `baseline`.
    """

    cache: Subtotal = field(default_factory=Subtotal)
    coalesced: Subtotal = field(default_factory=Subtotal)
    prompt_cache: Subtotal = field(default_factory=Subtotal)
    routing: Subtotal = field(default_factory=Subtotal)
    escalated: Subtotal = field(default_factory=Subtotal)
    degraded: Subtotal = field(default_factory=Subtotal)
    local_models: Subtotal = field(default_factory=Subtotal)
    baseline: Price | None = None

    def add(self, entry: Entry, served: Charge | Part, fates: Sequence[Fate]) -> None:
        """Add what a call of several attempts saved, one of which `served`, by what became of each."""
        self._add(entry.charge, served, entry.calls)
        if "escalated" in fates:
            for part, fate in zip(entry.charge.parts, fates, strict=True):
                if fate == "escalated":
                    self.escalated.add(1, -(part.usd or 0))

    def add_total(self, total: Total) -> None:
        """Add what calls that are alike saved."""
        self._add(total, total, total.calls)

    def _add(self, call: Charge | Total, served: Charge | Part | Total, calls: int) -> None:
        if call.prompt_cache_saved:
            self.prompt_cache.add(calls, call.prompt_cache_saved)
        saved = call.routing_saved
        if call.provider == "local":
            if not saved and self.baseline is not None:
                saved = _cost_of(self.baseline, calls, served) - (served.usd or 0)
            kind = self.degraded if call.degraded else self.local_models
            kind.add(calls, saved)
        elif saved:
            kind = self.degraded if call.degraded else self.routing
            kind.add(calls, saved)

    @property
    def kinds(self) -> dict[str, Subtotal]:
        """All of it, by its name for people."""
        names = ("cache", "coalesced", "prompt_cache", "routing", "escalated", "degraded", "local_models")
        return {name.replace("_", " "): getattr(self, name) for name in names}

    @property
    def usd(self) -> int:
        """All of it, in nano-dollars."""
        return sum(subtotal.usd for subtotal in self.kinds.values())


def _cost_of(price: Price, calls: int, served: Charge | Part | Total) -> int:
    """Price calls together; by the size of the average one, where a price depends on that."""
    rates = price.rates(served.input_tokens // max(1, abs(calls)))
    cost = rates.cost(Usage(served.input_tokens, served.output_tokens)) or 0
    return cost + (calls - 1) * rates.request


def saved_by_tallies(tallies: Iterable[Tally], savings: Savings) -> tuple[Savings, dict[str, int]]:
    """Add what the cache saved, and count the refused calls by the budget that did not cover them."""
    refused: dict[str, int] = {}
    for tally in tallies:
        if tally.kind == "refused":
            refused[tally.scope] = refused.get(tally.scope, 0) + tally.calls
        else:
            kind = savings.cache if tally.kind == "hit" else savings.coalesced
            kind.add(tally.calls, tally.usd)
    return savings, dict(sorted(refused.items(), key=lambda each: -each[1]))
