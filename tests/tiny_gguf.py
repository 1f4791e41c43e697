"""Writes small GGUF files for tests: whole ones that run, and any way of damaging them."""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KINDS = {
    "uint8": (0, "B"),
    "int8": (1, "b"),
    "uint16": (2, "H"),
    "int16": (3, "h"),
    "uint32": (4, "I"),
    "int32": (5, "i"),
    "float32": (6, "f"),
    "bool": (7, "B"),
    "string": (8, ""),
    "array": (9, ""),
    "uint64": (10, "Q"),
    "int64": (11, "q"),
    "float64": (12, "d"),
}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
F32, F16, Q8_0 = 0, 1, 8


@dataclass
class Spec:
    """A GGUF file to be: `metadata` as key -> (kind, value), `tensors` as name -> (shape, type, bytes)."""

    metadata: dict[str, tuple[str, Any]]
    tensors: dict[str, tuple[tuple[int, ...], int, bytes]]
    version: int = 3
    alignment: int = 32
    magic: bytes = b"GGUF"
    tokens: list[str] = field(default_factory=list)

    def token(self, text: str) -> int:
        return self.tokens.index(text)

    def set(self, key: str, kind: str, value: Any) -> Spec:
        self.metadata[key] = (kind, value)
        return self

    def drop(self, key: str) -> Spec:
        del self.metadata[key]
        return self

    def to_bytes(self) -> bytes:
        out = bytearray(self.magic)
        out += struct.pack("<IQQ", self.version, len(self.tensors), len(self.metadata))
        for key, (kind, value) in self.metadata.items():
            out += _string(key) + struct.pack("<I", KINDS[kind][0]) + _value(kind, value)
        data = bytearray()
        for name, (shape, number, raw) in self.tensors.items():
            data += bytes(-len(data) % self.alignment)
            out += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            out += struct.pack("<IQ", number, len(data))
            data += raw
        out += bytes(-len(out) % self.alignment)
        return bytes(out + data)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.to_bytes())
        return path


def _string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: str, value: Any) -> bytes:
    if kind == "string":
        return _string(value)
    if kind == "array":
        inner, items = value
        return struct.pack("<IQ", KINDS[inner][0], len(items)) + b"".join(_value(inner, item) for item in items)
    return struct.pack("<" + KINDS[kind][1], value)


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!'[]{}:\"-/"
WORDS = ["▁the", "▁a", "he", "th", "in", "er", "▁t", "▁h", "▁he", "hel", "lo", "▁hello", "é", "<s", "<|", "an"]
CONTROLS = ["<|answer|>", "<|im_start|>", "<|im_end|>"]


def vocabulary(extra: Sequence[tuple[str, int]] = ()) -> tuple[list[str], list[float], list[int]]:
    tokens, scores, types = ["<unk>", "<s>", "</s>"], [0.0] * 3, [UNKNOWN, CONTROL, CONTROL]
    tokens += [f"<0x{value:02X}>" for value in range(256)]
    scores += [0.0] * 256
    types += [BYTE] * 256
    singles = ["▁", "<", ">", "|", *LETTERS]
    for rank, text in enumerate([*WORDS, *singles]):
        tokens.append(text)
        scores.append(-float(rank))
        types.append(NORMAL)
    for text, kind in [*((text, CONTROL) for text in CONTROLS), *extra]:
        tokens.append(text)
        scores.append(-1000.0)
        types.append(kind)
    return tokens, scores, types


def packed(values: Sequence[float], kind: int) -> bytes:
    if kind == F32:
        return struct.pack(f"<{len(values)}f", *values)
    if kind == F16:
        return struct.pack(f"<{len(values)}e", *values)
    assert kind == Q8_0
    out = bytearray()
    for start in range(0, len(values), 32):
        block = values[start : start + 32]
        scale = max(map(abs, block)) / 127 or 1.0
        out += struct.pack("<e32b", scale, *(max(-127, min(127, round(value / scale))) for value in block))
    return bytes(out)


def tiny(
    *,
    width: int = 32,
    heads: int = 4,
    heads_kv: int = 2,
    hidden: int = 64,
    blocks: int = 2,
    context: int = 128,
    kind: int = F32,
    seed: int = 1,
    extra: Sequence[tuple[str, int]] = (),
    prompt_format: str | None = "plain",
) -> Spec:
    """A llama model of random weights: it loads, runs and talks nonsense, always the same."""
    tokens, scores, types = vocabulary(extra)
    chance = random.Random(seed)
    width_kv = width // heads * heads_kv
    metadata: dict[str, tuple[str, Any]] = {
        "general.architecture": ("string", "llama"),
        "general.name": ("string", "tiny"),
        "llama.context_length": ("uint32", context),
        "llama.embedding_length": ("uint32", width),
        "llama.block_count": ("uint32", blocks),
        "llama.feed_forward_length": ("uint32", hidden),
        "llama.rope.dimension_count": ("uint32", width // heads),
        "llama.attention.head_count": ("uint32", heads),
        "llama.attention.head_count_kv": ("uint32", heads_kv),
        "llama.attention.layer_norm_rms_epsilon": ("float32", 1e-5),
        "tokenizer.ggml.model": ("string", "llama"),
        "tokenizer.ggml.tokens": ("array", ("string", tokens)),
        "tokenizer.ggml.scores": ("array", ("float32", scores)),
        "tokenizer.ggml.token_type": ("array", ("int32", types)),
        "tokenizer.ggml.bos_token_id": ("uint32", 1),
        "tokenizer.ggml.eos_token_id": ("uint32", 2),
    }
    if prompt_format:
        metadata["inferkit.prompt_format"] = ("string", prompt_format)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (width, len(tokens))}
    for block in range(blocks):
        shapes |= {
            f"blk.{block}.attn_norm": (width,),
            f"blk.{block}.attn_q": (width, width),
            f"blk.{block}.attn_k": (width, width_kv),
            f"blk.{block}.attn_v": (width, width_kv),
            f"blk.{block}.attn_output": (width, width),
            f"blk.{block}.ffn_norm": (width,),
            f"blk.{block}.ffn_gate": (width, hidden),
            f"blk.{block}.ffn_down": (hidden, width),
            f"blk.{block}.ffn_up": (width, hidden),
        }
    shapes |= {"output_norm": (width,), "output": (width, len(tokens))}
    tensors = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensors[f"{name}.weight"] = (shape, F32, packed([1.0] * width, F32))
        else:
            values = [chance.gauss(0.0, 0.3) for _ in range(math.prod(shape))]
            tensors[f"{name}.weight"] = (shape, kind, packed(values, kind))
    return Spec(metadata, tensors, tokens=tokens)


def scripted(chain: Sequence[str], **options: Any) -> Spec:
    """A model that says the tokens of `chain` one after another: each token decides the next, and no other counts.

    No token may occur twice. A prompt that ends in the first token begins the script; the last token repeats.
    """
    spec = tiny(width=128, heads=4, heads_kv=4, hidden=32, blocks=1, **options)
    assert len(set(chain)) == len(chain) <= 128
    zeros = ((128, 128), F32, bytes(128 * 128 * 4))
    spec.tensors["blk.0.attn_output.weight"] = zeros
    spec.tensors["blk.0.ffn_down.weight"] = ((32, 128), F32, bytes(32 * 128 * 4))
    count = len(spec.tokens)
    embedding = [[0.0] * 128 for _ in range(count)]
    output = [[0.0] * 128 for _ in range(count)]
    for place, text in enumerate(chain):
        following = chain[min(place + 1, len(chain) - 1)]
        embedding[spec.token(text)][place] = 1.0
        output[spec.token(following)][place] = 1.0
    for name, rows in (("token_embd", embedding), ("output", output)):
        spec.tensors[f"{name}.weight"] = ((128, count), F32, packed([v for row in rows for v in row], F32))
    return spec
