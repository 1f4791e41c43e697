"""What a model's settled calls teach of it: how many tokens it makes of a text, a piece of a reply, and a second."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from inferkit.pricing.text_kinds import KINDS, NOTHING, Counts, count

__all__ = ["REQUEST_TOKENS", "Habits", "Model"]

Model = tuple[str, str]
"""A provider's name, and its name for the model."""


REQUEST_TOKENS = 3
"""What stands around a whole request."""

_CALLS = 32  # that are learned from, of those since an estimate was needed last
_ABSURD = 8  # a count that is so many times too high or too low teaches nothing
_LEAST, _MOST = 0.2, 5.0  # what a factor can become
_UNKNOWN_SECOND = 50.0  # tokens that a model writes in it, until its calls say how many
_MESSAGE = 4.0  # tokens around one, likewise
_DOUBTS = {"words": 0.02, "mixed": 0.03, "numbers": 0.09, "digits": 0.12, "symbols": 0.03, "cjk": 0.16, "scripts": 0.16}
# of start values: a vocabulary's way with digits, Chinese and other scripts differs most from one to another
_NOISE, _DRIFT = 0.08, 0.0003
_MARGINS = 0.08, 0.18


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

    Each kind has a factor, and a doubt about it (its variance); a call moves those factors most that it says most of.
    `spread` is by how much of itself an estimate was wrong lately.
    """

    __slots__ = ("_doubts", "_factors", "calls", "spread")

    def __init__(self) -> None:
        self._factors = [1.0] * len(KINDS)
        self._doubts = [_DOUBTS[kind] for kind in KINDS]
        self.spread = 0.08
        self.calls = 0

    def mean(self, counts: Counts) -> float:
        """Give the likeliest number of tokens, no higher than lower."""
        return sum([factor * tokens for factor, tokens in zip(self._factors, counts, strict=True)])

    def margin(self, counts: Counts) -> float:
        """By how much of itself an estimate has to be higher, so that it is seldom too low."""
        mean = self.mean(counts)
        if mean <= 0:
            return 0.0
        doubt = sum([doubt * tokens * tokens for doubt, tokens in zip(self._doubts, counts, strict=True)])
        least, most = _MARGINS
        spread: float = (1.5 * self.spread**2 + doubt / mean**2) ** 0.5
        return min(most, max(least, 1.9 * spread + 0.04))

    def learn(self, counts: Counts, tokens: float) -> None:
        """Note what a text was counted as. One count that is absurd, or many that lie, move it within bounds alone."""
        mean = self.mean(counts)
        if mean < 1 or tokens > _ABSURD * (mean + 8) or tokens * _ABSURD < mean - 8:
            return
        self.calls += 1
        error = max(-mean, min(mean, tokens - mean))
        share = max(0.15, 1 / (self.calls + 2)) * mean / (mean + 20)
        self.spread += share * (abs(error) / mean - self.spread)
        noise = (_NOISE * mean) ** 2 + 4
        whole = noise + sum([doubt * part * part for doubt, part in zip(self._doubts, counts, strict=True)])
        for kind, part in enumerate(counts):
            doubt = self._doubts[kind]
            gain = doubt * part / whole
            self._factors[kind] = min(_MOST, max(_LEAST, self._factors[kind] + gain * error))
            self._doubts[kind] = doubt * (1 - gain * part) + _DRIFT


class Habits:
    """What is known of one model."""

    __slots__ = (
        "_chunk_calls", "_chunk_spread", "_hidden_calls", "_per_chunk", "_timed", "hidden_rate", "input", "output",
        "overhead", "rate", "settled", "taught",
    )  # fmt: skip

    def __init__(self) -> None:
        self.settled = 0
        self.taught: deque[tuple[Any, ...]] = deque(maxlen=_CALLS)  # of the fields of `_Taught`
        self.output = _Factors()
        self.input = _Factors()
        self.overhead = _MESSAGE  # tokens around a message
        self.rate = _UNKNOWN_SECOND
        self.hidden_rate: float | None = None  # tokens thought a second before the first word; None: not known
        self._timed = 0
        self._hidden_calls = 0
        self._per_chunk = 1.0
        self._chunk_spread = 0.0
        self._chunk_calls = 0

    def learn(self, taught: tuple[Any, ...]) -> None:
        """Learn from one call."""
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
                self._learn_chunks(min(64.0, call.tokens / call.chunks))
        if call.asked_chars:
            self._learn_input(call)

    def _learn_chunks(self, found: float) -> None:
        self._chunk_calls += 1
        share = max(0.2, 1 / self._chunk_calls)
        error = abs(found / self._per_chunk - 1) if self._chunk_calls > 1 else 0.0
        self._chunk_spread += share * (error - self._chunk_spread)
        self._per_chunk += share * (found - self._per_chunk)

    def _learn_input(self, call: _Taught) -> None:
        counts = _counts(call.asked, call.asked_chars)
        words = self.input.mean(counts)
        rest = call.input - words - REQUEST_TOKENS
        if -8 < rest < 4096:  # noqa: PLR2004 - what a provider may add to a request
            share = max(0.1, 1 / (self.input.calls + 2)) * 50 / (50 + words)
            self.overhead += share * (max(0.0, rest / call.messages) - self.overhead)
        self.input.learn(counts, max(0.0, call.input - REQUEST_TOKENS - self.overhead * call.messages))

    def by_chunks(self, chunks: int, text: float) -> float | None:
        """Give the tokens in so many pieces: where pieces of this model tell, and the `text` does not speak against."""
        if self._chunk_calls:
            tokens = chunks * self._per_chunk * (1 + max(0.01, 2 * self._chunk_spread))
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
