from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import tiny_gguf
from inferkit.core.errors import ModelFileError
from inferkit.local.engines.ctransformers.preflight import inspect
from tiny_gguf import BYTE, CONTROL, F16, F32, NORMAL, Q8_0

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_sound_file_is_described(tmp_path):
    spec = tiny_gguf.tiny(kind=Q8_0, prompt_format="plain").set("tokenizer.chat_template", "string", "{{x}}")
    path = spec.write(tmp_path / "m.gguf")
    model = inspect(path)
    assert (model.architecture, model.name, model.quantisation) == ("llama", "tiny", "Q8_0")
    assert (model.context_length, model.vocabulary_size) == (128, len(spec.tokens))
    assert model.size == path.stat().st_size
    assert model.chat_template == "{{x}}"
    assert model.metadata["inferkit.prompt_format"] == "plain"
    words = 32 * len(spec.tokens)
    assert model.parameters == 2 * words + 32 + 2 * (2 * 32 + 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)


def test_the_fingerprint_changes_with_the_file(tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    first = inspect(path).fingerprint
    assert inspect(path).fingerprint == first
    os.utime(path, ns=(1, 1))
    second = inspect(path).fingerprint
    assert second != first
    tiny_gguf.tiny().set("general.name", "string", "tinx").write(path)
    os.utime(path, ns=(1, 1))
    assert inspect(path).fingerprint not in (first, second)


def test_no_description_shows_the_vocabulary_or_the_template(tmp_path):
    spec = tiny_gguf.tiny().set("tokenizer.chat_template", "string", "secret template")
    assert "secret" not in repr(inspect(spec.write(tmp_path / "m.gguf")))


def value(key: str, kind: str, new: Any) -> Callable[[tiny_gguf.Spec], object]:
    return lambda spec: spec.set(key, kind, new)


def tensor(name: str, shape: tuple[int, ...], kind: int = F32, size: int | None = None) -> Callable[[Any], object]:
    def change(spec: tiny_gguf.Spec) -> None:
        length = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1) if size is None else size
        spec.tensors[name] = (shape, kind, bytes(length))

    return change


def tokens(change: Callable[[list[str], list[float], list[int]], object]) -> Callable[[tiny_gguf.Spec], object]:
    def apply(spec: tiny_gguf.Spec) -> None:
        texts, scores, types = (
            list(spec.metadata[f"tokenizer.ggml.{name}"][1][1]) for name in ("tokens", "scores", "token_type")
        )
        change(texts, scores, types)
        spec.set("tokenizer.ggml.tokens", "array", ("string", texts))
        spec.set("tokenizer.ggml.scores", "array", ("float32", scores))
        spec.set("tokenizer.ggml.token_type", "array", ("int32", types))

    return apply


def put(which: int, place: int, new: Any) -> Callable[[tiny_gguf.Spec], object]:
    return tokens(lambda *lists: lists[which].__setitem__(place, new))


WRONG: dict[str, tuple[Callable[[tiny_gguf.Spec], object], str]] = {
    "another architecture": (
        value("general.architecture", "string", "qwen2"),
        "architecture is 'qwen2'; this engine runs llama models",
    ),
    "no architecture": (lambda s: s.drop("general.architecture"), "general.architecture is missing"),
    "a count of another kind": (value("llama.block_count", "uint64", 2), "of kind uint64, and not uint32"),
    "no blocks": (value("llama.block_count", "uint32", 0), "block_count is 0"),
    "too many blocks": (value("llama.block_count", "uint32", 97), "block_count is 97, and not from 1 to 96"),
    "more blocks than tensors": (value("llama.block_count", "uint32", 3), "blk.2.attn_norm.weight is missing"),
    "fewer blocks than tensors": (value("llama.block_count", "uint32", 1), "9 tensors that this engine does not know"),
    "no heads": (value("llama.attention.head_count", "uint32", 0), "head_count is 0"),
    "no key-value heads": (value("llama.attention.head_count_kv", "uint32", 0), "head_count_kv is 0"),
    "heads that do not divide": (value("llama.attention.head_count", "uint32", 5), "do not divide into 5 heads"),
    "key-value heads that do not divide": (value("llama.attention.head_count_kv", "uint32", 3), "3 key-value heads"),
    "a head of odd size": (
        lambda s: s.set("llama.attention.head_count", "uint32", 32).set("llama.rope.dimension_count", "uint32", 1),
        "cannot be rotated",
    ),
    "a partial rotation": (value("llama.rope.dimension_count", "uint32", 4), "a head has 8 dimensions"),
    "no context": (value("llama.context_length", "uint32", 0), "context_length is 0"),
    "another width": (value("llama.embedding_length", "uint32", 64), "dimension_count is 8, and a head has 16"),
    "another hidden size": (value("llama.feed_forward_length", "uint32", 96), "and not \\[32, 96\\]"),
    "no epsilon": (lambda s: s.drop("llama.attention.layer_norm_rms_epsilon"), "epsilon is missing"),
    "a zero epsilon": (value("llama.attention.layer_norm_rms_epsilon", "float32", 0.0), "not between 0 and 1"),
    "a rotation of no number": (value("llama.rope.freq_base", "float32", float("nan")), "not a positive number"),
    "a scale of zero": (value("llama.rope.scale_linear", "float32", 0.0), "not a positive number"),
    "a later scaling": (value("llama.rope.scaling.type", "string", "yarn"), "llama.rope.scaling"),
    "a scaling of no named method": (value("llama.rope.scaling.factor", "float32", 4.0), "llama.rope.scaling"),
    "a part of a split model": (value("split.count", "uint16", 3), "one of 3 parts of a model; join them"),
    "an architecture of many letters": (value("general.architecture", "string", "x" * 9999), "'x{60}'; this engine"),
    "a file type of another kind": (value("general.file_type", "string", "x"), "general.file_type is of kind string"),
    "byte-pair encoding": (value("tokenizer.ggml.model", "string", "gpt2"), "tokeniser is of the kind 'gpt2'"),
    "no space prefix": (value("tokenizer.ggml.add_space_prefix", "bool", False), "adds no space before a text"),
    "no scores": (lambda s: s.drop("tokenizer.ggml.scores"), "tokenizer.ggml.scores is missing"),
    "scores that are no array": (value("tokenizer.ggml.scores", "float32", 1.0), "of kind float32, and not array"),
    "scores of another kind": (value("tokenizer.ggml.scores", "array", ("int32", [1])), "elements of kind int32"),
    "too few scores": (tokens(lambda t, s, k: s.pop()), "not equally many"),
    "too few types": (tokens(lambda t, s, k: k.pop()), "not equally many"),
    "more tokens than embeddings": (
        tokens(lambda t, s, k: (t.append("x"), s.append(0.0), k.append(NORMAL))),
        "token_embd.weight has the shape",
    ),
    "hardly any tokens": (tokens(lambda t, s, k: [x.__delitem__(slice(100, None)) for x in (t, s, k)]), "256 bytes"),
    "an unknown type of token": (put(2, 300, 7), "a token has an unknown type"),
    "a negative type of token": (put(2, 300, -1), "a token has an unknown type"),
    "a score that is no number": (put(1, 300, float("nan")), "score is not a number"),
    "a token with a zero byte": (put(0, 300, "a\0"), "holds a zero byte"),
    "a byte token without its name": (put(0, 10, "<0x"), "lacks some of the 256 byte tokens"),
    "a byte token too many": (put(2, 300, BYTE), "lacks some of the 256 byte tokens"),
    "no newline": (put(2, 3 + 10, CONTROL), "lacks some of the 256 byte tokens"),
    "a start out of range": (value("tokenizer.ggml.bos_token_id", "uint32", 9999), "bos_token_id is 9999"),
    "an end of no text": (value("tokenizer.ggml.eos_token_id", "uint32", 0xFFFFFFFF), "none that ends, a text"),
    "padding out of range": (value("tokenizer.ggml.padding_token_id", "uint32", 9999), "padding_token_id is 9999"),
    "an odd alignment": (value("general.alignment", "uint32", 24), "not a power of two"),
    "an alignment of another kind": (value("general.alignment", "uint64", 32), "not a power of two"),
    "no output": (lambda s: s.tensors.pop("output.weight"), "output.weight is missing .*may be shared"),
    "a tensor too many": (tensor("rope_freqs.weight", (16,)), "rope_freqs.weight among them"),
    "a scale in half precision": (tensor("output_norm.weight", (32,), F16, 64), "is of type F16, and not F32"),
    "a tensor of later type": (
        tensor("output_norm.weight", (32,), 30),
        "is of type BF16, which this engine does not know",
    ),
    "a tensor without values": (tensor("output_norm.weight", (0,), F32, 0), "impossible shape \\[0\\]"),
    "a row that is no whole block": (tensor("output_norm.weight", (33,), Q8_0, 99), "impossible shape"),
    "a tensor of great size": (tensor("output_norm.weight", (1 << 62, 2), F32, 8), "impossible shape"),
    "five dimensions": (tensor("output_norm.weight", (1, 1, 1, 1, 1), F32, 4), "claims 5 dimensions"),
    "no dimension": (tensor("output_norm.weight", (), F32, 4), "claims 0 dimensions"),
    "a long tensor name": (tensor("x" * 128, (8,)), "over 127 bytes"),
    "a long key": (value("k" * 128, "uint32", 1), "a metadata key is over 127 bytes"),
    "an empty tensor name": (tensor("", (8,)), "empty or holds a zero byte"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_the_engine_would_trip_over_is_refused_with_its_reason(tmp_path, case):
    change, reason = WRONG[case]
    spec = tiny_gguf.tiny()
    change(spec)
    with pytest.raises(ModelFileError, match=reason):
        inspect(spec.write(tmp_path / "m.gguf"))
