"""Whether speculative decoding is worth its time: decided by what was measured, while it runs."""

from __future__ import annotations

__all__ = ["TRIAL_TOKENS", "Payoff"]

TRIAL_TOKENS = 3
"""Tokens that are guessed beside the large model, to see whether a draft thinks as it does."""

_GAIN = 1.05
"""How much sooner rounds must come to a token to be worth it: what is less is chance."""

_LOSS_SHARE = 0.02
_HALVINGS = 4
_FADES = 0.8

_SOON = 64
"""Tokens that a reply is expected to go on for, where its limit is further away."""


class Payoff:
    """Decides by what was measured whether guessing is worth its time.

    A draft that is not known to be of use first guesses beside the model: what it would have written is compared with
    what the model writes by itself, which costs the time of the draft alone. Where they agree, rounds of guessing and
    checking begin, as long as they pay. A trial waits until so much time has passed that it costs a fiftieth of it at
    most, the first one by an estimate; and half of that for each that failed before it, down to a sixteenth: so a draft
    that is no use costs next to nothing, and one that becomes useful is noticed.
    """

    def __init__(self, weight: float) -> None:
        self.plain: float | None = None
        self._weight = weight
        self._target_reading: float | None = None
        self._reading: float | None = None
        self._guess: float | None = None
        self._seconds = self._tokens = 0.0
        self._loss = 0.0
        self._waited = self._due = 0.0
        self._failed = 0
        self._agreed = False

    @property
    def speed(self) -> float | None:
        """How many times as fast as without it tokens come in rounds; None where that is not known."""
        return self._tokens * self.plain / self._seconds if self.plain and self._seconds else None

    @property
    def pays(self) -> bool:
        """Whether rounds are known to be worth it."""
        return (self.speed or 0.0) > _GAIN

    @property
    def trusts(self) -> bool:
        """Whether to check guesses in a round, and not just to compare them."""
        return self._agreed or self.pays

    def begin(self) -> None:
        """Take up a reply: what there is to read is another than before."""
        self._due = 0.0

    def took_prompt(self, seconds: float, tokens: int) -> None:
        """Take in what it took the large model to read so many tokens."""
        self._waited += seconds
        if tokens > 1:
            self._target_reading = seconds / tokens

    def took_alone(self, seconds: float) -> None:
        """Take in what a token took that was computed alone."""
        self.plain = seconds if self.plain is None else 0.9 * self.plain + 0.1 * seconds
        self._waited += seconds

    def took_reading(self, seconds: float, tokens: int) -> None:
        """Take in what it took the draft to read."""
        if tokens > 1:
            self._reading = seconds / tokens

    def took_guesses(self, seconds: float, tokens: int) -> None:
        """Take in what guesses took that nothing was gained by: they were made beside the model."""
        self._guess = seconds / tokens
        self._waited = 0.0

    def compared(self, *, agreed: bool) -> None:
        """Take in whether the model wrote what was guessed beside it."""
        self._agreed, self._due = agreed, 0.0
        self._failed = 0 if agreed else self._failed + 1
        if agreed:
            self._seconds = self._tokens = 0.0

    def took_round(self, seconds: float, tokens: int) -> None:
        """Take in what a round took, and how many tokens came of it."""
        self._seconds = _FADES * self._seconds + seconds
        self._tokens = _FADES * self._tokens + tokens
        self._loss = max(0.0, seconds - tokens * (self.plain or 0.0))
        self._failed = self._failed + 1 if self._loss else 0
        self._agreed = not self._loss
        self._waited = self._due = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it is too soon to ask what is worth it. Costs nothing: it is asked before each token."""
        return self._waited < self._due or self.plain is None

    @property
    def _share(self) -> float:
        return _LOSS_SHARE / (1 << max(0, min(self._failed - 1, _HALVINGS)))

    def _trial(self, missing: int) -> float:
        """Say what a trial costs: reading, guesses, and what was lost when they were last checked."""
        alone = self._weight * (self.plain or 0.0)
        reading = self._reading
        if reading is None:
            reading = alone if self._target_reading is None else self._weight * self._target_reading
        guess = alone if self._guess is None else self._guess
        return missing * reading + TRIAL_TOKENS * guess + self._loss

    def worth(self, missing: int, left: int) -> bool:
        """Say whether to guess, before which the draft has to read so many tokens, with so many left to write."""
        if self.plain is None:
            return False
        speed = self.speed
        if speed is not None and self.pays:
            return min(left, _SOON) * self.plain * (1 - 1 / speed) > missing * (self._reading or 0.0)
        due = self._trial(missing) / self._share
        if self._agreed or self._waited >= due:
            return True
        self._due = due
        return False
