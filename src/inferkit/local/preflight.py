"""Checks a model file before the engine sees it: what passes here, the engine loads and runs without harm.

The engine is the llama library of September 2023. It trusts its input: a head count of zero divides by zero, a short
score array is read past its end, a missing byte token ends the process. The rules here are what that loader assumes.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from inferkit._errors import ModelFileError
from inferkit.local.gguf import Array, Container, read_container
from inferkit.local.vocabulary import BYTE, NORMAL, Vocabulary, byte_token_text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

__all__ = ["ModelFile", "inspect"]

_BLOCKS_LIMIT = 96
_WIDTH_LIMIT = 1 << 20
_NO_TOKEN = 0xFFFFFFFF
_SMALLEST_VOCABULARY = 259
_REQUIRED = object()


@dataclass(frozen=True)
class ModelFile:
    """What a checked model file holds. Sizes are in bytes; `context_length` is in tokens, as the model was trained.

    `fingerprint` changes whenever the file's header, size or time of change does.
    """

    path: Path
    architecture: str
    name: str
    quantisation: str
    context_length: int
    vocabulary_size: int
    parameters: int
    size: int
    chat_template: str | None = field(repr=False)
    fingerprint: str
    embedding_length: int
    feed_forward_length: int
    block_count: int
    head_count: int
    head_count_kv: int
    metadata: Mapping[str, Any] = field(repr=False)
    vocabulary: Vocabulary = field(repr=False)


def inspect(path: str | os.PathLike[str]) -> ModelFile:
    """Check a GGUF file and describe it. Raises `ModelFileError`, which says what is wrong and what to do."""
    place = Path(path)
    container = read_container(place)
    return _Rules(place, container).model_file()


class _Rules:
    """The rules of the llama architecture, over one container."""

    def __init__(self, path: Path, container: Container) -> None:
        self.path = path
        self.container = container

    def model_file(self) -> ModelFile:
        architecture = self._value("general.architecture", "string")
        if architecture != "llama":
            raise self._refused(
                f"its architecture is {architecture!r}",
                "this engine runs llama models (Llama 1 and 2, Mistral 7B, TinyLlama and their like); use a model of "
                "that family, or serve this one elsewhere and use its OpenAI-compatible endpoint",
            )
        blocks = self._count("llama.block_count", _BLOCKS_LIMIT)
        width = self._count("llama.embedding_length", _WIDTH_LIMIT)
        hidden = self._count("llama.feed_forward_length", _WIDTH_LIMIT * 8)
        heads = self._count("llama.attention.head_count", width)
        heads_kv = self._count("llama.attention.head_count_kv", heads, default=heads)
        context = self._count("llama.context_length", 1 << 30)
        self._check_heads(width, heads, heads_kv)
        self._check_numbers()
        vocabulary = self._vocabulary()
        self._check_tensors(dict(self._expected(blocks, width, hidden, width // heads * heads_kv, len(vocabulary))))
        container = self.container
        metadata = {k: v.value for k, v in container.metadata.items() if not isinstance(v.value, Array)}
        return ModelFile(
            path=self.path,
            architecture=architecture,
            name=self._value("general.name", "string", default=self.path.stem),
            quantisation=self._quantisation(),
            context_length=context,
            vocabulary_size=len(vocabulary),
            parameters=sum(math.prod(tensor.shape) for tensor in container.tensors.values()),
            size=container.file_size,
            chat_template=self._value("tokenizer.chat_template", "string", default=None),
            fingerprint=self._fingerprint(),
            embedding_length=width,
            feed_forward_length=hidden,
            block_count=blocks,
            head_count=heads,
            head_count_kv=heads_kv,
            metadata=MappingProxyType(metadata),
            vocabulary=vocabulary,
        )

    def _refused(self, problem: str, remedy: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: {problem}; {remedy}")

    def _damaged(self, problem: str) -> ModelFileError:
        return self._refused(problem, "the file is damaged or made wrongly: download or convert it again")

    def _value(self, key: str, kind: str, *, default: Any = _REQUIRED) -> Any:
        found = self.container.metadata.get(key)
        if found is None:
            if default is _REQUIRED:
                raise self._damaged(f"the metadata value {key} is missing")
            return default
        if found.kind != kind:
            raise self._damaged(f"the metadata value {key} is of kind {found.kind}, and not {kind}")
        return found.value

    def _count(self, key: str, limit: int, *, default: Any = _REQUIRED) -> int:
        value: int = self._value(key, "uint32", default=default)
        if not 1 <= value <= limit:
            raise self._damaged(f"{key} is {value}, and not from 1 to {limit}")
        return value

    def _check_heads(self, width: int, heads: int, heads_kv: int) -> None:
        if width % heads or heads % heads_kv:
            raise self._damaged(f"{width} dimensions do not divide into {heads} heads and {heads_kv} key-value heads")
        size = width // heads
        if size % 2:
            raise self._damaged(f"a head of {size} dimensions cannot be rotated; the number must be even")
        turned = self._value("llama.rope.dimension_count", "uint32", default=size)
        if turned != size:
            raise self._damaged(f"llama.rope.dimension_count is {turned}, and a head has {size} dimensions")

    def _check_numbers(self) -> None:
        epsilon = self._value("llama.attention.layer_norm_rms_epsilon", "float32")
        if not 0 < epsilon < 1:
            raise self._damaged(f"llama.attention.layer_norm_rms_epsilon is {epsilon}, and not between 0 and 1")
        for key in ("llama.rope.freq_base", "llama.rope.scale_linear"):
            value = self._value(key, "float32", default=1.0)
            if not (math.isfinite(value) and value > 0):
                raise self._damaged(f"{key} is {value}, and not a positive number")
        self._value("general.file_type", "uint32", default=0)
        if self._value("llama.rope.scaling.type", "string", default="none") != "none":
            raise self._refused(
                "it stretches its context by a method later than this engine (llama.rope.scaling)",
                "use a model with an unscaled context",
            )

    def _vocabulary(self) -> Vocabulary:
        kind = self._value("tokenizer.ggml.model", "string")
        if kind != "llama":
            raise self._refused(
                f"its tokeniser is of the kind {kind!r}",
                "this engine runs SentencePiece vocabularies (kind 'llama'): Llama 1 and 2, Mistral 7B, TinyLlama",
            )
        if not self._value("tokenizer.ggml.add_space_prefix", "bool", default=True):
            raise self._refused(
                "its vocabulary adds no space before a text, and this engine always does", "use another model"
            )
        texts = self._array("tokenizer.ggml.tokens", "string")
        scores = self._array("tokenizer.ggml.scores", "float32")
        types = self._array("tokenizer.ggml.token_type", "int32")
        if not len(texts) == len(scores) == len(types):
            raise self._damaged(
                f"the vocabulary has {len(texts)} tokens, {len(scores)} scores and {len(types)} types, not equally many"
            )
        self._check_tokens(texts, scores, types)
        ids = {
            name: self._token_id(name, len(texts), default)
            for name, default in (("bos", 1), ("eos", 2), ("unknown", 0), ("seperator", None), ("padding", None))
        }
        bos, eos = ids["bos"], ids["eos"]
        if bos is None or eos is None:
            raise self._damaged("the vocabulary has no token that begins, or none that ends, a text")
        add_bos = self._value("tokenizer.ggml.add_bos_token", "bool", default=True)
        return Vocabulary(texts, types, bos, eos, add_bos)

    def _array(self, key: str, kind: str) -> Any:
        array: Array = self._value(key, "array")
        if array.kind != kind:
            raise self._damaged(f"{key} holds elements of kind {array.kind}, and not {kind}")
        return array.items

    def _check_tokens(self, texts: Any, scores: Any, types: Any) -> None:
        if len(texts) < _SMALLEST_VOCABULARY:
            raise self._damaged(f"the vocabulary has {len(texts)} tokens; 256 bytes and three special ones are needed")
        if min(types) < NORMAL or max(types) > BYTE:
            raise self._damaged("a token has an unknown type")
        if any(map(math.isnan, scores)):
            raise self._damaged("a token's score is not a number")
        if any(b"\0" in text for text in texts):
            raise self._damaged("a token's text holds a zero byte")
        named = {text for text, kind in zip(texts, types, strict=True) if kind == BYTE}
        if named != {byte_token_text(value) for value in range(256)}:
            raise self._refused(
                "its vocabulary lacks some of the 256 byte tokens <0x00> to <0xFF>, so some texts cannot be spelled",
                "train or convert the vocabulary with byte fallback",
            )

    def _token_id(self, name: str, size: int, default: int | None) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        value: int | None = self._value(key, "uint32", default=default)
        if value == _NO_TOKEN:
            return None
        if value is not None and value >= size:
            raise self._damaged(f"{key} is {value}, and the vocabulary has {size} tokens")
        return value

    def _expected(
        self, blocks: int, width: int, hidden: int, width_kv: int, words: int
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "token_embd.weight", (width, words)
        yield "output_norm.weight", (width,)
        yield "output.weight", (width, words)
        for block in range(blocks):
            shapes = {
                "attn_norm": (width,),
                "attn_q": (width, width),
                "attn_k": (width, width_kv),
                "attn_v": (width, width_kv),
                "attn_output": (width, width),
                "ffn_norm": (width,),
                "ffn_gate": (width, hidden),
                "ffn_down": (hidden, width),
                "ffn_up": (width, hidden),
            }
            for part, shape in shapes.items():
                yield f"blk.{block}.{part}.weight", shape

    def _check_tensors(self, expected: dict[str, tuple[int, ...]]) -> None:
        tensors = self.container.tensors
        for name, shape in expected.items():
            tensor = tensors.get(name)
            if tensor is None:
                also = " (output and input embeddings may be shared in it)" if name == "output.weight" else ""
                raise self._refused(
                    f"the tensor {name} is missing{also}",
                    "use a model of the plain llama form, or download or convert it again",
                )
            if tensor.shape != shape:
                raise self._damaged(f"the tensor {name} has the shape {list(tensor.shape)}, and not {list(shape)}")
            if len(shape) == 1 and tensor.type.name != "F32":
                raise self._damaged(f"the tensor {name} is of type {tensor.type.name}, and not F32")
        extra = tensors.keys() - expected.keys()
        if extra:
            raise self._refused(
                f"it has {len(extra)} tensors that this engine does not know, {min(extra)} among them",
                "use a model of the plain llama form (without experts, biases or scaled rotations)",
            )

    def _quantisation(self) -> str:
        sizes: Counter[str] = Counter()
        for tensor in self.container.tensors.values():
            sizes[tensor.type.name] += tensor.nbytes
        return sizes.most_common(1)[0][0]

    def _fingerprint(self) -> str:
        container = self.container
        digest = hashlib.blake2b(container.header, digest_size=16)
        digest.update(f"{container.file_size}:{container.modified_ns}".encode())
        return digest.hexdigest()
