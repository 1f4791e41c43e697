"""Checks a model file before the engine sees it: what passes here, the engine loads and runs without harm.

The engine is the llama library of September 2023. It trusts its input: a head count of zero divides by zero, a short
score array is read past its end, a missing byte token ends the process. The rules here are what that loader assumes.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from inferkit.local.engines.ctransformers.tokeniser import read_vocabulary
from inferkit.local.gguf.container import Array, read_container
from inferkit.local.gguf.facts import Facts
from inferkit.local.gguf.model_file import ModelFile

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from inferkit.local.gguf.container import Container

__all__ = ["NAME", "PACKINGS", "check", "inspect"]

NAME = "ctransformers"

PACKINGS = frozenset({"F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
"""The packings of weights that the library computes with."""

_BLOCKS_LIMIT = 96
_WIDTH_LIMIT = 1 << 20
_NAME_LIMIT = 200


def inspect(path: str | os.PathLike[str]) -> ModelFile:
    """Check a GGUF file and describe it. Raises `ModelFileError`, which says what is wrong and what to do."""
    place = Path(path)
    return check(place, read_container(place))


def check(place: Path, container: Container) -> ModelFile:
    """Describe a file whose head was read. Raises `NotForThisEngine`, or `ModelFileError` where it is damaged."""
    return _Llama(place, container).model_file()


class _Llama(Facts):
    """The rules of the llama architecture, over one container."""

    def model_file(self) -> ModelFile:
        architecture = self.value("general.architecture", "string")
        if architecture != "llama":
            raise self.refused(
                f"its architecture is {architecture[:60]!r}",
                "this engine runs llama models (Llama 1 and 2, Mistral 7B, TinyLlama and their like)",
            )
        parts = self.value("split.count", "uint16", default=1)
        if parts > 1:
            raise self.refused(f"it is one of {parts} parts of a model", "join them with llama-gguf-split --merge")
        if "llama.pooling_type" in self.container.metadata:
            raise self.refused("it gives embeddings", "this engine runs models that chat")
        blocks = self.count("llama.block_count", _BLOCKS_LIMIT)
        width = self.count("llama.embedding_length", _WIDTH_LIMIT)
        hidden = self.count("llama.feed_forward_length", _WIDTH_LIMIT * 8)
        heads = self.count("llama.attention.head_count", width)
        heads_kv = self.count("llama.attention.head_count_kv", heads, default=heads)
        context = self.count("llama.context_length", 1 << 30)
        self._check_heads(width, heads, heads_kv)
        self._check_numbers()
        vocabulary = read_vocabulary(self)
        self._check_tensors(dict(self._expected(blocks, width, hidden, width // heads * heads_kv, len(vocabulary))))
        container = self.container
        metadata = {k: v.value for k, v in container.metadata.items() if not isinstance(v.value, Array)}
        return ModelFile(
            path=self.path,
            engine=NAME,
            architecture=architecture,
            tokeniser=self.value("tokenizer.ggml.model", "string"),
            name=self.value("general.name", "string", default=self.path.stem)[:_NAME_LIMIT],
            quantisation=container.quantisation,
            context_length=context,
            vocabulary_size=len(vocabulary),
            parameters=container.parameters,
            size=container.file_size,
            chat_template=self.value("tokenizer.chat_template", "string", default=None),
            fingerprint=container.fingerprint,
            embedding_length=width,
            feed_forward_length=hidden,
            block_count=blocks,
            head_count=heads,
            key_value_width=2 * (width // heads * heads_kv),
            metadata=MappingProxyType(metadata),
            vocabulary=vocabulary,
        )

    def _check_heads(self, width: int, heads: int, heads_kv: int) -> None:
        if width % heads or heads % heads_kv:
            raise self.damaged(f"{width} dimensions do not divide into {heads} heads and {heads_kv} key-value heads")
        size = width // heads
        if size % 2:
            raise self.damaged(f"a head of {size} dimensions cannot be rotated; the number must be even")
        turned = self.value("llama.rope.dimension_count", "uint32", default=size)
        if turned != size:
            raise self.damaged(f"llama.rope.dimension_count is {turned}, and a head has {size} dimensions")

    def _check_numbers(self) -> None:
        epsilon = self.value("llama.attention.layer_norm_rms_epsilon", "float32")
        if not 0 < epsilon < 1:
            raise self.damaged(f"llama.attention.layer_norm_rms_epsilon is {epsilon}, and not between 0 and 1")
        for key in ("llama.rope.freq_base", "llama.rope.scale_linear"):
            value = self.value(key, "float32", default=1.0)
            if not (math.isfinite(value) and value > 0):
                raise self.damaged(f"{key} is {value}, and not a positive number")
        self.value("general.file_type", "uint32", default=0)
        factor = self.value("llama.rope.scaling.factor", "float32", default=0.0)
        scaling = self.value("llama.rope.scaling.type", "string", default="none" if factor in (0.0, 1.0) else "linear")
        if scaling != "none":
            raise self.refused(
                "it stretches its context by a method later than this engine (llama.rope.scaling)",
                "use a model with an unscaled context",
            )

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
        unknown = next((tensor for tensor in tensors.values() if tensor.type.name not in PACKINGS), None)
        if unknown is not None:
            raise self.refused(
                f"the tensor {unknown.name!r} is of type {unknown.type.name}, which this engine does not know",
                f"quantise the model as one of {', '.join(sorted(PACKINGS))}",
            )
        for name, shape in expected.items():
            tensor = tensors.get(name)
            if tensor is None:
                also = " (output and input embeddings may be shared in it)" if name == "output.weight" else ""
                raise self.refused(
                    f"the tensor {name} is missing{also}",
                    "use a model of the plain llama form, or download or convert it again",
                )
            if tensor.shape != shape:
                raise self.damaged(f"the tensor {name} has the shape {list(tensor.shape)}, and not {list(shape)}")
            if len(shape) == 1 and tensor.type.name != "F32":
                raise self.damaged(f"the tensor {name} is of type {tensor.type.name}, and not F32")
        extra = tensors.keys() - expected.keys()
        if extra:
            raise self.refused(
                f"it has {len(extra)} tensors that this engine does not know, {min(extra)} among them",
                "use a model of the plain llama form (without experts, biases or scaled rotations)",
            )
