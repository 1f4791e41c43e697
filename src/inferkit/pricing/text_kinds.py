"""How many tokens a text is likely to be, by the kinds of characters in it: words, digits, symbols, scripts.

Vocabularies differ, but what costs a token is much the same in all of them: the beginning of a word, three digits, a
run of symbols, letters that seldom stand together, a Chinese character or two. So a token is put down to pairs of
neighbouring characters: what stands here, and what stood before it (see `text_pairs`). A model's own way is learned in
factors for each kind (see `likely`).

A text is bytes here. A table turns each byte into its class; two of them, read as one number, are a pair, and what a
pair weighs stands in a list, for several kinds in one integer, so that one sum adds them all up. Where all are of the
usual kinds, that is a sum of numbers as long as the machine's own; a pair of another kind is told in it, and has its
weight in a second list. That took 38 microseconds a kilobyte of prose where one sum for all kinds took 66, and a
regular expression takes several times as much.
"""

from __future__ import annotations

import sys
from array import array
from functools import cache
from operator import itemgetter
from struct import Struct
from typing import NamedTuple

from inferkit.pricing.text_pairs import CLASSES, FOUR, TWO, UNIT, class_of_each_byte, units

__all__ = ["KINDS", "NOTHING", "Counts", "count"]

KINDS = ("words", "mixed", "numbers", "digits", "symbols", "cjk", "scripts")
"""Words in Latin letters, letters that change case or meet digits (Base64), digits, spaces and punctuation, Chinese,
Japanese and Korean, and all other scripts, with emoji."""

Counts = tuple[float, ...]
"""Tokens of each kind."""

NOTHING: Counts = (0.0,) * len(KINDS)

_USUAL = ("words", "mixed", "symbols")
_OTHERS = ("numbers", "digits", "cjk", "scripts")
_BITS = 16  # of a sum that each kind has, which is what a block weighs at most
_OTHER = 1 << len(_USUAL) * _BITS  # what a pair of another kind adds to the sum of the usual ones
_sums = Struct("<4H").unpack
_BLOCK = 1000  # bytes
_NO_PAIR = 255  # weighs nothing: in front, so that there are several even where a text has one
_START = b"\n"
_TWO, _FOUR = TWO.encode() * 2, FOUR.encode() * 4

_UPPER = ("AEIOU", "BCDFGHJKLMNPQRSTVWXYZ")
_LETTERS = {*"abcdefghijklmnopqrstuvwxyz", *_UPPER, "accent"}
_DIGITS = "0123456789"
_CJK = {"kana", "Han", "Hangul", "wide"}
_SCRIPTS = {"Greek", "Cyrillic", "Arabic", "Indic", "Georgian", "dash", "emoji"}


class _Tables(NamedTuple):
    classes: bytes
    usual: list[int]
    others: list[int]


@cache
def _tables() -> _Tables:
    """Make the tables, which few programs need."""
    size = len(CLASSES)
    usual, others = [0] * (size << 8), [0] * (size << 8)
    for before in range(size):
        for this in range(size):
            kind = _kind(CLASSES[before], CLASSES[this])
            pair, weight = int.from_bytes(bytes((before, this)), sys.byteorder), units(before, this)
            if kind in _USUAL:
                usual[pair] = _same(weight << _USUAL.index(kind) * _BITS)
            elif weight:
                usual[pair], others[pair] = _OTHER, _same(weight << _OTHERS.index(kind) * _BITS)
    return _Tables(class_of_each_byte(), usual, others)


@cache
def _same(weight: int) -> int:
    """Give the one number for all that weigh the same."""
    return weight


def _kind(before: str, this: str) -> str:
    if this in _LETTERS:
        return "mixed" if before == _DIGITS or (this in _UPPER and before in _LETTERS) else "words"
    if this == _DIGITS:
        return "digits" if before == _DIGITS else "mixed" if before in _LETTERS else "numbers"
    return "cjk" if this in _CJK else "scripts" if this in _SCRIPTS else "symbols"


def count(text: bytes, after: bytes = _START, *, most: int = 8) -> Counts:
    """Count the likely tokens of a text in UTF-8, by kind. `after` is what came just before it.

    Of one of more than `most` thousand bytes, so many pieces of a thousand bytes stand for it.
    """
    size = len(text)
    if size <= most * _BLOCK:
        return _count(text, after)
    starts = range(0, size - _BLOCK + 1, (size - _BLOCK) // max(1, most - 1))[:most]
    counts = [_count(text[start : start + _BLOCK], text[start - 1 : start] or after) for start in starts]
    return tuple([sum(kind) * size / (most * _BLOCK) for kind in zip(*counts, strict=True)])


def _count(text: bytes, after: bytes) -> Counts:
    spaced = text.replace(b"    ", _FOUR).replace(b"  ", _TWO)
    pairs = ((after or _START)[-1:] + spaced).translate(_tables().classes)
    if len(text) <= _BLOCK:
        return tuple([each / UNIT for each in _units(pairs)])
    blocks = [_units(pairs[start : start + _BLOCK + 1]) for start in range(0, len(text), _BLOCK)]
    return tuple([sum(kind) / UNIT for kind in zip(*blocks, strict=True)])


def _units(pairs: bytes) -> tuple[int, ...]:
    """Say what the pairs of a block weigh, by kind."""
    tables = _tables()
    even, odd = pairs[: len(pairs) & ~1], pairs[1:][: (len(pairs) - 1) & ~1]
    weights = itemgetter(_NO_PAIR, _NO_PAIR, *array("H", even + odd).tolist())
    words, mixed, symbols, other = _sums(sum(weights(tables.usual)).to_bytes(8, "little"))
    numbers = digits = cjk = scripts = 0
    if other:
        numbers, digits, cjk, scripts = _sums(sum(weights(tables.others)).to_bytes(8, "little"))
    return words, mixed, numbers, digits, symbols, cjk, scripts
