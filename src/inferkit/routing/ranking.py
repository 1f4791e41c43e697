"""Policies that put candidates in order: by chance, price, speed, all of it weighed, or by whose cache is warm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import NANOS_PER_USD
from inferkit.core.usage import Usage
from inferkit.pricing.likely import LikelyTokens
from inferkit.routing.chance import chance
from inferkit.routing.measured import Measured
from inferkit.routing.policy import Ranking
from inferkit.routing.prefixes import Prefixes

if TYPE_CHECKING:
    from inferkit.core.attempt import Attempt
    from inferkit.core.request import Request, Target

__all__ = ["Best", "Cheapest", "Fastest", "Sticky", "Weighted"]

_A_REPLY = 300.0  # tokens, as long as no reply was measured
_UNKNOWN = math.inf


class Weighted(Ranking):
    """Asks each candidate first in as many of all calls as its weight is of all weights; the others follow by chance.

    `weights` are by `provider:model` name; one that is not listed, or has the weight 0, goes last.
    """

    name = "weighted"

    def __init__(self, weights: Mapping[str, float]) -> None:
        numbers = isinstance(weights, Mapping) and all(
            isinstance(weight, int | float) and 0 <= weight < math.inf for weight in weights.values()
        )
        if not numbers or not any(weights.values()):
            raise ConfigurationError(
                'Weighted takes a weight of 0 or more for each model: Weighted({"openai:gpt-5-mini": 9, "local": 1})'
            )
        self._weights = dict(weights)

    def rank(self, request: Request, target: Target) -> float:
        """See `Ranking`. Exponential clocks: of several, each rings first as often as its rate is of all rates."""
        weight = self._weights.get(target.name, 0.0)
        return -math.log(chance(request, f"weighted {target.name}")) / weight if weight else _UNKNOWN

    def tells(self, request: Request, target: Target) -> str:
        """See `Ranking`."""
        return f"weight {self._weights.get(target.name, 0.0):g}, drawn {self.rank(request, target):.3g}"


class _ByMeasure(Ranking):
    """What goes by measurements. Once in a while (`explore`) it asks first who was not measured for longest."""

    def __init__(self, *, memory: float = 300.0, explore: float = 0.02) -> None:
        if not 0 <= explore <= 1 or memory <= 0:
            raise ConfigurationError("explore is a share of calls, from 0 to 1, and memory is in seconds, above 0")
        self.measured = Measured(memory)
        self._likely = LikelyTokens()
        self._explore = explore

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`."""
        self.measured.learn(attempt, request.runtime.now())

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        plan = super().plan(request)
        if len(plan) > 1 and self._explore and chance(request, f"explore {self.name}") < self._explore:
            now = request.runtime.now()
            oldest = max(plan, key=lambda target: self.measured.age(target.name, now))
            plan = (oldest, *(target for target in plan if target is not oldest))
        return plan

    def _output(self, request: Request, target: Target) -> float:
        """How many tokens the reply of a candidate is likely to have: as its replies had, reasoning included."""
        output = self.measured.of(target.name).output_tokens
        if output is None:
            known = [self.measured.of(other.name).output_tokens for other in request.candidates]
            found = [each for each in known if each is not None]
            output = sum(found) / len(found) if found else _A_REPLY
        return output if request.max_output_tokens is None else min(output, request.max_output_tokens)

    def _cost(self, request: Request, target: Target, cached: float) -> float:
        """The likely cost of a candidate in dollars; infinity where it has no known price."""
        if target.price is None:
            return _UNKNOWN
        tokens = self._likely.input(request)
        usage = Usage(tokens, math.ceil(self._output(request, target)), cache_read_tokens=int(tokens * cached))
        cost = target.price.cost(usage)
        return _UNKNOWN if cost is None else cost / NANOS_PER_USD


class Cheapest(_ByMeasure):
    """Asks first who is likely to cost least: its price, for this prompt, and a reply as long as its replies are.

    So a cheap model that writes four times as much is not taken for cheap. A provider that has the beginning of the
    prompt in its cache is counted with what that saves, so a switch is made where it pays. Models without a known price
    go last.
    """

    name = "cheapest"

    def __init__(self, *, memory: float = 300.0, explore: float = 0.02, warm_for: float = 300.0) -> None:
        super().__init__(memory=memory, explore=explore)
        self._prefixes = Prefixes(warm_for)

    def rank(self, request: Request, target: Target) -> float:
        """See `Ranking`."""
        return self._cost(request, target, self._prefixes.warm_share(request, target.name))

    def tells(self, request: Request, target: Target) -> str:
        """See `Ranking`."""
        cost = self.rank(request, target)
        return "no known price" if cost == _UNKNOWN else f"about ${cost:.6f}"

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`."""
        super().learn(request, attempt)
        self._prefixes.learn(request, attempt)


class Fastest(_ByMeasure):
    """Asks first who is likely to be done first, as measured: first token, tokens a second, length, and failures.

    One that fails is slower by what its failures cost. One of which nothing is known goes first, to be measured.
    `first_token=True` goes by the time to the first token alone.
    """

    name = "fastest"

    def __init__(self, *, first_token: bool = False, memory: float = 300.0, explore: float = 0.02) -> None:
        super().__init__(memory=memory, explore=explore)
        self._first_token = first_token

    def rank(self, request: Request, target: Target) -> float:
        """See `Ranking`."""
        known = self.measured.of(target.name)
        seconds = known.seconds(0.0 if self._first_token else self._output(request, target))
        if seconds is None:
            return _UNKNOWN if known.failing else 0.0
        return seconds / max(1e-3, 1.0 - known.failing)

    def tells(self, request: Request, target: Target) -> str:
        """See `Ranking`."""
        seconds = self.rank(request, target)
        return "not measured yet" if not seconds else "has failed" if seconds == _UNKNOWN else f"about {seconds:.2f} s"


class Best(_ByMeasure):
    """Asks first who is worth most: quality, less what a dollar and a second are worth.

    `quality` says by `provider:model` name what a good answer of a model is worth, in dollars, for example the share of
    right answers times the worth of one; `a_second` what it is worth in dollars to have it a second sooner. Whoever has
    the beginning of the prompt in its cache is counted with what that saves, as by `Cheapest`.
    """

    name = "best"

    def __init__(
        self,
        quality: Mapping[str, float],
        *,
        a_second: float = 0.0,
        memory: float = 300.0,
        explore: float = 0.02,
        warm_for: float = 300.0,
    ) -> None:
        super().__init__(memory=memory, explore=explore)
        self._prefixes = Prefixes(warm_for)
        if not isinstance(quality, Mapping) or not quality or a_second < 0:
            raise ConfigurationError(
                'Best takes what an answer of each model is worth, in dollars: Best({"openai:gpt-5": 0.05, "local": '
                "0.03}, a_second=0.001)"
            )
        self._quality = dict(quality)
        self._a_second = a_second

    def rank(self, request: Request, target: Target) -> float:
        """See `Ranking`."""
        seconds = self.measured.of(target.name).seconds(self._output(request, target)) or 0.0
        cost = self._cost(request, target, self._prefixes.warm_share(request, target.name))
        return cost + self._a_second * seconds - self._quality.get(target.name, 0.0)

    def tells(self, request: Request, target: Target) -> str:
        """See `Ranking`."""
        return f"worth ${-self.rank(request, target):.6f}"

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`."""
        super().learn(request, attempt)
        self._prefixes.learn(request, attempt)


class Sticky(Ranking):
    """Asks first whoever had the beginning of this prompt last, as long as its cache is likely to be warm.

    For a list of equals, such as several keys or regions of one model: what a provider's cache saves is lost by going
    round. Put it last in a list of policies. `warm_for` is in seconds.
    """

    name = "sticky"

    def __init__(self, *, warm_for: float = 300.0) -> None:
        self._prefixes = Prefixes(warm_for)

    def rank(self, request: Request, target: Target) -> float:
        """See `Ranking`."""
        return -self._prefixes.warm_share(request, target.name)

    def tells(self, request: Request, target: Target) -> str:
        """See `Ranking`."""
        share = self._prefixes.warm_share(request, target.name)
        return f"{share:.0%} of the prompt is warm there" if share else "cold"

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`."""
        self._prefixes.learn(request, attempt)
