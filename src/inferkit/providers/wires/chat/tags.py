"""Reasoning that a server writes into the text, between tags, told apart from the text.

It stands before the answer, in one piece or in several. Nothing is held back but what may be the beginning of a tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.chunks import Chunk

__all__ = ["Tags"]

_MOST_BLANKS = 1000
"""What may stand before a tag, and is held until it is known what follows."""


class Tags:
    """Splits the texts of one reply."""

    __slots__ = ("_begin", "_end", "_held", "_inside", "_met", "_over")

    def __init__(self, begin: str, end: str) -> None:
        self._begin = begin
        self._end = end
        self._held = ""
        self._inside = False
        self._met = False
        self._over = False  # the answer has begun: tags in it are its own

    def split(self, chunks: Iterable[Chunk]) -> list[Chunk]:
        """Give the chunks with the reasoning in its place. The last held piece comes with the reason of the end."""
        if self._over:
            return list(chunks)
        split = []
        for chunk in chunks:
            text, reasoning = self._split(chunk.text) if chunk.text else ("", "")
            if chunk.finish_reason is not None:
                more, thought = self.rest()
                text, reasoning = text + more, reasoning + thought
            split.append(chunk._replace(text=text, reasoning=chunk.reasoning + reasoning))
        return split

    def rest(self) -> tuple[str, str]:
        """Give what is held, as text and reasoning, of a reply that is over."""
        held, self._held = self._held, ""
        return ("", held) if self._inside else (held, "")

    def _split(self, text: str) -> tuple[str, str]:
        text, self._held = self._held + text, ""
        thoughts: list[str] = []
        while text and not self._over:
            if self._inside:
                thought, found, after = text.partition(self._end)
                if not found:
                    kept = _beginning(text, self._end)
                    thought, self._held = text[: len(text) - kept], text[len(text) - kept :]
                thoughts.append(thought)
                self._inside, text = not found, after
            else:
                bare = text.lstrip()
                if bare.startswith(self._begin):
                    self._inside, self._met, text = True, True, bare[len(self._begin) :]
                elif self._begin.startswith(bare) and len(text) < _MOST_BLANKS:
                    self._held, text = text, ""
                else:
                    self._over = True
                    text = bare if self._met else text
        return text, "".join(thoughts)


def _beginning(text: str, tag: str) -> int:
    """Say how long the beginning of a tag is that a text ends with."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
