"""The official SDKs as oracles: their models read the same bytes, and their clients speak to what we write."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from hypothesis import given, settings, strategies as st

from embedding_wire import asks, fed, packed
from inferkit.core.usage import Usage
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.chat import embeddings as ours
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.gemini import embeddings as gemini
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from wire import Wire, reply

openai = pytest.importorskip("openai")
genai = pytest.importorskip("google.genai")
types = pytest.importorskip("google.genai.types")

SERVER = Endpoint("house", "http://localhost:1/v1", embeddings=EmbeddingQuirks())
TEXTS = ["the first", "der zweite", "第三"]
VECTORS = [packed(0.1, -2.5, 3e-9), packed(1.0, 0.0, -0.0), packed(0.3, 0.2, 0.1)]

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.integers(1, 5).flatmap(
    lambda size: st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=1, max_size=4)
)


def reader(wire, count):
    return wire.embeddings(asks(*["x"] * count)).reader(SERVER, {}, streamed=False)


@given(vectors, st.integers(0, 10**6))
def test_openai_s_model_and_ours_read_the_same_bytes_alike(given, tokens):
    body = ours.write_reply([packed(*each) for each in given], model="m", usage=Usage(tokens), base64=False)
    theirs = openai.types.CreateEmbeddingResponse.model_validate_json(body, strict=True)
    found, usage, failure = fed(reader(CHAT, len(given)), body)
    assert failure is None
    assert [packed(*one.embedding) for one in theirs.data] == found
    assert [one.index for one in theirs.data] == list(range(len(given)))
    assert theirs.usage.prompt_tokens == theirs.usage.total_tokens == usage.input_tokens == tokens


@given(vectors, st.integers(0, 10**6))
def test_what_openai_s_model_writes_we_read(given, tokens):
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(given)]
    theirs = openai.types.CreateEmbeddingResponse.model_validate(
        {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )
    found, usage, failure = fed(reader(CHAT, len(given)), theirs.model_dump_json().encode())
    assert failure is None
    assert found == [packed(*each) for each in given]
    assert usage.input_tokens == tokens


@given(vectors, st.integers(0, 10**6))
def test_google_s_model_and_ours_read_the_same_bytes_alike(given, tokens):
    body = gemini.write_reply([packed(*each) for each in given], usage=Usage(tokens))
    theirs = types.EmbedContentResponse.model_validate_json(body)
    found, usage, failure = fed(reader(GEMINI_WIRE, len(given)), body)
    assert failure is None
    assert [packed(*one.values) for one in theirs.embeddings] == found
    assert theirs.usage_metadata.prompt_token_count == usage.input_tokens == tokens


@given(vectors)
@settings(max_examples=25)
def test_what_google_s_model_writes_we_read(given):
    theirs = types.EmbedContentResponse(embeddings=[types.ContentEmbedding(values=each) for each in given])
    body = theirs.model_dump_json(by_alias=True, exclude_none=True).encode()
    found, usage, failure = fed(reader(GEMINI_WIRE, len(given)), body)
    assert (found, usage, failure) == ([packed(*each) for each in given], None, None)


@pytest.mark.parametrize("form", ["base64", "float", None])
def test_openai_s_client_asks_as_we_do_and_reads_what_we_write(form):
    def script(received):
        base64 = received.json.get("encoding_format") == "base64"
        yield reply(
            ours.write_reply(VECTORS, model="text-embedding-3-small", usage=Usage(9), base64=base64),
            content_type="application/json",
        )

    with Wire(script) as wire, openai.OpenAI(base_url=wire.url, api_key="k", max_retries=0) as client:
        options = {} if form is None else {"encoding_format": form}
        theirs = client.embeddings.create(model="text-embedding-3-small", input=TEXTS, dimensions=3, **options)
    found = [one.embedding for one in theirs.data]
    assert [b64decode(one) if form == "base64" else packed(*one) for one in found] == VECTORS
    (received,) = wire.requests
    request = asks(*TEXTS, dimensions=3)
    codec = CHAT.embeddings(request)
    assert received.line.split()[1].endswith(codec.path(request))
    server = SERVER.with_embeddings(EmbeddingQuirks(base64=form != "float")).for_embeddings()
    own = json.loads(codec.write_request(request, server))
    assert {"encoding_format": "float", **own} == received.json
    assert ours.read_request(received.json)["messages"] == request.messages


def test_google_s_client_asks_as_we_do_and_reads_what_we_write():
    def script(received):
        yield reply(gemini.write_reply(VECTORS, usage=Usage(9)), content_type="application/json")

    with Wire(script) as wire:
        http = types.HttpOptions(base_url=wire.url.removesuffix("/v1"), api_version="v1")
        client = genai.Client(api_key="k", http_options=http)
        config = types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", title="Notes", output_dimensionality=3)
        theirs = client.models.embed_content(model="gemini-embedding-001", contents=TEXTS, config=config)
        client.close()
    assert [packed(*one.values) for one in theirs.embeddings] == VECTORS
    assert theirs.usage_metadata.prompt_token_count == 9
    (received,) = wire.requests
    request = asks(*TEXTS, model="gemini-embedding-001", dimensions=3, task="document", extra={"title": "Notes"})
    codec = GEMINI_WIRE.embeddings(request)
    assert received.line.split()[1] == SERVER.url(codec.path(request), request.model).removeprefix("http://localhost:1")
    own = json.loads(codec.write_request(request, SERVER.for_embeddings()))
    sent = received.json
    for one in sent["requests"]:
        one["content"].pop("role", None)  # which says nothing here
    assert own == sent
    read = gemini.read_request(received.json)
    assert (read["messages"], read["dimensions"]) == (request.messages, 3)
