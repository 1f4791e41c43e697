"""One request that was sent to one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from inferkit.core.usage import Usage

__all__ = ["Attempt", "AttemptKind", "Outcome"]

AttemptKind = Literal["primary", "retry", "fallback", "hedge", "repair", "escalation", "continuation"]
Outcome = Literal["completed", "closed", "cancelled", "abandoned", "error"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent to one model, and what came of it.

    `kind` is what the retry layer called it, or "hedge" for one that was started while another of the call was running;
    a "repair" asks again where the reply was no valid object, an "escalation" asks a larger model where the reply of a
    smaller one was not good enough, and a "continuation" goes on with a stream that broke.
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

    @property
    def name(self) -> str:
        """The `provider:model` form of what it was sent to, as `Target` has it."""
        return f"{self.provider}:{self.model}" if self.model else self.provider
