"""What the tokens of any vocabulary spell, by the library's own account, with nothing that a user could forge."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from inferkit.local.prompts import MARKS

if TYPE_CHECKING:
    from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["LibraryTokens"]


_SHORTEST_MARK = 3


class LibraryTokens:
    """See `Tokens`.

    The library splits text without regard to control pieces, but those that a file calls user-defined it always takes
    for what they say, and a file may call the marks of turns so. So a text that holds one that the model's template
    uses is split inside of it first.
    """

    def __init__(self, model: ModelFile, llama: LlamaCpp) -> None:
        vocabulary = model.vocabulary
        self._llama = llama
        self.bos, self.add_bos = llama.bos, llama.add_bos
        self.leading_space = model.tokeniser == "llama" and bool(
            model.metadata.get("tokenizer.ggml.add_space_prefix", True)
        )
        self.special = vocabulary.special
        self.piece = cache(llama.piece)
        special = {
            text: token for text in vocabulary.special_texts() if (token := vocabulary.special(text)) is not None
        }
        self.ends = frozenset(token for token in special.values() if llama.ends_reply(token))
        written = (model.chat_template or "") + " ".join(MARKS)
        marks = {text for text, token in special.items() if self._controls(token) or _is_mark(text, written)}
        self._barred = frozenset(special[text] for text in marks)
        longest = sorted(marks, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest))) if longest else None

    def _controls(self, token: int) -> bool:
        return token in self.ends or self._llama.controls(token)

    def spell(self, text: str) -> list[int]:
        """See `Tokens`."""
        if not text:
            return []
        tokens = self._split(text)
        if self._barred.isdisjoint(tokens):
            return tokens
        return self._split(text, *self._cuts(text))

    def _cuts(self, text: str) -> list[int]:
        """Give a place inside of every mark, also where one begins inside of another."""
        cuts: list[int] = []
        at = 0
        while self._marks is not None and (found := self._marks.search(text, at)):
            at = found.start() + 1
            cuts.append(at)
        return cuts

    def _split(self, text: str, *cuts: int) -> list[int]:
        bounds = [0, *cuts, len(text)]
        tokens: list[int] = []
        for start, end in pairwise(bounds):
            part = text[start:end]
            tokens += self._without_space(part) if start and self.leading_space else self._tokenize(part)
        return tokens

    def _tokenize(self, text: str) -> list[int]:
        return self._llama.tokenize(text.encode("utf-8", "replace"))

    def _without_space(self, text: str) -> list[int]:
        """Split a text that goes on another: after a line's end, which is left out with the space before it."""
        tokens = self._tokenize("\n" + text)
        line = next((at for at, token in enumerate(tokens) if self.piece(token) == b"\n"), None)
        return self._tokenize(text) if line is None else tokens[line + 1 :]


def _is_mark(text: str, written: str) -> bool:
    """Say whether a piece marks turns: `written` has it, and it is no mere sign or space, which texts need too."""
    return len(text) >= _SHORTEST_MARK and not text.isspace() and text in written
