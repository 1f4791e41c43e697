"""Holds the next token to a grammar, by the grammars of today's llama library."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING

from inferkit.core.errors import InvalidRequest
from inferkit.local.engines.xllamacpp.binding import Candidate, Candidates
from inferkit.local.errors import PROVIDER
from inferkit.local.gbnf import write_gbnf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp
    from inferkit.local.rules import Rules

__all__ = ["LibraryConstraint"]


class LibraryConstraint:
    """See `Constraint`."""

    def __init__(self, llama: LlamaCpp, rules: Rules) -> None:
        self._lib = llama.library
        self._llama = llama
        self._grammar = self._lib.llama_sampler_init_grammar(llama.vocabulary, write_gbnf(rules).encode(), b"root")
        if not self._grammar:
            raise InvalidRequest("the engine takes no grammar of this kind", provider=PROVIDER, code="unsupported")

    def fitting(self, tokens: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
        """See `Constraint`."""
        table = (Candidate * len(tokens))(*[Candidate(token, score) for token, score in tokens])
        candidates = Candidates(ctypes.addressof(table), len(tokens), -1, False)
        self._lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return [(row.id, row.logit) for row in table if row.logit > -math.inf]

    def top(self, count: int) -> list[tuple[int, float]]:
        """See `Constraint`."""
        return self._llama.top(count, self._grammar)

    def accept(self, token: int) -> None:
        """See `Constraint`."""
        self._lib.llama_sampler_accept(self._grammar, token)

    def close(self) -> None:
        """See `Constraint`."""
        grammar, self._grammar = self._grammar, None
        if grammar:
            self._lib.llama_sampler_free(grammar)
