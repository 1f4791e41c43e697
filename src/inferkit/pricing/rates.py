"""What tokens cost as integers: rates, by the size of a request's input and by the time.

Amounts are nano-dollars per million tokens, so that a cost is one integer sum, rounded up once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.usage import Usage

__all__ = ["Rates", "Schedule", "Since", "Tariff"]

_MILLION = 1_000_000
_A_CALL = timedelta(hours=1)  # a price may change between the reservation and the bill


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind, and nano-dollars a request."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int = 0
    dearest_input: int = field(init=False, repr=False, compare=False)
    dearest_output: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dearest_input", max(self.input, self.cache_read, self.cache_write))
        object.__setattr__(self, "dearest_output", max(self.output, self.reasoning))

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for this usage, rounded up. Cached and reasoning tokens are part of the totals."""
        read, write, reasoning = usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        total = max(0, usage.input_tokens - read - write) * self.input
        if read or write:
            total += read * self.cache_read + write * self.cache_write
        total += max(0, usage.output_tokens - reasoning) * self.output + reasoning * self.reasoning
        return -(-total // _MILLION) + self.request

    def upper_bound(self, input_tokens: int, output_tokens: int) -> int:
        """Nano-dollars that a request of at most this many tokens can cost, of whatever kind they are."""
        total = input_tokens * self.dearest_input + output_tokens * self.dearest_output
        return -(-total // _MILLION) + self.request

    def affordable_output(self, input_tokens: int, nanos: int) -> int | None:
        """How many output tokens `nanos` buys after the input: negative if not even that, None if output is free."""
        left = (nanos - self.request) * _MILLION - input_tokens * self.dearest_input
        if left < 0:
            return -1
        dearest = self.dearest_output
        return left // dearest if dearest else None

    @property
    def reasoning_is_dearer(self) -> bool:
        """Whether a reasoning token costs more than another one of output."""
        return self.reasoning > self.output


@dataclass(frozen=True, slots=True)
class Since:
    """Applies from an instant on."""

    instant: datetime

    def __call__(self, at: datetime) -> bool:
        """Whether it applies at an instant."""
        return at >= self.instant


@dataclass(frozen=True, slots=True)
class Tariff:
    """Rates by size of the input, ascending: those of the last entry whose start the input exceeds apply to all.

    `applies` says when it is in force; None: always.
    """

    applies: Callable[[datetime], bool] | None
    tiers: tuple[tuple[int, Rates], ...]

    def rates(self, input_tokens: int) -> Rates:
        """Give the rates of a request with this much input."""
        for start, rates in reversed(self.tiers):
            if input_tokens > start:
                return rates
        return self.tiers[0][1]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Tariffs, of which the last that applies is in force, or else the first. Instants are aware; None is now."""

    tariffs: tuple[Tariff, ...]

    @property
    def flat(self) -> Rates | None:
        """The rates, where they depend neither on size nor on time."""
        first = self.tariffs[0]
        return first.tiers[0][1] if len(self.tariffs) == len(first.tiers) == 1 else None

    def current(self, at: datetime | None = None) -> Tariff:
        """Give the tariff in force at an instant."""
        if len(self.tariffs) == 1:
            return self.tariffs[0]
        at = at or datetime.fromtimestamp(clock.time(), UTC)
        for tariff in reversed(self.tariffs):
            if tariff.applies is None or tariff.applies(at):
                return tariff
        return self.tariffs[0]

    def possible(self, input_tokens: int, at: datetime | None = None) -> tuple[Rates, ...]:
        """Give every rate that a request with at most this much input, sent now, may come to be billed at.

        Smaller tiers count too: a dearer rate may lie below the one that the bound falls into. So does each change
        within the hour.
        """
        tariffs = [self.current(at)]
        if len(self.tariffs) > 1:
            at = at or datetime.fromtimestamp(clock.time(), UTC)
            last = at + _A_CALL
            starts = (each.applies.instant for each in self.tariffs if isinstance(each.applies, Since))
            tariffs += [self.current(moment) for moment in (*(start for start in starts if at < start < last), last)]
        return tuple(rates for tariff in tariffs for start, rates in tariff.tiers if input_tokens > start)
