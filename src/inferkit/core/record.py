"""What has happened to one call so far: the facts that layers leave for each other and for the caller.

The request is frozen; this is the one thing about a call that grows. It is written by the layers of that call alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from os import urandom
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.chunks import Usage

__all__ = ["Attempt", "AttemptKind", "CacheResult", "CallRecord", "Event", "Outcome"]

AttemptKind = Literal["primary", "retry", "fallback", "hedge"]
CacheResult = Literal["hit", "coalesced", "miss", "bypass"]
Outcome = Literal["completed", "closed", "cancelled", "abandoned", "error"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent to one model, and what came of it.

    `kind` is what the retry layer called it, or "hedge" for one that was started while another of the call was running.
    `cost_nanos` is in nano-dollars; None where the model has no known price. `seconds` is the time from sending to
    the end, `first_chunk_seconds` to the first chunk. `error` is the type of the error, never its text. `saved_nanos`
    is what the provider's prompt cache saved, below zero where writing to it cost more.
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
    error: str | None = None
    finish_reason: str | None = None
    saved_nanos: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something a layer decided, for the trace: `time_ns` is since the epoch."""

    time_ns: int
    name: str
    attributes: Mapping[str, Any]


def _new_id() -> str:
    """Give an id that sorts by time, so that the ledger's index grows at one end: milliseconds, then chance."""
    return (int(time.time() * 1000).to_bytes(6, "big") + urandom(8)).hex()


@dataclass(slots=True)
class CallRecord:
    """The facts of one call.

    `id` identifies the call in the ledger and in traces. `attempts` holds those that ended, `running` what each of
    those in flight may cost at most (nano-dollars, tokens; zero where nothing is held for it). `provider` and `model`
    name what served the reply. `plan` is the name of the plan that the call is under, `key` the outermost key of
    the budgeted functions around it, which reports take for a user where nobody says who that is. `hold` is the budget
    layer's reservation while there is one, `clamped` says that it lowered the output tokens, `degraded` names the
    budget (its account) that took the call to a smaller model. `saved_nanos` is what a cache hit would have cost.
    """

    id: str = field(default_factory=_new_id)
    attempts: list[Attempt] = field(default_factory=list)
    running: dict[Any, tuple[int, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    provider: str = ""
    model: str = ""
    cache: CacheResult | None = None
    cache_tier: str | None = None
    saved_nanos: int = 0
    plan: str | None = None
    key: str | None = None
    hold: Any = None
    clamped: bool = False
    degraded: str | None = None
    trace_id: str | None = None
    attempt_spans: list[Any] = field(default_factory=list)

    def note(self, name: str, /, **attributes: Any) -> None:
        """Leave an event for the trace."""
        self.events.append(Event(time.time_ns(), name, attributes))

    @property
    def served(self) -> Attempt | None:
        """The attempt that gave the reply: the last that ran to its end, since lost hedges may end after it."""
        completed = (attempt for attempt in reversed(self.attempts) if attempt.outcome == "completed")
        return next(completed, self.attempts[-1] if self.attempts else None)

    @property
    def cost_nanos(self) -> int | None:
        """What all attempts cost together, in nano-dollars; None if one of them has no known price."""
        total = 0
        for attempt in self.attempts:
            if attempt.cost_nanos is None:
                return None
            total += attempt.cost_nanos
        return total
