"""What was measured of models: how soon they answer, how fast they write and how much, and how often they fail.

What is older counts for less, so that a model which has changed is soon known for what it is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.attempt import Attempt

__all__ = ["Measured", "MeasuredSums", "Measurement"]

_MOST_MODELS = 256  # names that come from outside must not fill the memory
_MOST_TELLERS = 64
_AMOUNTS = 8


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

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total = total
        self.weight = weight

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight > 0 else None

    def fade(self, left: float) -> None:
        self.total *= left
        self.weight *= left

    def add(self, value: float) -> None:
        self.total += value
        self.weight += 1.0


class MeasuredSums(NamedTuple):
    """What was measured of one model as of an instant: total and weight of its first chunks, pace, output, failures."""

    at: float
    amounts: tuple[float, ...]

    def as_of(self, at: float, memory: float) -> tuple[float, ...]:
        """Give the amounts at a later instant, when they count for less."""
        left = 0.5 ** (max(0.0, at - self.at) / memory)
        return tuple(each * left for each in self.amounts)


class _Model:
    __slots__ = ("at", "failing", "first", "output", "pace")

    def __init__(self, sums: MeasuredSums | None = None) -> None:
        at, amounts = sums or (0.0, (0.0,) * _AMOUNTS)
        self.at = at
        means = [_Mean(*amounts[place : place + 2]) for place in range(0, _AMOUNTS, 2)]
        self.first, self.pace, self.output, self.failing = means

    @property
    def sums(self) -> MeasuredSums:
        means = (self.first, self.pace, self.output, self.failing)
        return MeasuredSums(self.at, tuple(part for mean in means for part in (mean.total, mean.weight)))


def _together(all_of_them: Iterable[MeasuredSums], memory: float) -> MeasuredSums:
    """Add up what several have measured."""
    each = list(all_of_them)
    at = max(one.at for one in each)
    return MeasuredSums(at, tuple(map(sum, zip(*[one.as_of(at, memory) for one in each], strict=True))))


class Measured:
    """Keeps what was measured, by `provider:model`. What is `memory` seconds old counts half. Safe from any thread.

    What other processes have measured is counted in, where they tell.
    """

    def __init__(self, memory: float = 300.0) -> None:
        self.memory = memory
        self._models: dict[str, _Model] = {}
        self._told: dict[str, dict[str, MeasuredSums]] = {}
        self._others: dict[str, _Model] = {}
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
            left = 0.5 ** (max(0.0, now - model.at) / self.memory)
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
            model, others = self._models.get(name), self._others.get(name)
            if model is None:
                model = others
            elif others is not None:
                model = _Model(_together((model.sums, others.sums), self.memory))
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
            known = [each.at for each in (self._models.get(name), self._others.get(name)) if each is not None]
        return now - max(known) if known else float("inf")

    def own(self) -> dict[str, MeasuredSums]:
        """Give what was measured here, by model."""
        with self._lock:
            return {name: model.sums for name, model in self._models.items()}

    def hear(self, name: str, teller: str, told: MeasuredSums) -> None:
        """Take in what another process has measured of a model, in place of what it told before."""
        with self._lock:
            if name not in self._told and len(self._told) >= _MOST_MODELS:
                oldest = next(iter(self._told))
                del self._told[oldest], self._others[oldest]
            tellers = self._told.setdefault(name, {})
            tellers.pop(teller, None)
            if len(tellers) >= _MOST_TELLERS:
                del tellers[min(tellers, key=lambda one: tellers[one].at)]
            tellers[teller] = told
            self._others[name] = _Model(_together(tellers.values(), self.memory))

    def is_told(self, name: str) -> bool:
        """Whether others have measured a model, too."""
        return name in self._told

    def part_from(self, teller: str) -> None:
        """Take what was measured here for another's, which tells of it itself: the parent's of a forked child."""
        own = self.own()
        with self._lock:
            self._models = {}
        for name, sums in own.items():
            self.hear(name, teller, sums)
