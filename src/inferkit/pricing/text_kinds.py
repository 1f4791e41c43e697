"""How many tokens a text is likely to be, by the kinds of characters in it: words, digits, symbols, scripts.

Vocabularies differ, but what costs a token is much the same in all of them: the beginning of a word, three digits, a
run of symbols, letters that seldom stand together, a Chinese character or two. So a token is put down to pairs of
neighbouring characters: what stands here, and what stood before it (see `text_pairs`). A model's own way is learned in
factors for each kind (see `likely`).

A text is bytes here. A table turns each byte into its class; two of them, read as one number, are a pair, and what a
pair weighs stands in a list, for all kinds in one integer, so that one sum adds them all up. That is 40 microseconds a
kilobyte, and a fifth of what a regular expression would take.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

from inferkit.pricing.text_pairs import CLASSES, FOUR, TWO, UNIT, class_of_each_byte, units

__all__ = ["KINDS", "NOTHING", "Counts", "count"]

KINDS = ("words", "mixed", "numbers", "digits", "symbols", "cjk", "scripts")
"""Words in Latin letters, letters that change case or meet digits (Base64), digits, spaces and punctuation, Chinese,
Japanese and Korean, and all other scripts, with emoji."""

Counts = tuple[float, ...]
"""Tokens of each kind."""

NOTHING: Counts = (0.0,) * len(KINDS)

_BITS = 24  # of a sum that each kind has
_MASK = (1 << _BITS) - 1
_BLOCK = 1000  # bytes
_START = b"\n"
_TWO, _FOUR = TWO.encode() * 2, FOUR.encode() * 4

_UPPER = ("AEIOU", "BCDFGHJKLMNPQRSTVWXYZ")
_LETTERS = {*"abcdefghijklmnopqrstuvwxyz", *_UPPER, "accent"}
_DIGITS = "0123456789"
_CJK = {"kana", "Han", "Hangul", "wide"}
_SCRIPTS = {"Greek", "Cyrillic", "Arabic", "Indic", "Georgian", "dash", "emoji"}


class _Tables(NamedTuple):
    classes: bytes
    weights: list[int]


@cache
def _tables() -> _Tables:
    """Make the tables, which few programs need."""
    size = len(CLASSES)
    weights = [0] * (size << 8)
    same: dict[int, int] = {}
    for before in range(size):
        for this in range(size):
            kind = KINDS.index(_kind(CLASSES[before], CLASSES[this]))
            weight = units(before, this) << kind * _BITS
            weights[int.from_bytes(bytes((before, this)), sys.byteorder)] = same.setdefault(weight, weight)
    return _Tables(class_of_each_byte(), weights)


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
    tables = _tables()
    spaced = text.replace(b"    ", _FOUR).replace(b"  ", _TWO)
    pairs = ((after or _START)[-1:] + spaced).translate(tables.classes)
    weight = tables.weights.__getitem__
    even, odd = pairs[: len(pairs) & ~1], pairs[1:][: len(text) & ~1]
    units = sum(map(weight, memoryview(even).cast("H"))) + sum(map(weight, memoryview(odd).cast("H")))
    return tuple([(units >> shift & _MASK) / UNIT for shift in range(0, _BITS * len(KINDS), _BITS)])
