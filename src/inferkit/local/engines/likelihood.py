"""How likely a model found the tokens that it wrote: kept while a reply is made, and told with its text.

A log-probability is that of the model's own scores over its whole vocabulary: before any temperature, penalty, bias or
grammar, which say what may be written and nothing of what the model thinks. So do OpenAI and llama.cpp's server.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.local.engines.interface import InferenceEngine

__all__ = ["Likelihoods"]


class _Written(NamedTuple):
    place: int
    told: list[Any]


class Likelihoods:
    """The log-probabilities of a reply's tokens, and of the `count` likeliest in the place of each.

    `look` comes before anybody changes the scores, and `wrote` once a token was chosen by them.
    """

    def __init__(self, engine: InferenceEngine, piece: Callable[[int], bytes], count: int) -> None:
        self._engine = engine
        self._piece = piece
        self._count = count
        self._total = 0.0
        self._scores = array.array("f")
        self._top: list[tuple[int, float]] = []
        self._written: list[_Written] = []

    def look(self) -> None:
        """Take note of the scores as they are."""
        self._total = self._engine.log_sum_exp()
        self._top = self._engine.top(self._count) if self._count else []
        self._scores = array.array("f", bytes(self._engine.logits))

    def wrote(self, token: int, place: int) -> None:
        """Take note of a token whose text begins at a `place` of the reply, in characters."""
        likeliest = [[self._text(each), score - self._total] for each, score in self._top]
        self._written.append(
            _Written(place, [self._text(token), min(0.0, self._scores[token] - self._total), likeliest])
        )

    def shown(self, length: int) -> list[list[Any]]:
        """Give what is to be told once `length` characters are shown: text, log-probability, likeliest ones."""
        count = sum(one.place < length for one in self._written)
        told = [one.told for one in self._written[:count]]
        del self._written[:count]
        return told

    def _text(self, token: int) -> str:
        """Spell a token; a byte that is no whole character is spelled by its number."""
        return self._piece(token).decode("utf-8", "backslashreplace")
