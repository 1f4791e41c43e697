"""A chunk carries what its provider sent, and reads it for whoever asks."""

from __future__ import annotations

import copy
import operator
import pickle

import pytest

from inferkit.core.chunks import Chunk, TextChunk
from inferkit.core.usage import Usage


@pytest.mark.parametrize(
    ("event", "raw"),
    [
        (None, None),
        ({"n": 1}, {"n": 1}),
        (b'{"n": "\xc3\xa9"}', {"n": "é"}),
        ((b'{"n": "', b"one", b'"}'), {"n": "one"}),
        (b"say hello", b"say hello"),
    ],
)
def test_the_providers_own_event_is_read_when_somebody_asks(event, raw):
    assert Chunk("x", event=event).raw == raw


class Read:
    """Events and counts of one read, which counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def event(self, place):
        self.asked += 1
        return b'{"n": ', b"%d" % place, b"}"

    def usage(self, place):
        self.asked += 1
        return Usage(3, place)


ASKED_LATER = [
    repr, hash, list, len, copy.copy, copy.deepcopy, lambda chunk: pickle.loads(pickle.dumps(chunk)),
    lambda chunk: chunk.text, lambda chunk: chunk.usage, lambda chunk: chunk.event, lambda chunk: chunk.raw,
    lambda chunk: chunk.size, lambda chunk: chunk.has_content, lambda chunk: chunk.restarts,
    lambda chunk: chunk[4], lambda chunk: chunk[:6], lambda chunk: chunk._replace(text="no"),
    lambda chunk: chunk._asdict(), lambda chunk: (*chunk,), lambda chunk: operator.add(chunk, (1,)),
    lambda chunk: chunk * 2, lambda chunk: Usage(3, 7) in chunk, lambda chunk: chunk.index(Usage(3, 7)),
    lambda chunk: chunk.count(()),
    lambda chunk: chunk == Chunk("so", usage=Usage(3, 7), event=(b'{"n": ', b"7", b"}")),
    lambda chunk: Chunk("so", usage=Usage(3, 7), event=(b'{"n": ', b"7", b"}")) == chunk,
    lambda chunk: chunk != Chunk("so", usage=Usage(3, 8), event=(b'{"n": ', b"7", b"}")),
    lambda chunk: chunk == text_chunk(Read(), 7), lambda chunk: chunk != text_chunk(Read(), 8),
    lambda chunk: [getattr(chunk, name) for name in Chunk._fields], operator.itemgetter(4, 8), bool, tuple,
    lambda chunk: list(zip(*[chunk, chunk], strict=True)), lambda chunk: "so" in chunk, lambda chunk: chunk < ("to",),
]  # fmt: skip


def text_chunk(read, place):
    return tuple.__new__(TextChunk, ("so", read, place))


@pytest.mark.parametrize("ask", ASKED_LATER)
def test_a_chunk_whose_event_is_put_together_later_is_a_chunk_like_any_other(ask):
    read = Read()
    lazy, whole = text_chunk(read, 7), Chunk("so", usage=Usage(3, 7), event=(b'{"n": ', b"7", b"}"))
    assert read.asked == 0
    assert isinstance(lazy, Chunk)
    assert ask(lazy) == ask(whole)


def test_what_looks_at_the_text_alone_puts_nothing_together():
    read = Read()
    chunk = text_chunk(read, 7)
    assert (chunk.text, chunk.has_content, chunk.finish_reason, chunk.size) == ("so", True, None, 2)
    assert read.asked == 0
