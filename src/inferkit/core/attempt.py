"""One request that was sent to one model."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol

from inferkit.core.shown import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from inferkit.core.usage import Usage

__all__ = ["LEFT", "Attempt", "AttemptKind", "Outcome", "Tried", "gave_the_reply"]

AttemptKind = Literal["primary", "retry", "fallback", "hedge", "repair", "escalation", "continuation", "landing"]
Outcome = Literal["completed", "closed", "cancelled", "abandoned", "error"]
LEFT = ("closed", "cancelled", "abandoned")
"""The outcomes of what somebody did not wait for."""


@dataclass(frozen=True, slots=True, repr=False)
class Attempt:
    """One request that was sent to one model, and what came of it.

    `kind` is what the retry layer called it, or "hedge" for one that was started while another of the call was running;
    a "repair" asks again where the reply was no valid object, an "escalation" asks a larger model where the reply of a
    smaller one was not good enough, a "continuation" goes on with a stream that broke, and a "landing" ends a reply
    that its budget cut.
    `chunks` is how many came of its reply. `cost_nanos` is in nano-dollars; None where the model has no known price.
    `seconds` is the time from sending to the end, `first_chunk_seconds` to the first chunk. `error` is the type of the
    error, never its text. `saved_nanos` is what the provider's prompt cache saved, below zero where writing to it cost
    more. `max_output_tokens` is what it was allowed to write, at the price of its model.
    """

    number: int
    kind: AttemptKind
    provider: str
    model: str
    outcome: Outcome
    usage: Usage
    cost_nanos: int | None
    price_source: str | None
    seconds: float
    first_chunk_seconds: float | None = None
    chunks: int = 0
    error: str | None = None
    finish_reason: str | None = None
    saved_nanos: int = 0
    max_output_tokens: int | None = None

    def __repr__(self) -> str:
        """Say what was asked and what came of it."""
        cost = None if self.cost_nanos is None else f"${Decimal(self.cost_nanos).scaleb(-9).normalize():f}"
        return shown(
            self, self.number, self.kind, self.name, self.outcome, error=self.error, finish_reason=self.finish_reason,
            input_tokens=self.usage.input_tokens, output_tokens=self.usage.output_tokens, cost=cost,
            seconds=round(self.seconds, 4),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The `provider:model` form of what it was sent to, as `Target` has it."""
        return f"{self.provider}:{self.model}" if self.model else self.provider


class Tried(Protocol):
    """What tells attempts of a call apart, while it runs and in the ledger."""

    @property
    def kind(self) -> str:
        """See `Attempt`."""

    @property
    def provider(self) -> str:
        """See `Attempt`."""

    @property
    def model(self) -> str:
        """See `Attempt`."""

    @property
    def outcome(self) -> str:
        """See `Attempt`."""


def gave_the_reply(attempts: Sequence[Tried], served: tuple[str | None, str | None], gone_on: Collection[int]) -> int:
    """Give the index of the attempt that gave the reply; 0 where there is none.

    It is the last that ran to its end, since lost hedges may end after it; of the model that `served` the call
    (provider and model) where one of its did. What was asked for anew after that, by a repair or an escalation, is
    it instead where its reader left, or where it was the one that served. Where none ran to its end, it is the last, or
    the one that broke before a continuation failed; `gone_on` are the indices of those that another one went on from.
    One that landed the reply of another gave none.
    """
    for end in attempts[-1:]:
        if end.outcome == "completed" and end.kind != "landing" and (end.provider, end.model) == served:
            return len(attempts) - 1  # as it mostly is
    given = [index for index, each in enumerate(attempts) if each.kind != "landing"]
    own = [index for index in given if (attempts[index].provider, attempts[index].model) == served]
    completed = [index for index in given if attempts[index].outcome == "completed"]
    if completed:
        last = max(set(own).intersection(completed), default=completed[-1])
        anew = next((index for index in given if index > last and attempts[index].kind in _ANEW), len(attempts))
        instead = [
            index for index in own if index >= anew and (attempts[index].outcome in LEFT or last not in own)
        ]  # fmt: skip
        return [last, *instead][-1]
    own = own or given
    if not gone_on:
        own = [index for index in own if attempts[index].kind != "continuation"] or own
    return [0, *own][-1]


_ANEW = ("repair", "escalation")
