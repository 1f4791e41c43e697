"""Asks a small model first, judges what it says, and asks the next one only where that is not good enough.

The judgement is a policy's: what a reply is worth, and from which worth on it is taken. The latter is not guessed, but
calibrated from replies of which somebody said whether they were right (`calibrate`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from inferkit.core.errors import ConfigurationError
from inferkit.routing.combining import as_policy
from inferkit.routing.policy import policy_repr
from inferkit.typed.expected import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from inferkit.core.attempt import Attempt
    from inferkit.core.reply import Reply
    from inferkit.core.request import Request, Target
    from inferkit.routing.policy import Policy

__all__ = ["Calibration", "Cascade", "Judge", "at_most_wrong", "calibrate", "confidence", "is_valid"]

_CANDIDATES = 20  # thresholds among which a calibration chooses


class Judge(Protocol):
    """Says what a reply is worth: a number, or whether it will do. May be a coroutine function."""

    def __call__(self, request: Request, reply: Reply, /) -> float | bool | Awaitable[float | bool | None] | None:
        """Judge a reply to a request. None where nothing can be said, which is not enough."""


Fields: TypeAlias = dict[str, Any]


def confidence(_: Request, reply: Reply) -> float | None:
    """Judge a reply by how sure the model was of its words, from 0 to 1 (`Reply.confidence`)."""
    return reply.confidence


confidence.asks_for = {"logprobs": True}  # type: ignore[attr-defined]  # what a request needs for it


def is_valid(request: Request, reply: Reply) -> bool:
    """Judge a reply by whether it is a valid object of the call's `schema=`; without one, by whether it is whole."""
    expected = EXPECTED.get(request)
    if expected is None:
        return reply.finish_reason in ("stop", "tool_calls") and bool(reply.text.strip() or reply.tool_calls)
    return expected.judge(reply.chunks) is None


class Cascade:
    """A policy that asks one candidate after another until a reply is good enough; that of the last is taken as it is.

    `judge` is `confidence`, `is_valid` or a function of your own. Where it gives a number, `threshold` is from which on
    a reply is taken. The candidates are asked in the order of `policy`. Each reply but the last is read whole before
    anything of it is handed on, so a stream begins when the judgement has been passed. All of them are charged to the
    call, and traced; those that come after a judgement are attempts of the kind "escalation".

    One that fails, or that a budget does not cover, is passed by, and the next is asked. Where nobody is left, the last
    error is raised, or with `keep=True` the last reply that was found not good enough is handed on; no cache keeps it.
    """

    def __init__(
        self, judge: Judge, *, threshold: float | None = None, policy: Any = "ordered", keep: bool = False
    ) -> None:
        if not callable(judge) or isinstance(judge, type):
            raise ConfigurationError(
                "Cascade takes a judge: confidence, is_valid, or a function of a request and a reply that says what it "
                "is worth"
            )
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
            raise ConfigurationError(f"threshold is a number; got {threshold!r}")
        if judge is confidence and threshold is None:
            raise ConfigurationError(
                "a cascade by confidence needs a threshold, from 0 to 1; calibrate() finds one from labelled replies"
            )
        self._judge = judge
        self._policy = as_policy(policy)
        self.policies = (self._policy,)
        self.threshold = threshold
        self.keep = keep
        self.fields: Fields = dict(getattr(judge, "asks_for", {}))
        self.name = f"cascade({self._policy.name})"
        self.needs: frozenset[str] = getattr(self._policy, "needs", frozenset())
        self.learns = getattr(self._policy, "learn", None)

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        return self._policy.plan(request)

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`."""
        if self.learns is not None:
            self.learns(request, attempt)

    def chosen(self, _: Request) -> Policy:
        """Give the policy by whose order the candidates are asked."""
        return self._policy

    def because(self, _: Request) -> str:
        """Say what becomes of the first replies."""
        worth = "" if self.threshold is None else f" (worth {self.threshold:g})"
        return f"each reply but the last is judged, and the next is asked where it is not good enough{worth}"

    def cascade_for(self, _: Request) -> Cascade:
        """Give what judges the replies of a call."""
        return self

    async def judged(self, request: Request, reply: Reply) -> tuple[bool, float | None]:
        """Say whether a reply is good enough, and what it is worth where that is a number."""
        found: Any = self._judge(request, reply)
        worth = await found if hasattr(found, "__await__") else found
        if worth is None or isinstance(worth, bool):
            return bool(worth), None
        if self.threshold is None:
            raise ConfigurationError(
                "the judge of a cascade gives a number, and there is no threshold= from which on a reply is taken"
            )
        return worth >= self.threshold, float(worth)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, and what holds of replies that are worth it.

    Of the `count` labelled replies, the share `accepted` is worth it, of which the share `wrong` was wrong. Of all such
    replies there will be, at most the share `wrong_at_most` is wrong, with the probability `certainty` (0 to 1).
    """

    threshold: float
    count: int
    accepted: float
    wrong: float
    wrong_at_most: float
    certainty: float


def calibrate(labelled: Iterable[tuple[float, bool]], *, wrong: float, certainty: float = 0.95) -> Calibration:
    """Find the lowest threshold of which it is certain enough that at most a share of what it accepts is wrong.

    `labelled` are pairs of what a reply was worth to the judge and whether it was right; they have to be like the calls
    to come, and none of them may have been used to make the judge. `wrong` is the share, from 0 to 1. Twenty thresholds
    are tried, chosen without a look at what was right, each by an exact binomial test at a twentieth of what may be
    uncertain (Bonferroni), so that choosing among them does not spoil what is promised.

    Raises `ConfigurationError` where no threshold passes: the judge does not tell right from wrong, or there are too
    few pairs.
    """
    pairs = sorted(((float(worth), bool(right)) for worth, right in labelled), reverse=True)
    if not 0 < wrong < 1 or not 0 < certainty < 1:
        raise ConfigurationError("wrong and certainty are shares, between 0 and 1")
    if any(math.isnan(worth) for worth, _ in pairs):
        raise ConfigurationError("what a reply was worth is a number in each pair; leave out those of which it is not")
    level = (1 - certainty) / _CANDIDATES
    found = None
    for step in range(1, _CANDIDATES + 1):
        size = _whole_ties(pairs, len(pairs) * step // _CANDIDATES)
        mistakes = sum(not right for _, right in pairs[:size])
        if size and _at_most(mistakes, size, wrong) <= level:
            found = size, mistakes
    if found is None:
        least = math.ceil(math.log(level) / math.log1p(-wrong))
        raise ConfigurationError(
            f"no threshold keeps wrong replies under {wrong:.1%} with a certainty of {certainty:.0%}, by {len(pairs)} "
            f"labelled replies; {least} right ones above a threshold would be the least that could"
        )
    size, mistakes = found
    return Calibration(
        pairs[size - 1][0],
        len(pairs),
        size / len(pairs),
        mistakes / size,
        at_most_wrong(mistakes, size, level),
        certainty,
    )


def _whole_ties(pairs: list[tuple[float, bool]], size: int) -> int:
    """Give the number of pairs at or above the threshold that the first `size` come to: equals are all in."""
    while 0 < size < len(pairs) and pairs[size][0] == pairs[size - 1][0]:
        size += 1
    return size


def _at_most(mistakes: int, size: int, share: float) -> float:
    """Give the chance of at most so many mistakes among so many, where each is one with the probability `share`."""
    one, none = math.log(share), math.log1p(-share)
    total = 0.0
    for each in range(mistakes + 1):
        ways = math.lgamma(size + 1) - math.lgamma(each + 1) - math.lgamma(size - each + 1)
        total += math.exp(ways + each * one + (size - each) * none)
    return min(1.0, total)


def at_most_wrong(mistakes: int, size: int, level: float) -> float:
    """Give the largest share of mistakes that so few of them leave possible (Clopper and Pearson's)."""
    if mistakes == size:
        return 1.0
    low, high = mistakes / size, 1.0 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(mistakes, size, max(middle, 1e-12)) > level:
            low = middle
        else:
            high = middle
    return high
