"""What a model's settled calls teach of it: how many tokens it makes of a text, a piece of a reply, and a second."""

from __future__ import annotations

import itertools
import math
from collections import deque
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.pricing.text_kinds import KINDS, NOTHING, Counts, count

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["REQUEST_TOKENS", "USES", "Habits", "Model"]

USES = itertools.count(1)
"""Counts the uses of any model, so that the one that was used longest ago is known."""

Model = tuple[str, str]
"""A provider's name, and its name for the model."""


REQUEST_TOKENS = 3
"""What stands around a whole request."""

_CALLS = 24  # that are learned from, of those since an estimate was needed last
_ABSURD = 8  # a count that is so many times too high or too low teaches nothing
_LEAST, _MOST = 0.2, 5.0  # what a factor can become
_UNKNOWN_SECOND = 50.0  # tokens that a model writes in it, until its calls say how many
_MESSAGE = 4.0  # tokens around one, likewise
_DOUBTS = {"words": 0.01, "mixed": 0.02, "numbers": 0.06, "digits": 0.12, "symbols": 0.02, "cjk": 0.16, "scripts": 0.25}
# of start values: a vocabulary's way with digits, Chinese and other scripts differs most from one to another
_SPREADS = (0.055, 0.045, 0.02, 0.02, 0.055, 0.06, 0.06)  # standard deviations of texts of each kind, at least
_NOISE, _DRIFT = (
    0.06,
    0.0003,
)  # the standard deviation of one call's count, and what a factor's doubt grows by in a call
_DOUBT_AROUND, _MOST_AROUND = 9.0, 1024.0  # of the factor of `_MESSAGE`
_MARGINS = 0.1, 0.2
_SHORT = 12  # tokens; the margin of a text of so many is half of a long one's: a few tokens are neither here nor there
_SURPRISE = 2.5  # standard deviations that a count is off by; two in a row, and the model counts in another way


class _Taught(NamedTuple):
    """What a settled call can teach. Both `text` and `asked` are a sample of as many characters, or its counts."""

    tokens: int
    hidden: int
    seconds: float
    waited: float
    chunks: int
    text: str | Counts
    chars: int
    input: int
    messages: int
    asked: str
    asked_chars: int


class _Factors:
    """How many tokens of a model those counts are that `text_kinds` gives: learned as a Kalman filter does it.

    Each kind has a factor. `_doubts` are the variances of what is not known of them, and how they hang together; a call
    moves those factors most that it says most of. Where one call after the other is far off to the same side, the model
    or what it writes has changed: then what was known of those kinds is in doubt again, and the next calls say what
    holds now. `spread` is by how much of itself an estimate was wrong lately.

    Tokens that stand `around` each message are learned as one more kind.
    """

    __slots__ = ("_doubts", "_factors", "_most", "_surprise", "calls", "spread")

    def __init__(self, *, around: bool = False) -> None:
        doubts = [_DOUBTS[kind] for kind in KINDS] + [_DOUBT_AROUND] * around
        self._factors = [1.0] * len(doubts)
        self._most = [_MOST] * len(KINDS) + [_MOST_AROUND] * around
        self._doubts = [
            [doubt if row == column else 0.0 for column in range(len(doubts))] for row, doubt in enumerate(doubts)
        ]
        self._surprise = 0.0  # by how much a count was off, where that was far, and the next ones to the same side
        self.spread = 0.06
        self.calls = 0

    @property
    def around(self) -> float:
        """How many tokens stand around a message."""
        return _MESSAGE * self._factors[-1]

    def mean(self, counts: Counts) -> float:
        """Give the likeliest number of tokens, no higher than lower."""
        return _dot(self._factors, counts)

    def margin(self, counts: Counts) -> float:
        """By how much of itself an estimate has to be higher, so that it is seldom too low."""
        mean = self.mean(counts)
        if mean <= 0:
            return 0.0
        least, most = _MARGINS
        usual = max(1.25 * self.spread, _dot(counts, _SPREADS) / mean)
        spread: float = (usual**2 + _dot(counts, self._doubt(counts)) / mean**2) ** 0.5
        return min(most, max(least, 1.9 * spread + 0.06)) * mean / (mean + _SHORT)

    def learn(self, counts: Counts, tokens: float, messages: int = 0) -> None:
        """Note what a text was counted as. One count that is absurd, or many that lie, move it within bounds alone."""
        parts = (*counts, messages * _MESSAGE) if messages else counts
        mean = self.mean(parts)
        if mean < 1 or tokens > _ABSURD * (mean + 8) + _MOST_AROUND * messages or tokens * _ABSURD < mean - 8:
            return
        self.calls += 1
        error = max(-mean, min(mean, tokens - mean))
        noise = (_NOISE * mean) ** 2 + 4
        doubt = self._doubt(parts)
        usual = _SURPRISE * (noise + _dot(parts, doubt)) ** 0.5
        if abs(error) < usual:
            self._surprise = 0.0
        elif error * self._surprise > 0:
            again = (error / mean) ** 2
            for kind, part in enumerate(counts):
                self._doubts[kind][kind] += again * part / mean
            if messages:
                self._doubts[-1][-1] += again * _DOUBT_AROUND
            doubt = self._doubt(parts)
        else:
            self._surprise = error = math.copysign(usual, error)  # this may have been the only one
        share = max(0.15, 1 / (self.calls + 2)) * mean / (mean + 20)
        self.spread += share * (min(0.5, abs(error) / mean) - self.spread)
        whole = noise + _dot(parts, doubt)
        for kind, row in enumerate(self._doubts):
            gain = doubt[kind] / whole
            self._factors[kind] = min(self._most[kind], max(_LEAST, self._factors[kind] + gain * error))
            self._doubts[kind] = [old - gain * each for old, each in zip(row, doubt, strict=True)]
            self._doubts[kind][kind] += _DRIFT

    def _doubt(self, parts: Counts) -> list[float]:
        """Give how the factors' variances bear on a text."""
        return [_dot(parts, row) for row in self._doubts]


def _dot(some: Iterable[float], others: Iterable[float]) -> float:
    total: float = sum(map(mul, some, others))
    return total


class Habits:
    """What is known of one model."""

    __slots__ = (
        "_chunk_calls", "_chunk_spread", "_hidden_calls", "_per_chunk", "_timed", "asked", "hidden_rate", "input",
        "output", "rate", "settled", "taught", "used",
    )  # fmt: skip

    def __init__(self) -> None:
        self.settled = 0
        self.used = 0  # the last of `USES` when a call used it
        self.taught: deque[tuple[Any, ...]] = deque(maxlen=_CALLS)  # of the fields of `_Taught`
        self.asked: deque[tuple[str, int, int, int]] = deque(maxlen=_CALLS)  # what was sent, which `input` is to learn
        self.output = _Factors()
        self.input = _Factors(around=True)
        self.rate = _UNKNOWN_SECOND
        self.hidden_rate: float | None = None  # tokens thought a second before the first word; None: not known
        self._timed = 0
        self._hidden_calls = 0
        self._per_chunk = 1.0
        self._chunk_spread = 0.0
        self._chunk_calls = 0

    def learn(self, taught: tuple[Any, ...]) -> None:
        """Learn from one call; of what was sent, only `learn_inputs` does: few estimates are of that."""
        call = _Taught._make(taught)
        if call.tokens + call.hidden:
            self._timed += 1
            found = _rate(call.tokens + call.hidden, call.seconds)
            self.rate += max(0.2, 1 / self._timed) * (found - self.rate)
        if call.tokens and call.chars:
            self.output.learn(_counts(call.text, call.chars), call.tokens)
        if call.chunks:
            self._hidden_calls += 1
            before = self.hidden_rate or 0.0
            found = _rate(call.hidden, call.waited)
            self.hidden_rate = before + max(0.2, 1 / self._hidden_calls) * (found - before)
            if call.chunks >= 8 and call.tokens:  # noqa: PLR2004 - what ends a shorter reply weighs too much
                whole = call.chunks - 0.5 * (call.tokens > 4 * call.chunks)  # the last one is seldom full
                self._learn_chunks(min(64.0, call.tokens / whole))
        if call.asked_chars:
            self.asked.append((call.asked, call.asked_chars, call.input, call.messages))

    def learn_inputs(self) -> None:
        """Learn from what was sent with the calls that were learned from since this was done last."""
        while self.asked:
            asked, size, tokens, messages = self.asked.popleft()
            self.input.learn(_counts(asked, size), tokens - REQUEST_TOKENS, messages)

    def _learn_chunks(self, found: float) -> None:
        self._chunk_calls += 1
        share = max(0.2, 1 / self._chunk_calls)
        error = abs(found / self._per_chunk - 1) if self._chunk_calls > 1 else 0.0
        self._chunk_spread += share * (error - self._chunk_spread)
        self._per_chunk += share * (found - self._per_chunk)

    def by_chunks(self, chunks: int, text: float) -> float | None:
        """Give the tokens in so many pieces: where pieces of this model tell, and the `text` does not speak against."""
        if self._chunk_calls:
            tokens = chunks * self._per_chunk * (1 + max(0.01, 3 * self._chunk_spread))
            steady = self._chunk_calls >= 2 and self._chunk_spread < 0.04  # noqa: PLR2004
            return tokens if steady and 0.75 * text < tokens < 1.6 * text + 8 else None
        return float(chunks) if 0.75 * text < chunks < 1.35 * text else None


def _counts(sample: str | Counts, size: int) -> Counts:
    """Give the counts of a text of so many characters."""
    if not isinstance(sample, str):
        return sample
    counts = count(sample.encode("utf-8", "surrogatepass"))
    return tuple([tokens * size / len(sample) for tokens in counts]) if sample else NOTHING


def _rate(tokens: int, seconds: float) -> float:
    return min(10_000.0, tokens / max(seconds, 0.001))
