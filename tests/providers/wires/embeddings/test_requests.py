"""Requests for embeddings: what each wire writes, what it has no place for, and what becomes of `extra`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from embedding_wire import asks
from inferkit.core.errors import ConfigurationError, InvalidRequest
from inferkit.core.messages import ImagePart, Message
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.chat.embeddings import read_request as read_openai
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.gemini.embeddings import read_request as read_gemini
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE

WIRES = {"openai": (CHAT, read_openai), "gemini": (GEMINI_WIRE, read_gemini)}


def written(wire, request, **quirks):
    server = Endpoint("house", "http://localhost:1/v1", embeddings=EmbeddingQuirks(**quirks)).for_embeddings()
    return json.loads(WIRES[wire][0].embeddings(request).write_request(request, server))


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=4)


@given(texts, st.none() | st.integers(1, 4096))
def test_a_request_is_read_as_it_was_written(given, dimensions):
    for wire, (_, read) in WIRES.items():
        request = asks(*given, model="m-1", dimensions=dimensions, task="clustering" if wire == "gemini" else None)
        fields = read(written(wire, request, base64=False))
        assert fields.pop("extra") == {}
        assert all(getattr(request, name) == value for name, value in fields.items())
        assert {name for name in ("dimensions", "task") if getattr(request, name) is not None} <= fields.keys()


def test_openai_is_asked_for_base64_and_others_by_their_own_names():
    request = asks("a", "b", dimensions=256)
    assert written("openai", request) == {
        "model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 256,
    }  # fmt: skip
    other = written("openai", request.replace(task="query"), base64=False, dimensions_field="size", task_field="kind")
    assert other == {"model": "text-embedding-3-small", "input": ["a", "b"], "size": 256, "kind": "query"}


def test_what_a_server_has_no_place_for_is_refused_before_it_is_sent():
    with pytest.raises(InvalidRequest, match="house does not take task="):
        written("openai", asks("a", task="query"))
    with pytest.raises(InvalidRequest, match="house does not take dimensions="):
        written("openai", asks("a", dimensions=5), dimensions_field=None)


def test_gemini_is_asked_for_each_text_by_itself_with_all_that_holds_for_it():
    request = asks("a", "b", model="gemini-embedding-001", dimensions=256, task="document", extra={"title": "Notes"})
    common = {
        "model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_DOCUMENT", "outputDimensionality": 256,
        "title": "Notes",
    }  # fmt: skip
    assert written("gemini", request) == {
        "requests": [{**common, "content": {"parts": [{"text": text}]}} for text in ("a", "b")]
    }
    codec = GEMINI_WIRE.embeddings(request)
    assert codec.path(request) == "/models/{model}:batchEmbedContents"
    assert codec.path(asks("a", model="tunedModels/mine")) == "/tunedModels/mine:batchEmbedContents"


@pytest.mark.parametrize(
    ("task", "sent"),
    [("query", "RETRIEVAL_QUERY"), ("document", "RETRIEVAL_DOCUMENT"), ("semantic_similarity", "SEMANTIC_SIMILARITY"),
     ("CODE_RETRIEVAL_QUERY", "CODE_RETRIEVAL_QUERY")],
)  # fmt: skip
def test_a_task_of_gemini_is_told_in_its_own_words_or_in_those_of_others(task, sent):
    assert written("gemini", asks("a", task=task))["requests"][0]["taskType"] == sent


@pytest.mark.parametrize("wire", WIRES)
def test_extra_is_sent_but_for_what_the_call_itself_says(wire):
    request = asks("a", extra={"user": "u-1"})
    sent = written(wire, request)
    assert (sent["requests"][0] if wire == "gemini" else sent)["user"] == "u-1"
    refused = {
        "openai": ["input", "model", "dimensions", "encoding_format"],
        "gemini": ["requests", "content", "model", "outputDimensionality", "taskType"],
    }[wire]
    for name in refused:
        with pytest.raises(ConfigurationError, match=f"extra= cannot set '{name}'"):
            written(wire, asks("a", extra={name: "x"}))


@pytest.mark.parametrize("wire", WIRES)
def test_a_message_that_is_no_plain_text_has_no_embedding(wire):
    request = asks("a").replace(messages=(Message.user("a", ImagePart(url="https://example.com/a.png")),))
    with pytest.raises(ConfigurationError, match="an embedding is of one text"):
        written(wire, request)


@pytest.mark.parametrize("wire", WIRES)
def test_half_a_character_is_told_before_it_is_sent(wire):
    with pytest.raises(ConfigurationError, match="valid Unicode"):
        written(wire, asks("\ud800"))


BAD = {
    "openai": [
        None, [], {}, {"model": "m"}, {"model": "m", "input": []}, {"model": "m", "input": [""]},
        {"model": "m", "input": [1, 2]}, {"input": "a"}, {"model": "", "input": "a"}, {"model": 3, "input": "a"},
    ],
    "gemini": [
        None, {}, {"requests": []}, {"requests": [1]}, {"requests": [{"content": {"parts": [{"text": "a"}]}}]},
        {"requests": [{"model": "models/m", "content": {"parts": []}}]},
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": ""}]}}]},
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}, {"text": "b"}]}}]},
        {"requests": [{"model": "models/m", "content": "a"}]},
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}},
                      {"model": "models/n", "content": {"parts": [{"text": "a"}]}}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_what_is_no_request_is_refused(wire):
    for payload in BAD[wire]:
        with pytest.raises(ConfigurationError):
            WIRES[wire][1](payload)


def test_what_else_a_request_says_stays_as_it_came():
    read = read_openai({"model": "m", "input": "a", "encoding_format": "base64", "user": "u", "dimensions": "many"})
    assert read["messages"] == (Message.user("a"),)
    assert read["extra"] == {"encoding_format": "base64", "user": "u", "dimensions": "many"}
    content = {"parts": [{"text": "a"}]}
    read = read_gemini({"requests": [{"model": "m", "content": content, "title": "T", "taskType": 5}]})
    assert (read["model"], read["extra"]) == ("m", {"title": "T", "taskType": 5})


@pytest.mark.parametrize("wire", WIRES)
def test_only_a_refusal_of_base64_is_learned_from(wire):
    request = asks("a")
    codec = WIRES[wire][0].embeddings(request)
    server = Endpoint("house", "http://localhost:1/v1", embeddings=EmbeddingQuirks()).for_embeddings()
    refusal = b'{"error": {"message": "base64 encoding is not currently supported"}}'
    lighter = codec.lighten(request, server, 400, refusal)
    assert (lighter is not None) == (wire == "openai")
    assert lighter is None or lighter.quirks == EmbeddingQuirks(base64=False)
    for status, body in ((500, refusal), (400, b'{"error": {"message": "the input is too long"}}')):
        assert codec.lighten(request, server, status, body) is None
    plain = server.with_quirks(EmbeddingQuirks(base64=False))
    assert codec.lighten(request, plain, 400, refusal) is None
