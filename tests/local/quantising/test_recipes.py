"""Which tensor is packed how."""

from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError
from inferkit.local.gguf.container import read_container
from inferkit.local.quantising.recipes import RECIPES, assign, recipe


def packings(tmp_path, kind, tensors=None, **options):
    spec = tiny_gguf.tiny(**{"width": 256, "heads": 4, "hidden": 256, "kind": tiny_gguf.F16, "blocks": 8} | options)
    for name, raw in (tensors or {}).items():
        spec.tensors[name] = raw
    return assign(read_container(spec.write(tmp_path / "m.gguf")), recipe(kind))


def test_scores_are_packed_finer_and_vectors_not_at_all(tmp_path):
    found = packings(tmp_path, "q4_0", blocks=1)
    assert found["blk.0.attn_q.weight"] == found["token_embd.weight"] == "Q4_0"
    assert found["output.weight"] == "Q6_K"
    assert found["blk.0.attn_norm.weight"] == found["output_norm.weight"] == "F32"


def test_an_embedding_that_gives_the_scores_too_is_packed_as_those(tmp_path):
    spec = tiny_gguf.tiny(width=256, heads=4, hidden=256, blocks=1, kind=tiny_gguf.F16)
    del spec.tensors["output.weight"]
    found = assign(read_container(spec.write(tmp_path / "m.gguf")), recipe("q4_0"))
    assert found["token_embd.weight"] == "Q6_K"


def test_the_k_kinds_spend_more_on_some_blocks(tmp_path):
    found = packings(tmp_path, "q4_k_m", width=64, hidden=256)
    finer = [block for block in range(8) if found[f"blk.{block}.ffn_down.weight"] == "Q6_K"]
    assert finer == [0, 3, 6, 7], "the first and the last eighth, and every third between"
    assert {found[f"blk.{block}.ffn_down.weight"] for block in (1, 2, 4, 5)} == {"Q4_K"}


def test_rows_that_fill_no_block_are_packed_the_next_best_way(tmp_path):
    plain = packings(tmp_path, "q4_k_m", width=96, heads=3, heads_kv=3, blocks=1)
    assert plain["blk.0.attn_q.weight"] == "Q5_0"
    assert plain["output.weight"] == "Q8_0"
    odd = packings(tmp_path, "q4_0", width=40, heads=4, heads_kv=4, hidden=64, blocks=1)
    assert odd["blk.0.attn_q.weight"] == "F16"
    assert odd["blk.0.ffn_down.weight"] == "Q4_0"


def test_what_the_rest_depends_on_stays_as_it_is(tmp_path):
    router = ((256, 4), tiny_gguf.F32, bytes(4 * 4 * 256))
    found = packings(tmp_path, "q4_0", {"blk.0.ffn_gate_inp.weight": router}, blocks=1)
    assert found["blk.0.ffn_gate_inp.weight"] == "F32"


def test_names_are_taken_as_people_write_them_and_others_refused():
    assert recipe(" Q4_K_M ") is RECIPES["q4_k_m"]
    with pytest.raises(ConfigurationError, match=r"no quantisation 'q9' here; the kinds are: f16, .*q4_0"):
        recipe("q9")
