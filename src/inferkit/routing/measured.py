"""What was measured of models: how soon they answer, how fast they write and how much, and how often they fail.

What is older counts for less, so that a model which has changed is soon known for what it is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.core.attempt import Attempt

__all__ = ["Measured", "Measurement"]

_MOST_MODELS = 256  # names that come from outside must not fill the memory


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is known of one model; None where nothing is.

    `first_chunk` and `seconds_a_token` are in seconds, `output_tokens` how many a reply has, reasoning included, and
    `failing` the share of attempts that failed (0 to 1). `calls` is how many attempts that rests on, old ones for less.
    """

    first_chunk: float | None = None
    seconds_a_token: float | None = None
    output_tokens: float | None = None
    failing: float = 0.0
    calls: float = 0.0

    def seconds(self, output_tokens: float) -> float | None:
        """Give the seconds that a reply with so many tokens is likely to take; None where nothing was measured."""
        if self.first_chunk is None:
            return None
        return self.first_chunk + output_tokens * (self.seconds_a_token or 0.0)


class _Mean:
    __slots__ = ("total", "weight")

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight > 0 else None

    def fade(self, left: float) -> None:
        self.total *= left
        self.weight *= left

    def add(self, value: float) -> None:
        self.total += value
        self.weight += 1.0


class _Model:
    __slots__ = ("at", "failing", "first", "output", "pace")

    def __init__(self) -> None:
        self.at = 0.0
        self.first, self.pace, self.output, self.failing = _Mean(), _Mean(), _Mean(), _Mean()


class Measured:
    """Keeps what was measured, by `provider:model`. What is `memory` seconds old counts half. Safe from any thread."""

    def __init__(self, memory: float = 300.0) -> None:
        self._memory = memory
        self._models: dict[str, _Model] = {}
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def learn(self, attempt: Attempt, now: float) -> None:
        """Take in an attempt that ended at an instant of a clock that never goes back.

        One that its caller left says nothing of how often the model fails, but what came of it was measured.
        """
        name = attempt.name
        with self._lock:
            model = self._models.get(name)
            if model is None:
                if len(self._models) >= _MOST_MODELS:
                    self._models.pop(next(iter(self._models)))
                model = self._models[name] = _Model()
            left = 0.5 ** (max(0.0, now - model.at) / self._memory)
            model.at = now
            for mean in (model.first, model.pace, model.output, model.failing):
                mean.fade(left)
            if attempt.outcome in ("completed", "error"):
                model.failing.add(attempt.outcome == "error")
            first = attempt.first_chunk_seconds
            if first is None:
                return
            model.first.add(first)
            written = attempt.usage.output_tokens
            if attempt.outcome != "completed" or written <= 0:
                return
            model.output.add(written)
            if attempt.chunks > 1:
                model.pace.add(max(0.0, attempt.seconds - first) / written)

    def of(self, name: str) -> Measurement:
        """Give what is known of a model."""
        with self._lock:
            model = self._models.get(name)
            if model is None:
                return Measurement()
            return Measurement(
                model.first.value,
                model.pace.value,
                model.output.value,
                model.failing.value or 0.0,
                model.failing.weight,
            )

    def age(self, name: str, now: float) -> float:
        """Give the seconds since a model was last measured; infinity where it never was."""
        with self._lock:
            model = self._models.get(name)
            return float("inf") if model is None else now - model.at
