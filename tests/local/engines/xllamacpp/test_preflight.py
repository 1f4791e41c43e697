"""What is wrong with a file is found in its head, for any architecture, before the library of today sees it."""

from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.core.errors import ModelFileError
from inferkit.local.engines.xllamacpp.preflight import check
from inferkit.local.gguf.container import read_container
from inferkit.local.gguf.facts import NotForThisEngine


def value(key, kind, what):
    return lambda spec: spec.set(key, kind, what)


def gone(key):
    return lambda spec: spec.drop(key)


def column(key, kind, change):
    def damage(spec):
        _, (inner, items) = spec.metadata[key]
        spec.set(key, "array", (kind or inner, change(list(items))))

    return damage


def no_block(spec):
    spec.tensors = {name: tensor for name, tensor in spec.tensors.items() if not name.startswith("blk.0.")}


def without_byte(texts):
    return ["<0xZZ>" if text == "<0x41>" else text for text in texts]


TOKENS, SCORES, TYPES = (f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type"))
WRONG = {
    "no architecture": (gone("general.architecture"), "general.architecture is missing"),
    "no width": (gone("llama.embedding_length"), "llama.embedding_length is missing"),
    "an absurd width": (value("llama.embedding_length", "uint32", 1 << 31), "is 2147483648, and not from 1 to"),
    "no blocks": (value("llama.block_count", "uint32", 0), "is 0, and not from 1 to 512"),
    "too many blocks": (value("llama.block_count", "uint32", 5000), "is 5000, and not from 1 to 512"),
    "blocks that are not there": (value("llama.block_count", "uint32", 7), "claims 7 blocks, and has the tensors of 2"),
    "blocks that are": (no_block, "claims 2 blocks, and has the tensors of 1"),
    "an endless context": (value("llama.context_length", "uint32", (1 << 32) - 1), "is 4294967295, and not from 1"),
    "a count in fractions": (value("llama.block_count", "float32", 2.0), "is of kind float32, and not a whole number"),
    "more pairs than heads": (value("llama.attention.head_count_kv", "uint32", 9), "9 key-value heads, and 4 heads"),
    "experts": (value("llama.expert_used_count", "uint32", 2), "uses more experts than it has"),
    "a number that is none": (
        value("llama.attention.layer_norm_rms_epsilon", "float32", float("nan")),
        "is not a finite number",
    ),
    "a negative epsilon": (
        value("llama.attention.layer_norm_rms_epsilon", "float32", -1.0),
        "is -1.0, and not a small positive number",
    ),
    "an array with an absurd number": (
        value("llama.attention.head_count_kv", "array", ("uint32", [2, 1 << 31])),
        "is 2147483648, and not from 0",
    ),
    "another embedding": (value("llama.embedding_length", "uint32", 64), r"shape \[32, \d+\], and not \[64"),
    "no tokens": (value(TOKENS, "array", ("string", [])), "has no tokens"),
    "a token twice": (column(TOKENS, None, lambda items: [*items[:-1], items[-2]]), "two tokens .* have one text"),
    "too few scores": (column(SCORES, None, lambda items: items[:-1]), "tokens, and .* of tokenizer.ggml.scores"),
    "too many types": (column(TYPES, None, lambda items: [*items, 1]), "tokens, and .* of tokenizer.ggml.token_type"),
    "an unknown type": (column(TYPES, None, lambda items: [9, *items[1:]]), "a token has an unknown type"),
    "a score that is none": (column(SCORES, None, lambda items: [float("nan"), *items[1:]]), "score is not a number"),
    "an end out of bounds": (value("tokenizer.ggml.eos_token_id", "uint32", 70_000), "eos_token_id is 70000, and the"),
    "a turn's end out of bounds": (value("tokenizer.ggml.eot_token_id", "uint32", 70_000), "eot_token_id is 70000"),
    "pairs that are not there": (value("tokenizer.ggml.model", "string", "gpt2"), "tokenizer.ggml.merges is missing"),
}
NOT_HERE = {
    "a part of a model": (value("split.count", "uint16", 3), "one of 3 parts", "llama-gguf-split --merge"),
    "no way to spell": (column(TOKENS, None, without_byte), "lacks some of the 256 byte tokens", "byte fallback"),
    "no embedding": (lambda spec: spec.tensors.pop("token_embd.weight"), "token_embd.weight is missing", "reads and"),
}


def checked(spec, tmp_path):
    path = spec.write(tmp_path / "m.gguf")
    return check(path, read_container(path))


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_contradicts_itself_is_refused_as_damaged(tmp_path, case):
    damage, reason = WRONG[case]
    spec = tiny_gguf.tiny()
    damage(spec)
    with pytest.raises(ModelFileError, match=reason) as caught:
        checked(spec, tmp_path)
    assert "download or convert it again" in str(caught.value)
    assert not isinstance(caught.value, NotForThisEngine)


@pytest.mark.parametrize("case", NOT_HERE)
def test_a_sound_file_that_it_cannot_run_is_refused_with_a_remedy(tmp_path, case):
    damage, reason, remedy = NOT_HERE[case]
    spec = tiny_gguf.tiny()
    damage(spec)
    with pytest.raises(NotForThisEngine, match=reason) as caught:
        checked(spec, tmp_path)
    assert remedy in caught.value.remedy


def test_arrays_of_numbers_for_each_block_are_taken_at_their_greatest(tmp_path):
    spec = tiny_gguf.tiny().set("llama.attention.head_count_kv", "array", ("uint32", [1, 2]))
    assert checked(spec, tmp_path).key_value_width == 2 * (8 + 8)


def test_a_token_that_is_said_to_be_none_is_none(tmp_path):
    spec = tiny_gguf.tiny().set("tokenizer.ggml.bos_token_id", "uint32", (1 << 32) - 1)
    model = checked(spec, tmp_path)
    assert model.vocabulary.bos is None
    assert model.vocabulary.text(None) == ""
    assert model.vocabulary.text(model.vocabulary.eos) == "</s>"


def test_a_vocabulary_without_types_has_ordinary_tokens(tmp_path):
    spec = tiny_gguf.tiny().drop(TYPES)
    assert set(checked(spec, tmp_path).vocabulary.types) == {1}
