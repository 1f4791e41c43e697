"""Holds the next token to a grammar, by the grammars of the llama library of September 2023.

That library takes a grammar as arrays of elements, and has no reader for its notation.
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any, ClassVar

from inferkit.local.engines.ctransformers.llama import CandidateOf2023, CandidatesOf2023

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.local.engines.ctransformers.llama import Llama
    from inferkit.local.rules import Rules

__all__ = ["ElementConstraint", "ElementConstraints"]

_END, _ALTERNATIVE, _RULE, _CHARACTER, _NOT_CHARACTER, _UP_TO, _OR = range(7)


class _Element(ctypes.Structure):
    _fields_: ClassVar = [("type", ctypes.c_int), ("value", ctypes.c_uint32)]


def _elements(alternatives: list[list[list[Any]]], places: dict[str, int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number, items in enumerate(alternatives):
        if number:
            found.append((_ALTERNATIVE, 0))
        for kind, what in items:
            if kind == "rule":
                found.append((_RULE, places[what]))
            elif kind == "text":
                found += [(_CHARACTER, ord(character)) for character in what]
            else:
                for at, (low, high) in enumerate(what):
                    first = _CHARACTER if kind == "chars" else _NOT_CHARACTER
                    found.append((_OR if at else first, low))
                    if high != low:
                        found.append((_UP_TO, high))
    return [*found, (_END, 0)]


class _Arrays:
    """Rules as the library takes them. It keeps copies, but only once a grammar was made."""

    def __init__(self, rules: Rules) -> None:
        places = {name: place for place, name in enumerate(rules)}
        self.root = places["root"]
        self.rules = []
        for alternatives in rules.values():
            found = _elements(alternatives, places)
            self.rules.append((_Element * len(found))(*[_Element(*one) for one in found]))
        self.pointers = (ctypes.c_void_p * len(self.rules))(*map(ctypes.addressof, self.rules))


class ElementConstraints:
    """Makes constraints for a model. What was made of the last rules is kept: a file's own come with every call."""

    def __init__(self, llama: Llama) -> None:
        self._llama = llama
        self._last: tuple[Rules, _Arrays] | None = None

    def __call__(self, rules: Rules) -> ElementConstraint:
        """Give a constraint by these rules."""
        if self._last is None or self._last[0] is not rules:
            self._last = rules, _Arrays(rules)
        return ElementConstraint(self._llama, self._last[1])


class ElementConstraint:
    """See `Constraint`."""

    def __init__(self, llama: Llama, arrays: _Arrays) -> None:
        self._lib = llama.library
        self._context = llama.context
        self._llama = llama
        self._grammar = self._lib.llama_grammar_init(arrays.pointers, len(arrays.rules), arrays.root)

    def fitting(self, tokens: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
        """See `Constraint`."""
        table = (CandidateOf2023 * len(tokens))(*[CandidateOf2023(token, score) for token, score in tokens])
        candidates = CandidatesOf2023(ctypes.addressof(table), len(tokens), False)
        self._lib.llama_sample_grammar(self._context, ctypes.byref(candidates), self._grammar)
        return [(row.id, row.logit) for row in table if row.logit > -math.inf]

    def top(self, count: int) -> list[tuple[int, float]]:
        """See `Constraint`. Every token is looked at, the likely ones first, since a grammar leaves few."""
        found: list[tuple[int, float]] = []
        size = self._llama.vocabulary_size
        best = self._llama.top(size)
        left_out = size * (size - 1) // 2 - sum(token for token, _ in best)  # the library sorts all but the last
        best.append((left_out, best[-1][1]))
        for start in range(0, len(best), 256):
            found += self.fitting(best[start : start + 256])
            if len(found) >= count:
                break
        return found[:count]

    def accept(self, token: int) -> None:
        """See `Constraint`."""
        self._lib.llama_grammar_accept_token(self._context, self._grammar, token)

    def close(self) -> None:
        """See `Constraint`."""
        grammar, self._grammar = self._grammar, None
        if grammar:
            self._lib.llama_grammar_free(grammar)
