"""Reads that bring pieces of text alone, by what is around them: a tenth of the time that their JSON takes.

Nearly all events of a reply are the same bytes around another piece of text, and around a few more places that differ:
counts, which grow, and padding. What stands before, between and after these is learned from one event; where a read
consists of such events, and what is in the places is plain, that is all there is to read. In JSON a byte means what
those before it say, so that such an event could mean nothing else.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from inferkit.core.body import TextBatch
from inferkit.core.chunks import Chunk
from inferkit.providers.sse import CR
from inferkit.providers.wires.payload import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from inferkit.core.usage import Usage

__all__ = ["NUMBER", "PADDING", "TextForm", "Texts"]

NUMBER = rb"(?P<number>0|[1-9][0-9]{0,14})(?![0-9.eE])"
"""A place with a whole number, for `TextForm.varies`; what stands in the group "name" is what it counts."""

PADDING = rb'"(?P<padding>[^"\\\x00-\x1f]*)"'
"""A place with a text that means nothing."""

_ALLOWED = {  # with quantifiers that give nothing back: nothing is read twice, whatever a server sends
    "text": rb'[^"\\\x00-\x1f]++',
    "number": rb"(?:0|[1-9][0-9]{0,14}+)",
    "count": rb"[1-9][0-9]{0,14}+",  # a number that was not 0, in half the time
    "padding": rb'[^"\\\x00-\x1f]*+',
    "blanks": b" *+",
}
_PLAIN = {kind: re.compile(allowed).fullmatch for kind, allowed in _ALLOWED.items()}
_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_NOWHERE = re.compile(rb"(?!)")
_OF_CHUNK, _OF_USAGE = 170, 180
_MOST_PLACES = 8
_TRIES = 4  # for a reply of which no two events are alike
_PROBE, _FIRST_NUMBER = "probe", 900_000_001
_CHUNKS, _BLANK, _NONE, _EMPTY = repeat(Chunk), repeat(""), repeat(None), repeat(())
_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token


class TextForm(NamedTuple):
    """How a wire's events look that bring text and nothing else.

    `lead` is what a server writes before an event's data, `opening` finds where the text begins in it. `read` gives the
    text of such an event and what it counts, or None for others; a wire that counts nothing there gives an empty dict.
    `varies` finds what else differs from one to the next: a `NUMBER`, a `PADDING`, or blanks (a group of that name).
    """

    lead: bytes
    opening: re.Pattern[bytes]
    read: Callable[[Any], tuple[str, dict[str, Any]] | None]
    varies: re.Pattern[bytes] = _NOWHERE


class _TextPlace(NamedTuple):
    """Where events differ: from where to where in the one that was learned from, what is there, and what it counts."""

    begin: int
    end: int
    kind: str
    name: str = ""


class _AlikeEvents(NamedTuple):
    """How events are taken apart that are alike but for their places.

    `end` and `next` are what stands after the data of one, and between those of two; `seam` is all between the last
    place of one and the first of the next. `take_apart` gives what is in the places of each. It goes by how long what
    is around them is; that it is the same bytes is seen when they are put together again.
    """

    end: bytes
    next: bytes
    seam: bytes
    take_apart: Callable[[bytes], list[Any]]


_Counts: TypeAlias = "Mapping[str, Sequence[bytes]]"
_Usages: TypeAlias = "Callable[[_Counts, int], tuple[list[Usage], Usage] | None]"
_Brought: TypeAlias = "tuple[list[tuple[bytes, ...]], list[str], _Counts, int]"
"""What events bring: each of them in pieces, their texts, and all that they count; and how many bytes they are."""


class Texts:
    """What is around the text in the events of one reply, once that is known.

    `usages` gives what has been counted with each of several events, and with all of them; see `GeminiCounts.grow`.
    `wants_more` says that nothing is known, and that another event may teach it. `size` is about what a chunk takes in
    memory, in bytes.
    """

    __slots__ = (
        "_after", "_before", "_between", "_counts", "_form", "_head", "_known", "_pieces", "_places", "_steps", "_text",
        "_tries", "_two", "_usages", "size",
    )  # fmt: skip

    def __init__(self, form: TextForm, usages: _Usages | None = None) -> None:
        self.size = _OF_CHUNK if usages is None else _OF_CHUNK + _OF_USAGE
        self._form = form
        self._usages = usages
        self._head = self._before = self._after = b""
        self._between: list[bytes] = []
        self._pieces: list[Iterable[Any]] = []  # of events: what is around their places, and room for what is in them
        self._places: list[_TextPlace] = []
        self._text = 0  # which of the places that is
        self._counts: list[tuple[str, int]] = []  # and those that count something
        self._two = 0  # events take at least so many bytes
        self._steps: list[tuple[_TextPlace, Callable[[bytes], object], bytes]] = []  # and what stands after the place
        self._known: _AlikeEvents | None = None
        self._tries = _TRIES

    @property
    def wants_more(self) -> bool:
        """See above."""
        return not self._head and self._tries > 0

    def forget(self) -> None:
        """Know nothing any more: something else came, after which an event of the same bytes may mean another thing."""
        self._head, self._known = b"", None

    def read(self, data: bytes) -> tuple[list[Chunk], int]:
        """Read the events that some bytes begin with and that are like the one that was learned from.

        They bring text alone. Say how many bytes they are.
        """
        if len(data) < self._two:
            chunks = self._read_one(data)
            if chunks is not None:
                return chunks, len(data)
        found = self._taken_apart(data)
        if found is None:
            return [], 0
        events, texts, counts, size = found
        self._tries = _TRIES
        usages, usage = (self._usages and self._usages(counts, len(events))) or (None, None)
        said = zip(texts, _BLANK, _EMPTY, _NONE, usages or _NONE, events, _EMPTY, _NONE, _EMPTY, strict=False)
        batch = TextBatch(map(_new, _CHUNKS, said))
        batch.texts, batch.usages, batch.usage = texts, usages, usage
        return batch, size

    def _read_one(self, data: bytes) -> list[Chunk] | None:
        """Read one whole event, as most reads bring, in a third of the time that `_taken_apart` takes."""
        head, after = self._head, self._after
        rest = data.removesuffix(b"\r\n\r\n" if data.endswith(b"\r\n\r\n") else b"\n\n")
        around = len(head) + len(after)
        if not (head and data.startswith(head) and rest is not data and rest.endswith(after) and len(rest) > around):
            return None
        event = rest = rest[len(head) : len(rest) - len(after)]
        text, counts = b"", {}
        for place, is_plain, constant in self._steps:
            piece, found, rest = rest.partition(constant) if constant else (rest, b"", b"")
            if found != constant or not is_plain(piece):
                return None
            if place.name:
                counts[place.name] = [piece]
            elif place.kind == "text":
                text = piece
        try:
            words = text.decode()
        except UnicodeDecodeError:
            return None
        self._tries = _TRIES
        known = self._usages and self._usages(counts, 1)
        usage = known[1] if known else None
        return [_new(Chunk, (words, "", (), None, usage, (self._before, event, after), (), None, ()))]

    def _taken_apart(self, data: bytes) -> _Brought | None:
        """Give what the first events bring that are like the one that was learned from; None where there are none."""
        if not self._head or not data.startswith(self._head):
            return None
        known, end = self._known, b"\r\n\r\n" if CR in data else b"\n\n"
        if known is None or known.end != end:
            known = self._known = self._knowing(end)
        found = known.take_apart(data)
        if len(self._places) == 1:
            columns: list[Sequence[bytes]] = [found]
            events = self._events(columns)
            again = b"".join((self._head, known.seam.join(found), self._after, end))
        else:
            if found[-2] is None:  # of what is left
                found = found[: -len(self._places) - 1]
            columns = [found[place :: len(self._places) + 1] for place in range(1, len(self._places) + 1)]
            events = self._events(columns)
            again = b"".join((self._form.lead, known.next.join(map(b"".join, events)), end))
        size = len(data)
        if again != data or not columns[self._text][-1]:  # of what is left
            columns, size = self._alike(columns, again, data)
            if not size:
                return None
            events = self._events(columns)
        counts = {name: columns[place] for name, place in self._counts} if self._counts else {}
        try:
            return events, b"\0".join(columns[self._text]).decode().split("\0"), counts, size
        except UnicodeDecodeError:
            return None

    def _events(self, columns: list[Sequence[bytes]]) -> list[tuple[bytes, ...]]:
        """Give events piece by piece: what is in their places, and what stands around these."""
        pieces = self._pieces.copy()
        pieces[1::2] = columns
        return list(zip(*pieces, strict=False))

    def _alike(self, columns: list[Sequence[bytes]], again: bytes, data: bytes) -> tuple[list[Sequence[bytes]], int]:
        """Give the places of those first events that came as they are put together `again`, and how long these are."""
        assert self._known is not None
        same = bisect_left(range(len(data)), True, key=lambda size: again[: size + 1] != data[: size + 1])
        around = len(self._known.seam) + sum(map(len, self._between))
        ends = list(accumulate([around + sum(map(len, event)) for event in zip(*columns, strict=True)], initial=0))
        alike = bisect_right(ends, same) - 1
        if alike and not columns[self._text][alike - 1]:
            alike -= 1
        return [column[:alike] for column in columns], ends[alike]

    def _knowing(self, end: bytes) -> _AlikeEvents:
        """Say how events are taken apart that end with these line ends."""
        around = [self._head, *self._between, self._after + end]
        kinds = tuple([place.kind for place in self._places])
        apart = _taking_apart(tuple(map(len, around)), kinds)
        return _AlikeEvents(end, end + self._form.lead, around[-1] + self._head, apart)

    def learn(self, event: bytes) -> None:
        """Look what is around the text of an event that brought words, if it brought a text and nothing else."""
        if self._taken_apart(self._form.lead + event + b"\n\n") is not None:
            return
        self.forget()
        opening = self._form.opening.search(event) if self._tries > 0 else None
        if opening is None or b"\n" in event:
            return
        self._tries -= 1
        string = _STRING.match(event, opening.end())
        assert string is not None
        places = sorted([_TextPlace(*string.span(), "text"), *self._others(event, string.span())])
        ends = [0, *[place.end for place in places]]
        begins = [*[place.begin for place in places], len(event)]
        constants = [event[end:begin] for end, begin in zip(ends, begins, strict=True)]
        before, *between, after = constants
        if len(places) > _MOST_PLACES or b"" in between or not self._is_known_form(constants, places):
            return
        self._before, self._between, self._after, self._places = before, between, after, places
        self._pieces = [repeat(before)]
        for constant in [*between, after]:
            self._pieces += [_EMPTY, repeat(constant)]  # with what is in a place before each
        self._text = next(number for number, place in enumerate(places) if place.kind == "text")
        self._counts = [(place.name, number) for number, place in enumerate(places) if place.name]
        self._steps = [(at, _PLAIN[at.kind], follows) for at, follows in zip(places, [*between, b""], strict=True)]
        self._head = self._form.lead + before
        self._two = 2 * len(self._head + after + b"\n\n")

    def _others(self, event: bytes, text: tuple[int, int]) -> Iterable[_TextPlace]:
        """Find what else varies, outside of the text."""
        for found in self._form.varies.finditer(event):
            kind = found.lastgroup
            assert kind is not None
            begin, end = found.span(kind)
            if kind == "number" and event[begin:end] != b"0":
                kind = "count"
            if end < text[0] or begin > text[1]:
                yield _TextPlace(begin, end, kind, (found.groupdict().get("name") or b"").decode())

    def _is_known_form(self, constants: list[bytes], places: list[_TextPlace]) -> bool:
        """Say whether events like this one bring what is in its places and nothing else: JSON still, as it was."""
        probes, counts = [constants[0]], {}
        for number, (place, constant) in enumerate(zip(places, constants[1:], strict=True), _FIRST_NUMBER):
            if place.name:
                counts[place.name] = number
            probe = {"text": _PROBE, "padding": _PROBE, "blanks": " "}.get(place.kind, str(number))
            probes += [probe.encode(), constant]
        found = self._form.read(parse(b"".join(probes)))
        return found is not None and found[0] == _PROBE and counts.items() <= found[1].items()


@lru_cache
def _taking_apart(lengths: tuple[int, ...], kinds: tuple[str, ...]) -> Callable[[bytes], list[Any]]:
    """Make what takes events apart in which so many bytes stand around and between places of these kinds.

    Where an event is not like that, all that is left is taken for one with nothing in its places. What is in them comes
    event by event in one list; where they are several, something else stands before those of each event.
    """
    first, *others = [b".{%d}+" % length for length in lengths]
    places = [b"(%s)%s" % (_ALLOWED[kind], skipped) for kind, skipped in zip(kinds, others, strict=True)]
    event = re.compile(b"%s%s|.+" % (first, b"".join(places)), re.DOTALL)
    return event.findall if len(kinds) == 1 else event.split
