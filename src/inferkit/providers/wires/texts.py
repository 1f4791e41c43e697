"""Reads that bring pieces of text alone, by what is around them: a tenth of the time that their JSON takes.

Nearly all events of a reply are the same bytes around another piece of text. What is before and after the text is
learned from one of them; where a read consists of such events, and nothing in between needs unescaping, the pieces are
all there is to read. In JSON a byte means what those before it say, so that such an event could mean nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inferkit.core.chunks import Chunk
from inferkit.providers.wires.payload import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Texts"]

_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_is_plain: Callable[[bytes], object] = re.compile(rb'[^"\\\x00-\x1f]*').fullmatch
_TRIES = 4  # for a reply of which no two events are alike, as where each is padded
_PROBE = "probe"
_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token


class Texts:
    """What is around the text in the events of one reply, once that is known.

    `lead` is what a server writes before an event's data, `opening` finds where the text begins in it, and `text_of`
    gives the text of an event that brings one and nothing else, or None.
    """

    __slots__ = ("_after", "_before", "_head", "_lead", "_opening", "_tail", "_text_of", "_tries")

    def __init__(self, lead: bytes, opening: re.Pattern[bytes], text_of: Callable[[Any], str | None]) -> None:
        self._lead = lead
        self._opening = opening
        self._text_of = text_of
        self._before = self._after = self._head = self._tail = b""
        self._tries = _TRIES

    def read(self, data: bytes) -> list[Chunk] | None:
        """Read whole events, if all of them bring text alone and are like the one that was learned from."""
        head, tail = self._head, self._tail
        if not (head and data.startswith(head) and data.endswith(tail) and len(data) >= len(head) + len(tail)):
            return None
        pieces = data[len(head) : -len(tail)].split(tail + head)
        if not _is_plain(b"".join(pieces)):
            return None
        try:
            texts = b"\n".join(pieces).decode().split("\n")
        except UnicodeDecodeError:
            return None
        before, after = self._before, self._after
        self._tries = _TRIES
        return [
            _new(Chunk, (text, "", (), None, None, (before, piece, after), (), None, ()))
            for text, piece in zip(texts, pieces, strict=True)
        ]

    def learn(self, event: bytes) -> None:
        """Look what is around the text of an event that brought some."""
        opening = self._opening.search(event) if self._tries else None
        if opening is None or b"\n" in event:
            return
        self._tries -= 1
        string = _STRING.match(event, opening.end())
        assert string is not None
        before, after = event[: opening.end()], event[string.end() :]
        probe = parse(before + _PROBE.encode() + after)  # JSON still, as it was with another text
        if self._text_of(probe) == _PROBE:
            self._before, self._after = before, after
            self._head, self._tail = self._lead + before, after + b"\n\n"
