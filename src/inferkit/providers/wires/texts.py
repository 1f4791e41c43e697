"""Reads that bring pieces of text alone, by what is around them: a tenth of the time that their JSON takes.

Nearly all events of a reply are the same bytes around another piece of text, and around a few more places that differ:
counts, which grow, and padding. What stands before, between and after these is learned from one event; where a read
consists of such events, and what is in the places is plain, that is all there is to read. In JSON a byte means what
those before it say, so that such an event could mean nothing else.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate, count, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from inferkit.core.body import TextBatch
from inferkit.core.chunks import Chunk, TextChunk
from inferkit.core.usage import Usage
from inferkit.providers.sse import CR
from inferkit.providers.wires.alike_events import ALLOWED, AlikeEvents, EventPlace, ReadEvents
from inferkit.providers.wires.payload import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["NUMBER", "PADDING", "TextForm", "Texts", "joined"]

NUMBER = rb"(?P<number>0|[1-9][0-9]{0,14})(?![0-9.eE])"
"""A place with a whole number, for `TextForm.varies`; what stands in the group "name" is what it counts."""

PADDING = rb'"(?P<padding>[^"\\\x00-\x1f]*)"'
"""A place with a text that means nothing."""

_PLAIN = {kind: re.compile(allowed).fullmatch for kind, allowed in ALLOWED.items()}
_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_NOWHERE = re.compile(rb"(?!)")
_OF_CHUNK, _OF_USAGE = 170, 180
_MOST_PLACES = 8
_TRIES = 4  # for a reply of which no two events are alike
_PROBE, _FIRST_NUMBER = "probe", 900_000_001
_CHUNKS = repeat(TextChunk)
_MOST_BEFORE = 4  # chunks that are looked at, to see whether they are like those after them
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


_Counts: TypeAlias = "Mapping[str, Sequence[bytes]]"
_Counted: TypeAlias = "tuple[Callable[[int], Usage], Usage | None]"
_Usages: TypeAlias = "Callable[[_Counts, int], _Counted | None]"
_Brought: TypeAlias = "tuple[list[Sequence[bytes]], list[str], _Counts, int]"
"""What events bring: what is in each of their places, their texts, and all that they count; and how many bytes they
are."""


class Texts:
    """What is around the text in the events of one reply, once that is known.

    `usages` says what has been counted with each of several events, and with all of them; see `GeminiCounts.grow`.
    `wants_more` says that nothing is known, and that another event may teach it. `size` is about what a chunk takes in
    memory, in bytes.
    """

    __slots__ = (
        "_around", "_counts", "_form", "_head", "_known", "_places", "_steps", "_text", "_tries", "_two", "_usages",
        "size",
    )  # fmt: skip

    def __init__(self, form: TextForm, usages: _Usages | None = None) -> None:
        self.size = _OF_CHUNK if usages is None else _OF_CHUNK + _OF_USAGE
        self._form = form
        self._usages = usages
        self._head = b""
        self._around: list[bytes] = []  # what stands before, between and after the places of an event
        self._places: list[EventPlace] = []
        self._text = 0  # which of the places that is
        self._counts: list[tuple[str, int]] = []  # and those that count something
        self._two = 0  # events take at least so many bytes
        self._steps: list[tuple[EventPlace, Callable[[bytes], object], bytes]] = []  # and what stands after the place
        self._known: AlikeEvents | None = None
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
        columns, texts, counts, size = found
        self._tries = _TRIES
        counted = None if self._usages is None else self._usages(counts, len(texts))
        usage_at, usage = (None, None) if counted is None else counted
        said = zip(texts, repeat(ReadEvents(self._around, columns, usage_at)), count(), strict=False)
        known = texts if usage is not None or counted is None else None
        return TextBatch.of(map(_new, _CHUNKS, said), known, usage), size

    def _read_one(self, data: bytes) -> list[Chunk] | None:
        """Read one whole event, as most reads bring, in a third of the time that `_taken_apart` takes."""
        head, after = self._head, self._around[-1] if self._around else b""
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
        usage = known[0](0) if known else None
        return [_new(Chunk, (words, "", (), None, usage, (self._around[0], event, after), (), None, ()))]

    def _taken_apart(self, data: bytes) -> _Brought | None:
        """Give what the first events bring that are like the one that was learned from; None where there are none."""
        if not self._head or not data.startswith(self._head):
            return None
        known, end = self._known, b"\r\n\r\n" if CR in data else b"\n\n"
        if known is None or known.end != end:
            around = [self._head, *self._around[1:]]
            known = self._known = AlikeEvents.of(around, tuple([place.kind for place in self._places]), end)
        found = known.take_apart(data)
        places = len(self._places)
        if places == 1:
            columns: list[Sequence[bytes]] = [found]
        else:
            if found[-2] is None:  # of what is left
                found = found[: -places - 1]
            columns = [found[place :: places + 1] for place in range(1, places + 1)]
        again = known.again(columns)
        size = len(data)
        if again != data or not columns[self._text][-1]:  # of what is left
            columns, size = self._alike(columns, again, data)
            if not size:
                return None
        counts = {name: columns[place] for name, place in self._counts} if self._counts else {}
        try:
            return columns, b"\0".join(columns[self._text]).decode().split("\0"), counts, size
        except UnicodeDecodeError:
            return None

    def _alike(self, columns: list[Sequence[bytes]], again: bytes, data: bytes) -> tuple[list[Sequence[bytes]], int]:
        """Give the places of those first events that came as they are put together `again`, and how long these are."""
        assert self._known is not None
        same = bisect_left(range(len(data)), True, key=lambda size: again[: size + 1] != data[: size + 1])
        around = sum(map(len, self._known.pieces))
        ends = list(accumulate([around + sum(map(len, event)) for event in zip(*columns, strict=True)], initial=0))
        alike = bisect_right(ends, same) - 1
        if alike and not columns[self._text][alike - 1]:
            alike -= 1
        return [column[:alike] for column in columns], ends[alike]

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
        places = sorted([EventPlace(*string.span(), "text"), *self._others(event, string.span())])
        ends = [0, *[place.end for place in places]]
        begins = [*[place.begin for place in places], len(event)]
        constants = [event[end:begin] for end, begin in zip(ends, begins, strict=True)]
        before, *between, after = constants
        if len(places) > _MOST_PLACES or b"" in between or not self._is_known_form(constants, places):
            return
        self._around, self._places = constants, places
        self._text = next(number for number, place in enumerate(places) if place.kind == "text")
        self._counts = [(place.name, number) for number, place in enumerate(places) if place.name]
        self._steps = [(at, _PLAIN[at.kind], follows) for at, follows in zip(places, [*between, b""], strict=True)]
        self._head = self._form.lead + before
        self._two = 2 * len(self._head + after + b"\n\n")

    def _others(self, event: bytes, text: tuple[int, int]) -> Iterable[EventPlace]:
        """Find what else varies, outside of the text."""
        for found in self._form.varies.finditer(event):
            kind = found.lastgroup
            assert kind is not None
            begin, end = found.span(kind)
            if kind == "number" and event[begin:end] != b"0":
                kind = "count"
            if end < text[0] or begin > text[1]:
                yield EventPlace(begin, end, kind, (found.groupdict().get("name") or b"").decode())

    def _is_known_form(self, constants: list[bytes], places: list[EventPlace]) -> bool:
        """Say whether events like this one bring what is in its places and nothing else: JSON still, as it was."""
        probes, counts = [constants[0]], {}
        for number, (place, constant) in enumerate(zip(places, constants[1:], strict=True), _FIRST_NUMBER):
            if place.name:
                counts[place.name] = number
            probe = {"text": _PROBE, "padding": _PROBE, "blanks": " "}.get(place.kind, str(number))
            probes += [probe.encode(), constant]
        found = self._form.read(parse(b"".join(probes)))
        return found is not None and found[0] == _PROBE and counts.items() <= found[1].items()


def joined(before: list[Chunk], texts: list[Chunk]) -> list[Chunk]:
    """Put chunks together, the latter of which are plain texts: a batch of texts, where all of them are."""
    if not before or not texts:
        return before or texts
    if (
        len(before) > _MOST_BEFORE
        or type(texts) is not TextBatch
        or texts.texts is None
        or not all(map(_is_text, before))
    ):
        before += texts
        return before
    usage, known = texts.usage, [chunk.usage for chunk in before]
    if usage is None:
        is_known = known.count(None) == len(known)
    else:
        counted = [each for each in known if each is not None]
        is_known = len(counted) == len(known) and Usage.last_of((*counted, usage)) == usage
        is_known = is_known and all(each.output_tokens <= usage.output_tokens for each in counted)
    said = [*[chunk.text for chunk in before], *texts.texts] if is_known else None
    return TextBatch.of([*before, *texts], said, usage)


def _is_text(chunk: Chunk) -> bool:
    others = chunk.reasoning, chunk.tool_calls, chunk.finish_reason, chunk.parts, chunk.extra, chunk.logprobs
    return bool(chunk.text) and not any(others) and not chunk.restarts
