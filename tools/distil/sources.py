"""What training draws from a file's examples: each in turn, with what it copies made up anew."""

import random
import string
from dataclasses import dataclass

from .dataset import Example
from .frame import Frame


def alike(text: str, rng: random.Random) -> str:
    """Another text of the same shape: digits for digits, letters for letters, the rest as it is."""
    kinds = (string.digits, string.ascii_uppercase, string.ascii_lowercase)
    return "".join(next((rng.choice(kind) for kind in kinds if character in kind), character) for character in text)


@dataclass(frozen=True, slots=True)
class Invented:
    """Makes up values like those that were copied."""

    values: tuple[str, ...]

    def __call__(self, rng: random.Random) -> str:
        """A value of one of their shapes."""
        return alike(rng.choice(self.values), rng)


def copied_values(frame: Frame, examples: list[Example]) -> tuple[str, ...]:
    """All that the examples copy from their messages."""
    names = [field.name for field in frame.fields if field.kind == "copied"]
    return tuple(value for one in examples for name in names if (value := one.answer[name]))


class Shuffled:
    """Draws every example as often as any other, with other values to copy half of the time."""

    def __init__(self, examples: list[Example], frame: Frame) -> None:
        self._examples, self._frame = examples, frame
        self._queue: list[Example] = []

    def __call__(self, rng: random.Random) -> Example:
        """The next example."""
        if not self._queue:
            self._queue = rng.sample(self._examples, len(self._examples))
        one = self._queue.pop()
        return self._renumbered(one, rng) if rng.random() < 0.5 else one

    def _renumbered(self, one: Example, rng: random.Random) -> Example:
        message, answer = one.message, dict(one.answer)
        for field in self._frame.fields:
            old = answer[field.name]
            if field.kind == "copied" and old and message.count(old) == 1 and any(map(str.isdigit, old)):
                new = alike(old, rng)
                message = message.replace(old, new)
                answer = {name: value and value.replace(old, new) for name, value in answer.items()}
        return Example(message, answer, one.kind)
