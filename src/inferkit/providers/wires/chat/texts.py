"""Reads that bring pieces of text alone, by what is around them: a tenth of the time that their JSON takes.

Nearly all events of a reply are the same bytes around another piece of text. What is before and after the text is
learned from one of them; where a read consists of such events, and nothing in between needs unescaping, the pieces are
all there is to read. In JSON a byte means what those before it say, so that such an event could mean nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inferkit.core.chunks import Chunk
from inferkit.providers.wires.chat.events import ChatEvents
from inferkit.providers.wires.payload import parse

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Texts"]

_OPENING = re.compile(rb'"content":\s*"')
_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_is_plain: Callable[[bytes], object] = re.compile(rb'[^"\\\x00-\x1f]*').fullmatch
_TRIES = 4  # for a reply of which no two events are alike, as where each is padded
_PROBE = "probe"
_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token


class Texts:
    """What is around the text in the events of one reply, once that is known."""

    __slots__ = ("_after", "_before", "_head", "_tail", "_tries")

    def __init__(self) -> None:
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
        return [
            _new(Chunk, (text, "", (), None, None, (before, piece, after), (), None, ()))
            for text, piece in zip(texts, pieces, strict=True)
        ]

    def learn(self, event: bytes) -> None:
        """Look what is around the text of an event that brought some."""
        opening = _OPENING.search(event) if self._tries else None
        if opening is None or b"\n" in event:
            return
        self._tries -= 1
        string = _STRING.match(event, opening.end())
        assert string is not None
        before, after = event[: opening.end()], event[string.end() :]
        found: list[Chunk] = []
        ChatEvents().read_text(
            parse(before + _PROBE.encode() + after), found
        )  # JSON still, as it was with another text
        if found and found[0].text == _PROBE:
            self._before, self._after = before, after
            self._head, self._tail = b"data: " + before, after + b"\n\n"
