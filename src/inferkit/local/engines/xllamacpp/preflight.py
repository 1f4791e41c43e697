"""Checks a model file before today's llama library sees it: neutral as to the architecture, strict as to structure.

The library knows its architectures, and refuses a file that lacks a tensor. What it asserts instead of checking, it
asserts by ending the process: numbers out of bounds, arrays of unequal length, tokens that are not there. Those are
checked here.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from inferkit.local.gguf.container import Array
from inferkit.local.gguf.facts import Facts
from inferkit.local.gguf.model_file import ModelFile
from inferkit.local.gguf.vocabulary import BYTE, Vocabulary, byte_token_text

if TYPE_CHECKING:
    from pathlib import Path

    from inferkit.local.gguf.container import Container

__all__ = ["NAME", "check"]

NAME = "xllamacpp"

_BLOCKS_LIMIT = 512
_EXPERTS_LIMIT = 512
_WIDTH_LIMIT = 1 << 20
_CONTEXT_LIMIT = 1 << 28
_NAME_LIMIT = 200
_NO_TOKEN = 0xFFFFFFFF
_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_LIMITS = {
    "embedding_length": (1, _WIDTH_LIMIT),
    "block_count": (1, _BLOCKS_LIMIT),
    "context_length": (1, _CONTEXT_LIMIT),
    "feed_forward_length": (0, _WIDTH_LIMIT * 16),
    "attention.head_count": (0, _WIDTH_LIMIT),
    "attention.head_count_kv": (0, _WIDTH_LIMIT),
    "attention.key_length": (1, _WIDTH_LIMIT),
    "attention.value_length": (1, _WIDTH_LIMIT),
    "attention.sliding_window": (0, _CONTEXT_LIMIT),
    "rope.dimension_count": (0, _WIDTH_LIMIT),
    "expert_count": (0, _EXPERTS_LIMIT),
    "expert_used_count": (0, _EXPERTS_LIMIT),
}
"""What each number of an architecture may be. An array holds one for each block."""

_TOKENS = "tokenizer.ggml.tokens"


def check(place: Path, container: Container) -> ModelFile:
    """Describe a file whose head was read. Raises `NotForThisEngine`, or `ModelFileError` where it is damaged."""
    return _Any(place, container).model_file()


class _Any(Facts):
    """The rules that hold for every architecture, over one container."""

    def model_file(self) -> ModelFile:
        self._architecture = self.value("general.architecture", "string")
        parts = self.value("split.count", "uint16", default=1)
        if parts > 1:
            raise self.refused(f"it is one of {parts} parts of a model", "join them with llama-gguf-split --merge")
        self._check_numbers()
        vocabulary = self._vocabulary()
        width, blocks = self._number("embedding_length"), self._number("block_count")
        self._check_tensors(width, blocks, len(vocabulary))
        heads = self._number("attention.head_count", 1)
        container = self.container
        metadata = {k: v.value for k, v in container.metadata.items() if not isinstance(v.value, Array)}
        return ModelFile(
            path=self.path,
            engine=NAME,
            architecture=self._architecture,
            tokeniser=self.value("tokenizer.ggml.model", "string"),
            name=self.value("general.name", "string", default=self.path.stem)[:_NAME_LIMIT],
            quantisation=container.quantisation,
            context_length=self._number("context_length"),
            vocabulary_size=len(vocabulary),
            parameters=container.parameters,
            size=container.file_size,
            chat_template=self.value("tokenizer.chat_template", "string", default=None),
            fingerprint=container.fingerprint,
            embedding_length=width,
            feed_forward_length=self._number("feed_forward_length", 0),
            block_count=blocks,
            head_count=heads,
            key_value_width=self._key_value_width(width, heads),
            metadata=MappingProxyType(metadata),
            vocabulary=vocabulary,
        )

    def _number(self, name: str, default: int | None = None) -> int:
        """Give a number of the architecture, of an array the greatest."""
        key = f"{self._architecture}.{name}"
        found = self.container.metadata.get(key)
        if found is None:
            if default is None:
                raise self.damaged(f"the metadata value {key} is missing")
            return default
        value = found.value
        return max(value.items, default=0) if isinstance(value, Array) else int(value)

    def _key_value_width(self, width: int, heads: int) -> int:
        heads_kv = self._number("attention.head_count_kv", heads)
        size = width // max(1, heads)
        return heads_kv * (self._number("attention.key_length", size) + self._number("attention.value_length", size))

    def _check_numbers(self) -> None:
        prefix = f"{self._architecture}."
        for key, found in self.container.metadata.items():
            if not key.startswith(prefix):
                continue
            items = found.value.items if isinstance(found.value, Array) else [found.value]
            kind = found.value.kind if isinstance(found.value, Array) else found.kind
            limits = _LIMITS.get(key.removeprefix(prefix))
            if limits is not None:
                self._check_limits(key, kind, items, limits)
            elif kind in ("float32", "float64") and not all(map(math.isfinite, items)):
                raise self.damaged(f"{key} is not a finite number")
            elif key.endswith("epsilon") and min(items, default=0) < 0:
                raise self.damaged(f"{key} is {min(items)}, and not a small positive number")
        if self._number("expert_used_count", 0) > self._number("expert_count", 0):
            raise self.damaged("it uses more experts than it has")
        heads, heads_kv = self._number("attention.head_count", 1), self._number("attention.head_count_kv", 0)
        if heads_kv > heads:
            raise self.damaged(f"it has {heads_kv} key-value heads, and {heads} heads")

    def _check_limits(self, key: str, kind: str, items: Any, limits: tuple[int, int]) -> None:
        low, high = limits
        if kind not in _INTEGERS:
            raise self.damaged(f"{key} is of kind {kind}, and not a whole number")
        for value in items:
            if not low <= value <= high:
                raise self.damaged(f"{key} is {value}, and not from {low} to {high}")

    def _check_tensors(self, width: int, blocks: int, words: int) -> None:
        tensors = self.container.tensors
        embedding = tensors.get("token_embd.weight")
        if embedding is None:
            raise self.refused("the tensor token_embd.weight is missing", "use a model that reads and writes text")
        if embedding.shape != (width, words):
            raise self.damaged(
                f"the tensor token_embd.weight has the shape {list(embedding.shape)}, and not {[width, words]}"
            )
        there = {int(part) for name in tensors if name.startswith("blk.") and (part := name.split(".")[1]).isdigit()}
        if there != set(range(blocks)):
            raise self.damaged(f"it claims {blocks} blocks, and has the tensors of {len(there)}")

    def _vocabulary(self) -> Vocabulary:
        kind = self.value("tokenizer.ggml.model", "string")
        texts = self.array(_TOKENS, "string")
        if not texts:
            raise self.damaged("the vocabulary has no tokens")
        named = [text for text in texts if text]
        if len(set(named)) < len(named):
            raise self.damaged("two tokens of the vocabulary have one text")
        types = self._column("token_type", "int32", len(texts)) or [1] * len(texts)
        if min(types) < 0 or max(types) > BYTE:
            raise self.damaged("a token has an unknown type")
        scores = self._column("scores", "float32", len(texts))
        if scores and any(map(math.isnan, scores)):
            raise self.damaged("a token's score is not a number")
        if kind == "llama" and not {byte_token_text(value) for value in range(256)} <= set(texts):
            raise self.refused(
                "its vocabulary lacks some of the 256 byte tokens <0x00> to <0xFF>, so some texts cannot be spelled",
                "convert the model with byte fallback",
            )
        if kind == "gpt2":
            self.array("tokenizer.ggml.merges", "string")
        self._check_ids(len(texts))
        return Vocabulary(texts, types, self._token("bos"), self._token("eos"))

    def _column(self, name: str, kind: str, length: int) -> Any:
        key = f"tokenizer.ggml.{name}"
        if key not in self.container.metadata:
            return None
        items = self.array(key, kind)
        if len(items) != length:
            raise self.damaged(f"the vocabulary has {length} tokens, and {len(items)} of {key}")
        return items

    def _check_ids(self, size: int) -> None:
        for key, found in self.container.metadata.items():
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
                value = self.value(key, "uint32")
                if value != _NO_TOKEN and value >= size:
                    raise self.damaged(f"{key} is {found.value}, and the vocabulary has {size} tokens")

    def _token(self, name: str) -> int | None:
        value: int | None = self.value(f"tokenizer.ggml.{name}_token_id", "uint32", default=None)
        return None if value == _NO_TOKEN else value
