"""The calls of a scenario: when each comes, whose it is, and how long its prompt and its reply are.

They are drawn once, from the seed alone, and are the same under every policy, so that what differs between two runs
is what the policies did.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from inferkit.simulation.scenario import CustomerGroup, Simulation

__all__ = ["Asked", "calls_of", "rate_by_hour"]

_HOUR = 3600.0
_WEEKEND = 5  # Saturday, and what follows
_FEW_ASK_MOST = 2.0  # of customers, numbered: the square of an even number, so a quarter of them asks for half
_LENGTHS = 0.7  # the spread of tokens: the standard deviation of their logarithm
_MOST_TOKENS = 16_000


class Asked(NamedTuple):
    """One call: `at` is in seconds from the start. `hard` is from 0 to 1: a model that is `good` in more, does it.

    `question` is the number of the one that it asks, where that is among those that are asked again and again.
    """

    number: int
    at: float
    customers: CustomerGroup
    user: str
    input_tokens: int
    output_tokens: int
    hard: float
    question: int | None = None


def calls_of(scenario: Simulation) -> list[Asked]:
    """Draw all calls of a scenario, in the order in which they come."""
    chance = random.Random(f"{scenario.seed} calls")  # noqa: S311 - no secret
    instants = _instants(scenario, chance)
    shares = list(itertools.accumulate(each.calls for each in scenario.customers))
    repeated = _Repeated(scenario)
    found = []
    for number, at in enumerate(instants):
        whose = scenario.customers[bisect.bisect(shares, chance.random() * shares[-1], hi=len(shares) - 1)]
        which = int(whose.count * chance.random() ** _FEW_ASK_MOST)
        asked = Asked(
            number,
            at,
            whose,
            f"{whose.plan}-{which}",
            _tokens(whose.input_tokens, chance),
            _tokens(whose.output_tokens, chance),
            chance.random(),
        )
        found.append(repeated.perhaps(asked))
    return found


class _Repeated:
    """The questions that are asked again and again: of one kind of customers each has its own length and difficulty."""

    def __init__(self, scenario: Simulation) -> None:
        traffic = scenario.traffic
        self._seed = scenario.seed
        self._share = traffic.repeated
        self._chance = random.Random(f"{scenario.seed} questions")  # noqa: S311 - no secret
        weights = (1 / place**traffic.popularity for place in range(1, traffic.questions + 1))
        self._shares = list(itertools.accumulate(weights)) if self._share else []

    def perhaps(self, asked: Asked) -> Asked:
        """Give the call as it is, or with one of these questions in place of its own."""
        if not self._share or self._chance.random() >= self._share:
            return asked
        drawn = self._chance.random() * self._shares[-1]
        which = bisect.bisect(self._shares, drawn, hi=len(self._shares) - 1)
        whose = asked.customers
        of_it = random.Random(f"{self._seed} question {which} of {whose.plan}")  # noqa: S311 - no secret
        return asked._replace(
            input_tokens=_tokens(whose.input_tokens, of_it),
            output_tokens=_tokens(whose.output_tokens, of_it),
            hard=of_it.random(),
            question=which,
        )


def rate_by_hour(scenario: Simulation) -> list[float]:
    """Give what each hour of a scenario has of the traffic, without spikes: they sum up to one."""
    traffic = scenario.traffic
    weights = []
    for hour in range(math.ceil(scenario.seconds / _HOUR)):
        moment = scenario.start + timedelta(hours=hour)
        swing = (1 + math.cos((moment.hour + 0.5 - traffic.busiest) / 24 * math.tau)) / 2
        weight = traffic.night + (1 - traffic.night) * swing
        weights.append(weight * (traffic.weekend if moment.weekday() >= _WEEKEND else 1.0))
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _instants(scenario: Simulation, chance: random.Random) -> list[float]:
    """Draw when calls come: the usual ones, and those of the spikes on top."""
    usual = rate_by_hour(scenario)
    shares = list(itertools.accumulate(usual))

    def one() -> float:
        hour = bisect.bisect(shares, chance.random() * shares[-1], hi=len(shares) - 1)
        return (hour + chance.random()) * _HOUR

    end = scenario.seconds
    found = [at for _ in range(scenario.traffic.calls) if (at := one()) < end]
    for spike in scenario.traffic.spikes:
        length = spike.end - spike.start
        rate = usual[min(len(usual) - 1, int(spike.start // _HOUR))] * scenario.traffic.calls / _HOUR
        more = round(max(0.0, spike.times - 1) * rate * length)
        found += [at for _ in range(more) if (at := spike.start + chance.random() * length) < end]
    return sorted(found)


def _tokens(median: int, chance: random.Random) -> int:
    return max(1, min(_MOST_TOKENS, round(chance.lognormvariate(math.log(median), _LENGTHS))))
