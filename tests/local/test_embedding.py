"""Vectors of texts from local models, through the same stack as everybody else's."""

from __future__ import annotations

import math

import pytest

import tiny_gguf
from inferkit import Client, ContextOverflow, InvalidRequest, Local, LocalCost
from inferkit.local.engines.xllamacpp.library import is_installed
from smollm import NAME, need_smollm

TEXTS = ["hello the hello", "a then the", "hello", "in the hello there"]


@pytest.fixture(scope="module", autouse=True)
def _second_engine() -> None:
    if not is_installed():
        pytest.skip("EMBEDDINGS WERE NOT TESTED: xllamacpp is not installed (pip install -e '.[test]')")


@pytest.fixture(scope="module")
def embedding_path(tmp_path_factory):
    """A model of random weights that says how the vectors of its tokens become one, and has no template for a chat."""
    spec = tiny_gguf.tiny(prompt_format=None).set("llama.pooling_type", "uint32", 1)
    return spec.write(tmp_path_factory.mktemp("models") / "vectors.gguf")


def test_each_text_has_a_vector_of_its_own_of_length_one(world, embedding_path):
    async def body(world):
        cost = LocalCost(watts=5, price_per_kwh=1)
        client = world.client(models={"notes": f"local:{embedding_path}"}, prices={"local:*": cost})
        async with client as llm:
            return await llm.embed("notes", TEXTS), await llm.embed("notes", TEXTS[::-1])

    found, reversed_ = world.run(body)
    rows = found.tolist()
    assert [len(row) for row in rows] == [32] * 4
    assert [math.hypot(*row) for row in rows] == pytest.approx([1.0] * 4)
    assert reversed_.tolist()[::-1] == rows, "what a text's vector is does not depend on the others"
    assert len({tuple(row) for row in rows}) == 4
    assert found.usage.input_tokens > 12
    assert not found.usage.estimated
    assert found.cost_nanos > 0


def test_many_texts_go_in_turns_and_are_cached_one_by_one(tmp_path, embedding_path):
    texts = [f"hello {number}" for number in range(150)]
    with Client(models={"notes": f"local:{embedding_path}"}, home=tmp_path, ledger=False) as llm:
        first = llm.embed("notes", texts)
        again = llm.embed("notes", [*texts, "one more"])
    assert (first.requests, again.requests, again.cached) == (3, 1, 150)
    assert again.tolist()[:150] == first.tolist()


def test_a_model_for_embeddings_is_known_by_its_file_and_does_not_chat(embedding_path):
    with Client(models={"notes": f"local:{embedding_path}"}, ledger=False, cache=False) as llm:
        assert llm.check() == ()
        assert llm.models["notes"][0].engine == "xllamacpp"
        with pytest.raises(InvalidRequest, match="gives embeddings and does not chat"):
            llm.complete("notes", "hello")
        assert len(llm.embed("notes", "hello").vector) == 32


def test_a_model_that_chats_gives_the_mean_of_its_tokens(tiny_path):
    local = Local(tiny_path, engine="xllamacpp")
    with Client(providers={"own": local}, models={"m": "own:tiny"}, ledger=False, cache=False) as llm:
        before = llm.complete("m", "hello", max_output_tokens=8).text
        vector = list(llm.embed("m", "hello the").vector)
        assert llm.complete("m", "hello", max_output_tokens=8).text == before
        assert list(llm.embed("m", "hello the").vector) == vector
    local.close()


def test_what_cannot_be_embedded_is_refused_and_said(tiny_path, embedding_path):
    models = {"old": f"local:{tiny_path}", "notes": f"local:{embedding_path}"}
    with Client(models=models, ledger=False, cache=False) as llm:
        with pytest.raises(InvalidRequest, match="the engine ctransformers gives no embeddings"):
            llm.embed("old", "hello")
        with pytest.raises(ContextOverflow, match="holds 128"):
            llm.embed("notes", "hello the " * 200)
        with pytest.raises(InvalidRequest, match="cannot be told dimensions="):
            llm.embed("notes", "hello", dimensions=8)
        with pytest.raises(InvalidRequest, match="cannot be told task="):
            llm.embed("notes", "hello", task="query")
        with pytest.raises(InvalidRequest, match="not title in extra="):
            llm.embed("notes", "hello", extra={"title": "x"})


def test_a_real_models_vectors_are_nearer_for_what_means_the_same():
    need_smollm()
    with Client(models={"notes": f"local:{NAME}"}, ledger=False, cache=False) as llm:
        cat, kitten, train = llm.embed(
            "notes", ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The train to Lyon leaves at nine."]
        ).tolist()

    def alike(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert alike(cat, kitten) > max(alike(cat, train), alike(kitten, train))
