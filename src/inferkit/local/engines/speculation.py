"""Speculative decoding: a small draft model proposes tokens, and the large one checks all of them in one batch.

Greedy alone, so what is accepted is what the large model would have written by itself (Leviathan et al. 2023, "Fast
Inference from Transformers via Speculative Decoding"; the case of temperature 0). Where its two best tokens lie so
close that a batch might turn them round, the token is computed alone, as it would have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from inferkit.local.engines.interface import InferenceEngine
from inferkit.local.engines.payoff import TRIAL_TOKENS, Payoff
from inferkit.local.engines.prefixes import shared_length
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Draft", "Guesses", "Speculation", "Verifier"]


class Verifier(InferenceEngine, Protocol):
    """An engine that can check proposals. Best tokens that differ by less than `narrow` may be others in a batch."""

    narrow: float

    def evaluate_each(self, tokens: Sequence[int], past: int) -> None:
        """Compute tokens as `evaluate` does, and keep the scores behind each of them."""

    def best_at(self, place: int) -> tuple[int, float]:
        """Give the best token behind the one at `place` of the last batch, and by how much it is better than others."""


class Draft:
    """A small model with the vocabulary of a larger one, that guesses what this will write.

    `weight` is about what part it takes of the time that the larger one takes for a token.
    """

    def __init__(self, engine: InferenceEngine, ends: frozenset[int], weight: float) -> None:
        self.weight = weight
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


class Speculation:
    """A target and a draft with the same vocabulary, and what is known of how well they go together."""

    def __init__(self, target: Verifier, draft: Draft, most: int) -> None:
        self.target = target
        self.draft = draft
        self.most = most
        self.payoff = Payoff(draft.weight)
        self.count = self.first = min(most, TRIAL_TOKENS)

    def begin(self) -> Guesses:
        """Take up a reply. Several may be under way, by turns."""
        self.payoff.begin()
        return Guesses(self)


class Guesses:
    """Guessing and checking, for one reply."""

    def __init__(self, speculation: Speculation) -> None:
        self._shared = speculation
        self._payoff = speculation.payoff
        self._target, self._draft = speculation.target, speculation.draft
        self._alone = False
        self._beside: list[int] = []
        self._beside_from = 0
        self._rounds = self._proposed = self._accepted = 0
        self._seconds = 0.0

    def facts(self, tokens: int) -> dict[str, Any]:
        """Say how a reply of so many tokens went: what was guessed and right, and how much sooner it came."""
        speed = None
        if self._proposed and self._seconds and self._payoff.plain is not None:
            speed = round(tokens * self._payoff.plain / self._seconds, 3)
        return {"rounds": self._rounds, "proposed": self._proposed, "accepted": self._accepted, "speed_up": speed}

    def took_prompt(self, seconds: float, tokens: int) -> None:
        """Take in what a part of the prompt took."""
        self._payoff.took_prompt(seconds, tokens)

    def took_alone(self, seconds: float) -> None:
        """Take in what a token took that was computed alone."""
        self._payoff.took_alone(seconds)
        self._seconds += seconds

    def round(self, sequence: Sequence[int], left: int) -> list[int]:
        """Give the tokens that follow a sequence, of at most `left`; none where the next one is to be computed alone.

        The target's context holds all of the sequence but its last token. When this returns, it holds all of the
        sequence and what was given, but the last token.
        """
        if self._beside:
            self._compare(sequence)
        payoff, draft = self._payoff, self._draft
        if self._alone or self._beside or payoff.is_idle:
            self._alone = False
            return []
        trial = not payoff.trusts
        wanted = self._shared.first if trial else self._shared.count
        count = min(wanted, left - 1, self._target.batch - 1, draft.context_length - len(sequence))
        missing = draft.missing(sequence)
        if count < (wanted if trial else 1) or not payoff.worth(missing, left):
            return []
        started = clock.now()
        draft.read(sequence)
        read = clock.now()
        payoff.took_reading(read - started, missing - 1)
        proposed = draft.propose(sequence, count)
        self._proposed += len(proposed)
        if trial and proposed:
            self._beside, self._beside_from = proposed, len(sequence)
            payoff.took_guesses(clock.now() - read, len(proposed))
            proposed = []
        found = self._checked(sequence, proposed) if proposed else []
        ended = clock.now()
        self._seconds += ended - started
        if proposed:
            payoff.took_round(ended - read, len(found))
            self._rounds += 1
            self._grow(shared_length(found, proposed), len(proposed))
        return found

    def _compare(self, sequence: Sequence[int]) -> None:
        """Compare what was guessed beside the model with what it wrote since, as soon as that tells."""
        wrote = sequence[self._beside_from :]
        agreed, guessed = shared_length(wrote, self._beside), len(self._beside)
        if agreed == len(wrote) < guessed:
            return
        self._beside = []
        self._payoff.compared(agreed=2 * agreed > guessed)
        self._grow(agreed, guessed)

    def _grow(self, accepted: int, proposed: int) -> None:
        """Take in how many guesses were right, and guess more the next time as long as all are."""
        self._accepted += accepted
        more = accepted + 2 if accepted < proposed else 2 * accepted + 2
        self._shared.count = min(self._shared.most, more)

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
