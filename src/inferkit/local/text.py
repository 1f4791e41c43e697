"""Turns the bytes of tokens into text that may be shown: whole characters, and nothing from a stop sequence on."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ReplyText"]


class ReplyText:
    """Collects a reply. `add` and `end` return the text that is certain; `stopped` says a stop sequence was met.

    Bytes that may become a character, and text that may become a stop sequence, are held back until that is decided.
    With `strip_space`, one space at the very start is left out: SentencePiece puts it before every text. `taken` is how
    many characters came, and `shown` how many of them were returned.
    """

    def __init__(self, stops: Sequence[str] = (), *, strip_space: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._strip = strip_space
        self._held = ""
        self.stopped = False
        self.shown = 0

    @property
    def taken(self) -> int:
        """How many characters came, those included that are held back."""
        return self.shown + len(self._held)

    def add(self, piece: bytes) -> str:
        """Take the bytes of a token."""
        return self._take(self._decoder.decode(piece), final=False)

    def end(self) -> str:
        """Give what was held back, now that nothing follows; an unfinished character becomes U+FFFD."""
        return self._take(self._decoder.decode(b"", final=True), final=True)

    def _take(self, new: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        if self._strip and new:
            self._strip = False
            new = new.removeprefix(" ")
        text = self._held + new
        found = [place for place in map(text.find, self._stops) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            self.shown += min(found)
            return text[: min(found)]
        keep = 0 if final else self._undecided(text)
        self._held = text[len(text) - keep :]
        self.shown += len(text) - keep
        return text[: len(text) - keep]

    def _undecided(self, text: str) -> int:
        """Count the characters at the end that may be the beginning of a stop sequence."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            tail = text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
