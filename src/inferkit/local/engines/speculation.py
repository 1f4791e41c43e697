"""Speculative decoding: a small draft model proposes tokens, and the large one checks all of them in one batch.

Greedy alone, so what is accepted is what the large model would have written by itself (Leviathan et al. 2023, "Fast
Inference from Transformers via Speculative Decoding"; the case of temperature 0). Where its two best tokens lie so
close that a batch might turn them round, the token is computed alone, as it would have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from inferkit.local.engines.interface import InferenceEngine
from inferkit.local.engines.prefixes import shared_length
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Draft", "Guesses", "Payoff", "Speculation", "Verifier"]

_GAIN = 1.05
"""How much sooner rounds must come to a token to be worth it: what is less is chance."""

_LOSS_SHARE = 0.02
_FADES = 0.8
_SOON = 64
"""Tokens that a reply is expected to go on for, where its limit is further away."""


class Verifier(InferenceEngine, Protocol):
    """An engine that can check proposals. Best tokens that differ by less than `narrow` may be others in a batch."""

    narrow: float

    def evaluate_each(self, tokens: Sequence[int], past: int) -> None:
        """Compute tokens as `evaluate` does, and keep the scores behind each of them."""

    def best_at(self, place: int) -> tuple[int, float]:
        """Give the best token behind the one at `place` of the last batch, and by how much it is better than others."""


class Draft:
    """A small model with the vocabulary of a larger one, that guesses what this will write."""

    def __init__(self, engine: InferenceEngine, ends: frozenset[int]) -> None:
        self._engine = engine
        self._ends = ends
        self._held: list[int] = []
        self._sure = 0
        self._sequence: Sequence[int] = ()
        self.context_length = engine.context_length

    def missing(self, sequence: Sequence[int]) -> int:
        """Say how many tokens of a sequence it has not read. One list is one reply, which grows."""
        if sequence is not self._sequence:
            self._sequence, self._sure = sequence, shared_length(self._held, sequence)
        while self._sure < min(len(self._held), len(sequence)) and self._held[self._sure] == sequence[self._sure]:
            self._sure += 1
        return len(sequence) - self._sure

    def read(self, sequence: Sequence[int]) -> None:
        """Read what it has not read, but for the last token."""
        self.missing(sequence)
        kept = self._engine.keep(min(self._sure, len(sequence) - 1))
        del self._held[kept:]
        last = len(sequence) - 1
        for start in range(kept, last, self._engine.batch):
            self._engine.evaluate(sequence[start : min(start + self._engine.batch, last)], start)
        self._held += sequence[kept:last]

    def propose(self, sequence: Sequence[int], count: int) -> list[int]:
        """Guess at most so many tokens that follow a sequence which was read."""
        found: list[int] = []
        token = sequence[-1]
        while len(found) < count and token not in self._ends:
            self._engine.evaluate([token], len(self._held))
            self._held.append(token)
            token = self._engine.best()
            found.append(token)
        return found


class Payoff:
    """Decides by what was measured whether a round of guessing and checking is worth its time.

    Where rounds do not pay, one is tried again only when so much time has passed without any that it costs a fiftieth
    of it at most: so a draft that is no use costs next to nothing, and one that becomes useful is noticed.
    """

    def __init__(self) -> None:
        self.plain: float | None = None
        self._reading = 0.0
        self._seconds = self._tokens = 0.0
        self._loss = 0.0
        self._waited = 0.0

    @property
    def speed(self) -> float | None:
        """How many times as fast as without it tokens come in rounds; None where that is not known."""
        return self._tokens * self.plain / self._seconds if self.plain and self._seconds else None

    def took_alone(self, seconds: float) -> None:
        """Take in what a token took that was computed alone."""
        self.plain = seconds if self.plain is None else 0.9 * self.plain + 0.1 * seconds
        self._waited += seconds

    def took_reading(self, seconds: float, tokens: int) -> None:
        """Take in what it took the draft to read."""
        if tokens > 1:
            self._reading = seconds / tokens

    def took_round(self, seconds: float, tokens: int) -> None:
        """Take in what a round took, and how many tokens came of it."""
        self._seconds = _FADES * self._seconds + seconds
        self._tokens = _FADES * self._tokens + tokens
        self._loss = max(0.0, seconds - tokens * (self.plain or 0.0))
        self._waited = 0.0

    def worth(self, missing: int, left: int) -> bool:
        """Say whether to try a round, before which the draft has to read so many tokens, with so many left to write."""
        if self.plain is None:
            return False
        reading, speed = missing * self._reading, self.speed
        if speed is None:
            return True
        if speed > _GAIN:
            return min(left, _SOON) * self.plain * (1 - 1 / speed) > reading
        return self._waited * _LOSS_SHARE >= self._loss + reading


class Speculation:
    """A target and a draft with the same vocabulary, and what is known of how well they go together."""

    def __init__(self, target: Verifier, draft: Draft, most: int) -> None:
        self.target = target
        self.draft = draft
        self.most = most
        self.payoff = Payoff()
        self.count = most

    def begin(self) -> Guesses:
        """Take up a reply. Several may be under way, by turns."""
        return Guesses(self)


class Guesses:
    """Rounds of guessing and checking, for one reply."""

    def __init__(self, speculation: Speculation) -> None:
        self._shared = speculation
        self._payoff = speculation.payoff
        self._target, self._draft = speculation.target, speculation.draft
        self._alone = False
        self._rounds = self._proposed = self._accepted = 0
        self._seconds = 0.0

    def facts(self, tokens: int) -> dict[str, Any]:
        """Say how a reply of so many tokens went: what was proposed and accepted, and how much sooner it came."""
        speed = None
        if self._rounds and self._seconds and self._payoff.plain is not None:
            speed = round(tokens * self._payoff.plain / self._seconds, 3)
        return {"rounds": self._rounds, "proposed": self._proposed, "accepted": self._accepted, "speed_up": speed}

    def took_alone(self, seconds: float) -> None:
        """Take in what a token took that was computed alone."""
        self._payoff.took_alone(seconds)
        self._seconds += seconds

    def round(self, sequence: Sequence[int], left: int) -> list[int]:
        """Give the tokens that follow a sequence, of at most `left`; none where the next one is to be computed alone.

        The target's context holds all of the sequence but its last token. When this returns, it holds all of the
        sequence and what was given, but the last token.
        """
        alone, self._alone = self._alone, False
        count = min(self._shared.count, left - 1, self._target.batch - 1, self._draft.context_length - len(sequence))
        if alone or count < 1 or not self._payoff.worth(self._draft.missing(sequence), left):
            return []
        started, missing = clock.now(), self._draft.missing(sequence)
        self._draft.read(sequence)
        read = clock.now()
        self._payoff.took_reading(read - started, missing - 1)
        proposed = self._draft.propose(sequence, count)
        found = self._checked(sequence, proposed) if proposed else []
        ended = clock.now()
        self._seconds += ended - started
        if proposed:
            self._payoff.took_round(ended - read, len(found))
            self._rounds += 1
            self._proposed += len(proposed)
            accepted = sum(one == other for one, other in zip(found, proposed, strict=False))
            self._accepted += accepted
            self._shared.count = min(self._shared.most, accepted + 2)
        return found

    def _checked(self, sequence: Sequence[int], proposed: list[int]) -> list[int]:
        target, past = self._target, len(sequence) - 1
        target.evaluate_each([sequence[-1], *proposed], past)
        found: list[int] = []
        for place, guess in enumerate([*proposed, None]):
            token, ahead = target.best_at(place)
            if not ahead > target.narrow:  # also where it is no number
                self._alone = True
                break
            found.append(token)
            if token != guess:
                break
        target.keep(past + len(found))
        return found
