"""Checks a file's vocabulary: the loader reads a score and a type for each token, and spells any text in bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inferkit.local.gguf.vocabulary import BYTE, NORMAL, Vocabulary, byte_token_text

if TYPE_CHECKING:
    from inferkit.local.gguf.facts import Facts

__all__ = ["read_vocabulary"]

_NO_TOKEN = 0xFFFFFFFF
_SMALLEST_VOCABULARY = 259


def read_vocabulary(facts: Facts) -> Vocabulary:
    """Check the vocabulary of a file and give it. Raises `ModelFileError`."""
    kind = facts.value("tokenizer.ggml.model", "string")
    if kind != "llama":
        raise facts.refused(
            f"its tokeniser is of the kind {kind[:60]!r}",
            "this engine runs SentencePiece vocabularies (kind 'llama'): Llama 1 and 2, Mistral 7B, TinyLlama",
        )
    if not facts.value("tokenizer.ggml.add_space_prefix", "bool", default=True):
        raise facts.refused(
            "its vocabulary adds no space before a text, and this engine always does", "use another model"
        )
    texts = facts.array("tokenizer.ggml.tokens", "string")
    scores = facts.array("tokenizer.ggml.scores", "float32")
    types = facts.array("tokenizer.ggml.token_type", "int32")
    if not len(texts) == len(scores) == len(types):
        raise facts.damaged(
            f"the vocabulary has {len(texts)} tokens, {len(scores)} scores and {len(types)} types, not equally many"
        )
    _check_tokens(facts, texts, scores, types)
    ids = {
        name: _token_id(facts, name, len(texts), default)
        for name, default in (("bos", 1), ("eos", 2), ("unknown", 0), ("seperator", None), ("padding", None))
    }
    bos, eos = ids["bos"], ids["eos"]
    if bos is None or eos is None:
        raise facts.damaged("the vocabulary has no token that begins, or none that ends, a text")
    add_bos = facts.value("tokenizer.ggml.add_bos_token", "bool", default=True)
    return Vocabulary(texts, types, bos, eos, add_bos)


def _check_tokens(facts: Facts, texts: Any, scores: Any, types: Any) -> None:
    if len(texts) < _SMALLEST_VOCABULARY:
        raise facts.damaged(f"the vocabulary has {len(texts)} tokens; 256 bytes and three special ones are needed")
    if min(types) < NORMAL or max(types) > BYTE:
        raise facts.damaged("a token has an unknown type")
    if any(map(math.isnan, scores)):
        raise facts.damaged("a token's score is not a number")
    if any(b"\0" in text for text in texts):
        raise facts.damaged("a token's text holds a zero byte")
    named = {text for text, kind in zip(texts, types, strict=True) if kind == BYTE}
    if named != {byte_token_text(value) for value in range(256)}:
        raise facts.refused(
            "its vocabulary lacks some of the 256 byte tokens <0x00> to <0xFF>, so some texts cannot be spelled",
            "train or convert the vocabulary with byte fallback",
        )


def _token_id(facts: Facts, name: str, size: int, default: int | None) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    value: int | None = facts.value(key, "uint32", default=default)
    if value == _NO_TOKEN:
        return None
    if value is not None and value >= size:
        raise facts.damaged(f"{key} is {value}, and the vocabulary has {size} tokens")
    return value
