"""What the tokens of a SentencePiece vocabulary spell, as the library of 2023 splits text into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.local.prompts import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.local.gguf.vocabulary import Vocabulary

__all__ = ["SentencePieceTokens"]

_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>")
"""Control pieces with which the templates in use end a turn; the library knows of one end only."""


class SentencePieceTokens:
    """See `Tokens`. `tokenize` is the library's own, which takes control pieces for what they say."""

    leading_space = True

    def __init__(self, vocabulary: Vocabulary, tokenize: Callable[[bytes], list[int]]) -> None:
        self._vocabulary = vocabulary
        self._tokenize = tokenize
        self.bos, self.add_bos = vocabulary.bos, vocabulary.add_bos
        special = vocabulary.special
        self._reserved = frozenset(token for mark in MARKS if (token := special(mark)) is not None)
        ends = {vocabulary.eos, *map(special, _TURN_ENDS)}
        self.ends = frozenset(token for token in ends if token is not None)
        self.special = special
        self.piece = vocabulary.pieces.__getitem__

    def spell(self, text: str) -> list[int]:
        """See `Tokens`."""
        if not text:
            return []
        tokens = self._vocabulary.faithful(self._tokenize(text.encode("utf-8", "replace")), text, self._reserved)
        alone = text.startswith("\n") and self._vocabulary.pieces[tokens[0]] == b" "
        return tokens[1:] if alone else tokens  # no space stands between a mark and the line's end
