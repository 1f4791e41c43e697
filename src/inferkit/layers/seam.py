"""Where two parts of a reply meet: what the second one has to begin with, which is not handed on again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.core.body import Batch

__all__ = ["NoSeamError", "Seam"]

_TELLING = 20
"""Characters: so many that are the same as at the beginning of a reply are no chance."""


class NoSeamError(Exception):
    """What came does not begin as it has to."""


class Seam:
    """Takes the words off the beginning of a part with which it has to begin, however they come in pieces.

    `after_space` lets it begin with spaces, which are not of the reply. `said` is what came before, where its server
    may begin anew in place of going on: if all of that comes again it is taken off too, and if only its beginning
    does, nothing fits.
    """

    __slots__ = ("_after_space", "_begun", "_fits", "_held", "_said", "_words")

    def __init__(self, words: str, *, after_space: bool = False, said: str = "") -> None:
        self._words = words
        self._after_space = after_space
        self._said = said if len(said) >= _TELLING else ""
        self._held: Batch = []
        self._begun = ""
        self._fits = False

    def fit(self, batch: Batch) -> Batch:
        """Give what of the part comes after the seam; nothing as long as that is not known.

        Raises `NoSeamError` as soon as it is known that it does not fit.
        """
        if self._fits:
            return batch
        self._held += batch
        for chunk in batch:
            self._begun += chunk.text
        begun = self._begun.lstrip() if self._after_space else self._begun
        over = any(chunk.finish_reason is not None or chunk.tool_calls for chunk in batch)
        if self._said and self._may_be_anew(begun, over=over):
            return []
        if not begun.startswith(self._words):
            if over or not self._words.startswith(begun):
                raise NoSeamError
            return []
        drop = len(self._begun) - len(begun) + len(self._words)
        rest: Batch = []
        for chunk in self._held:
            text = chunk.text[drop:]
            drop -= len(chunk.text) - len(text)
            if text or not chunk.text:
                rest.append(chunk if text == chunk.text else chunk._replace(text=text))
            elif chunk.usage is not None or chunk.finish_reason is not None:
                rest.append(chunk._replace(text=""))
        self._fits, self._held = True, []
        return rest

    def _may_be_anew(self, begun: str, *, over: bool) -> bool:
        """Whether more has to come before it is known that this goes on, and does not begin the reply anew."""
        said = self._said
        differs = (place for place, (one, other) in enumerate(zip(begun, said, strict=False)) if one != other)
        again = next(differs, min(len(begun), len(said)))  # characters at the beginning that are the same
        if again == len(begun) < len(said) and not over:
            return True
        if again == len(said) and said.find(said[:_TELLING], 1) < 0:
            self._words = said
        elif again >= _TELLING:  # it began anew in other words, or says the same twice
            raise NoSeamError
        self._said = ""
        return False
