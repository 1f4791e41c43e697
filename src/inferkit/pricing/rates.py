"""What tokens cost as integers: rates, by the size of a request's input and by the time.

Amounts are nano-dollars per million tokens, so that a cost is one integer sum, rounded up once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.usage import NO_DETAILS
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from fractions import Fraction

    from inferkit.core.usage import Usage, UsageDetails

__all__ = ["NOT_APART", "Apart", "Rates", "Schedule", "Since", "Tariff"]

_MILLION = 1_000_000
_OF_TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")
_A_CALL = timedelta(hours=1)  # a price may change between the reservation and the bill


class Apart(NamedTuple):
    """Rates of what few models have, in nano-dollars per million tokens; `server_tools` in nano-dollars a request.

    Writes to the cache that live for one hour or for twelve, and audio and images in the output, which no provider
    gives at the price of text, have no known price where there is None; nor has a kind of request that is not listed.
    Audio and images in the input cost as much as other input then.
    """

    cache_write_1h: int | None = None
    cache_write_12h: int | None = None
    input_audio: int | None = None
    input_image: int | None = None
    cache_read_audio: int | None = None
    cache_read_image: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    server_tools: tuple[tuple[str, int], ...] = ()


NOT_APART = Apart()


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind, and nano-dollars a request."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int = 0
    apart: Apart = NOT_APART
    dearest_input: int = field(init=False, repr=False, compare=False)
    dearest_output: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dearest_input", max(self.input, self.cache_read, self.cache_write))
        object.__setattr__(self, "dearest_output", max(self.output, self.reasoning))

    def times(self, factor: Fraction) -> Rates:
        """Give the same with tokens at so many times their price."""
        *apart, tools = self.apart
        plain = {name: ceil(getattr(self, name) * factor) for name in _OF_TOKENS}
        more = Apart._make((*(None if rate is None else ceil(rate * factor) for rate in apart), tools))
        return replace(self, **plain, apart=more)

    def cost(self, usage: Usage) -> int | None:
        """Nano-dollars for this usage, rounded up; None where part of it has no known price.

        Cached and reasoning tokens are part of the totals.
        """
        read, write, reasoning = usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        total = max(0, usage.input_tokens - read - write) * self.input
        if read or write:
            total += read * self.cache_read + write * self.cache_write
        total += max(0, usage.output_tokens - reasoning) * self.output + reasoning * self.reasoning
        if usage.details is NO_DETAILS:
            return -(-total // _MILLION) + self.request
        more, tools = self._more_for(usage.details), self._tools(usage.details)
        return None if more is None or tools is None else -(-max(0, total + more) // _MILLION) + self.request + tools

    def _more_for(self, details: UsageDetails) -> int | None:
        """Say what the tokens of a usage that are priced apart cost beyond what others of their side cost."""
        apart, more = self.apart, 0
        for tokens, rate, other in (
            (details.input_audio_tokens, apart.input_audio, self.input),
            (details.input_image_tokens, apart.input_image, self.input),
            (details.cache_read_audio_tokens, apart.cache_read_audio, self.cache_read),
            (details.cache_read_image_tokens, apart.cache_read_image, self.cache_read),
        ):
            if tokens and rate is not None:
                more += tokens * (rate - other)
        for tokens, rate, other in (
            (details.cache_write_1h_tokens, apart.cache_write_1h, self.cache_write),
            (details.cache_write_12h_tokens, apart.cache_write_12h, self.cache_write),
            (details.output_audio_tokens, apart.output_audio, self.output),
            (details.output_image_tokens, apart.output_image, self.output),
        ):
            if tokens and rate is None:
                return None
            more += tokens * ((rate or 0) - other) if tokens else 0
        return more

    def _tools(self, details: UsageDetails) -> int | None:
        total, listed = 0, dict(self.apart.server_tools)
        for kind, requests in details.server_tools:
            if requests and kind not in listed:
                return None
            total += requests * listed.get(kind, 0)
        return total

    def with_kinds(self, kinds: Collection[str]) -> Rates | None:
        """Give the same rates with bounds that cover these kinds of tokens too; None where one has no known price.

        The kinds are names of `Apart`.
        """
        new = replace(self)
        for kind in kinds:
            rate = getattr(self.apart, kind)
            if rate is None:
                if kind.startswith(("cache_write", "output")):
                    return None
                continue
            side = "dearest_output" if kind.startswith("output") else "dearest_input"
            object.__setattr__(new, side, max(rate, getattr(new, side)))
        return new

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
    or_else: tuple[Schedule, ...] = ()  # what a request may be billed by instead: counts in bounds alone

    @property
    def flat(self) -> Rates | None:
        """The rates, where they depend neither on size nor on time."""
        first = self.tariffs[0]
        return first.tiers[0][1] if len(self.tariffs) == len(first.tiers) == 1 and not self.or_else else None

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
        found = [rates for tariff in tariffs for start, rates in tariff.tiers if input_tokens > start]
        return (*found, *(rates for other in self.or_else for rates in other.possible(input_tokens, at)))

    def times(self, factor: Fraction) -> Schedule:
        """Give the same with tokens at so many times their price."""
        tariffs = [
            Tariff(each.applies, tuple([(start, rates.times(factor)) for start, rates in each.tiers]))
            for each in self.tariffs
        ]
        return Schedule(tuple(tariffs), tuple([other.times(factor) for other in self.or_else]))

    def with_kinds(self, kinds: Collection[str]) -> Schedule | None:
        """Give the same with bounds that cover these kinds of tokens too; None where one has no known price."""
        tariffs = []
        for tariff in self.tariffs:
            tiers = [(start, rates.with_kinds(kinds)) for start, rates in tariff.tiers]
            known = tuple([(start, rates) for start, rates in tiers if rates is not None])
            if len(known) < len(tiers):
                return None
            tariffs.append(Tariff(tariff.applies, known))
        return Schedule(tuple(tariffs), self.or_else)
