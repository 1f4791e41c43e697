"""Events of one stream that are the same bytes but for a few places: taken apart, and put together again."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.core.usage import Usage

__all__ = ["ALLOWED", "AlikeEvents", "EventPlace", "ReadEvents"]

ALLOWED = {  # with quantifiers that give nothing back: nothing is read twice, whatever a server sends
    "text": rb'[^"\\\x00-\x1f]++',
    "number": rb"(?:0|[1-9][0-9]{0,14}+)",
    "count": rb"[1-9][0-9]{0,14}+",  # a number that was not 0, in half the time
    "padding": rb'[^"\\\x00-\x1f]*+',
    "blanks": b" *+",
}


class EventPlace(NamedTuple):
    """Where events differ: from where to where in the one that was learned from, what is there, and what it counts."""

    begin: int
    end: int
    kind: str
    name: str = ""


class AlikeEvents(NamedTuple):
    """How events are taken apart that are alike but for their places.

    `end` is what stands after the data of one. `pieces` are those of one, from what leads to it to its end, with room
    for what is in its places. `take_apart` gives what is in the places of each. It goes by how long what is around
    them is; that it is the same bytes is seen when they are put together again.
    """

    end: bytes
    pieces: list[bytes]
    take_apart: Callable[[bytes], list[Any]]

    @classmethod
    def of(cls, around: Sequence[bytes], kinds: tuple[str, ...], end: bytes) -> AlikeEvents:
        """Make those that have this around their places, the first of which stands after the lead too."""
        constants = [*around[:-1], around[-1] + end]
        pieces = [b""] * (2 * len(kinds) + 1)
        pieces[::2] = constants
        return cls(end, pieces, _taking_apart(tuple(map(len, constants)), kinds))

    def again(self, columns: Sequence[Sequence[bytes]]) -> bytes:
        """Put events together of what is in their places."""
        pieces = self.pieces * len(columns[0])
        for place, column in enumerate(columns):
            pieces[2 * place + 1 :: len(self.pieces)] = column
        return b"".join(pieces)


class ReadEvents:
    """The events of one read, of which each can be given; see `Origin`."""

    __slots__ = ("_around", "_columns", "_usage")

    def __init__(
        self, around: list[bytes], columns: list[Sequence[bytes]], usage: Callable[[int], Usage] | None
    ) -> None:
        self._around = around
        self._columns = columns
        self._usage = usage

    def event(self, place: int) -> tuple[bytes, ...]:
        """Give one in pieces: what is in its places, and what stands around these."""
        before, *others = self._around
        within = zip(self._columns, others, strict=True)
        return (before, *chain.from_iterable((column[place], constant) for column, constant in within))

    def usage(self, place: int) -> Usage | None:
        """Give what was counted with one."""
        return None if self._usage is None else self._usage(place)


@lru_cache
def _taking_apart(lengths: tuple[int, ...], kinds: tuple[str, ...]) -> Callable[[bytes], list[Any]]:
    """Make what takes events apart in which so many bytes stand around and between places of these kinds.

    Where an event is not like that, all that is left is taken for one with nothing in its places. What is in them comes
    event by event in one list; where they are several, something else stands before those of each event.
    """
    first, *others = [b".{%d}+" % length for length in lengths]
    places = [b"(%s)%s" % (ALLOWED[kind], skipped) for kind, skipped in zip(kinds, others, strict=True)]
    event = re.compile(b"%s%s|.+" % (first, b"".join(places)), re.DOTALL)
    return event.findall if len(kinds) == 1 else event.split
