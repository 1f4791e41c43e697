"""How a model stands, and what changes of that: values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.resilience.breaker import BreakerState

__all__ = ["HealthNews", "ModelHealth"]


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """How one model stands, as of when it was asked: `name` is its `provider:model`.

    `seconds_left` is how long it is left alone for yet, because its `circuit` is open or because it asked for time
    (`paused`); `retries_left` how often it may be asked again before others have asked it for the first time, None
    while nothing limits that. `failures` counts those since it last worked.

    Of its limits, those that the application states and the provider's own: how many calls are `waiting` for their
    turn and how many are `running`, counted where `concurrent` limits them, which is how many may at present; `left`
    is what the provider has left, by "requests", "tokens", "input_tokens" and "output_tokens", as far as it tells.

    `told` is what of this other processes told, on whose ledger this one is, too: "circuit", "pause", "limits", and
    "speed" where what they measured is counted in.
    """

    name: str
    circuit: BreakerState = "closed"
    paused: bool = False
    seconds_left: float = 0.0
    retries_left: int | None = None
    failures: int = 0
    last_error: str | None = None
    waiting: int = 0
    running: int = 0
    concurrent: float | None = None
    left: Mapping[str, float] = field(default_factory=dict)
    told: tuple[str, ...] = ()

    @property
    def is_asked(self) -> bool:
        """Whether a call would be sent to it now."""
        return not self.paused and self.circuit != "open"


class HealthNews(NamedTuple):
    """What changed of how a model stands: its circuit opened until an instant, or closed (None), or it asked for time.

    `trips` is how often in a row its circuit has opened. A `circuit` that did not change is not spoken of (False).
    """

    now: float
    circuit: bool = False
    opens_until: float | None = None
    trips: int = 0
    error: str | None = None
    paused_until: float = 0.0
