"""Embeddings over HTTP: what goes where, what a server's limits and refusals do, and what comes back."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from embedding_wire import answer, gemini_answer
from inferkit import (
    Anthropic,
    AuthenticationFailed,
    Budget,
    Cache,
    Client,
    ConfigurationError,
    Gemini,
    InvalidRequest,
    OpenAIChat,
    OpenAIResponses,
    Price,
    RateLimited,
    Unavailable,
)
from inferkit.caching.memory import MemoryTier
from inferkit.core.embeddings import BatchLimits
from inferkit.providers.adapter import Adapter
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.httpx_transport import HttpxTransport
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.wire import CHAT
from wire import CLOSE, Wire, reply

KEY = "sk-very-secret"


def vectors_for(received):
    """Answer with a vector for each text, as it was asked for: its length, and what it begins with."""
    sent = received.json
    if "requests" in sent:
        texts = [one["content"]["parts"][0]["text"] for one in sent["requests"]]
        return gemini_answer(*[[len(text), ord(text[0])] for text in texts], tokens=len(texts))
    texts = sent["input"]
    base64 = sent.get("encoding_format") == "base64"
    return answer(*[[len(text), ord(text[0])] for text in texts], tokens=len(texts), base64=base64)


def respond(received):
    yield reply(vectors_for(received))


@contextlib.contextmanager
def client(make, script=respond, *, model="m", **settings):
    with Wire(script) as wire:
        provider = make(wire.url)
        settings = {"cache": False, "ledger": False, **settings}
        with Client(models={"docs": f"house:{model}"}, providers={"house": provider}, **settings) as made:
            yield made, wire, provider
        provider.close()


def openai(url, **settings):
    return OpenAIChat(base_url=url, api_key=KEY, name="house", **settings)


def gemini(url, **settings):
    return Gemini(base_url=url, api_key=KEY, name="house", **settings)


def test_openai_s_form_goes_to_its_place_and_comes_back_exactly():
    with client(openai) as (llm, wire, _):
        found = llm.embed("docs", ["a", "bcd"], dimensions=2, extra={"user": "u"})
        (received,) = wire.requests
    assert received.line.startswith("POST /v1/embeddings ")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": "m", "input": ["a", "bcd"], "encoding_format": "base64", "dimensions": 2, "user": "u",
    }  # fmt: skip
    assert found.tolist() == [[1.0, 97.0], [3.0, 98.0]]
    assert (found.usage.input_tokens, found.usage.estimated) == (2, False)


def test_gemini_s_form_goes_to_its_place_with_its_key_in_its_own_header():
    with client(gemini, model="gemini-embedding-001") as (llm, wire, _):
        found = llm.embed("docs", ["a", "bcd"], task="document", dimensions=2, extra={"title": "Notes"})
        (received,) = wire.requests
    assert received.line.startswith("POST /v1/models/gemini-embedding-001:batchEmbedContents ")
    assert received.headers["x-goog-api-key"] == KEY
    assert KEY not in received.line
    assert received.json["requests"][1] == {
        "model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_DOCUMENT", "outputDimensionality": 2,
        "title": "Notes", "content": {"parts": [{"text": "bcd"}]},
    }  # fmt: skip
    assert found.tolist() == [[1.0, 97.0], [3.0, 98.0]]
    assert found.usage.input_tokens == 2


def test_base64_that_is_refused_is_not_asked_for_again():
    def script(received):
        if "encoding_format" in received.json:
            yield reply({"error": {"message": "base64 encoding is not currently supported"}}, 400)
        else:
            yield from respond(received)

    with client(openai, script) as (llm, wire, provider):
        first, second = llm.embed("docs", ["a"]), llm.embed("docs", ["b"])
        assert ["encoding_format" in received.json for received in wire.requests] == [True, False, False]
        assert not provider.endpoint.embeddings.base64
        assert provider.endpoint.path is None
    assert (first.tolist(), second.tolist()) == ([[1.0, 97.0]], [[1.0, 98.0]])
    assert len(first.attempts) == 1


def test_base64_that_is_not_known_of_is_done_without():
    def script(received):
        yield reply(answer(*[[0.5]] * len(received.json["input"])))

    with client(openai, script) as (llm, _, _):
        assert llm.embed("docs", ["a", "b"]).tolist() == [[0.5], [0.5]]


def test_a_server_that_does_not_know_dimensions_says_so_and_nothing_is_left_out():
    def script(received):
        yield reply({"error": {"message": "This model does not support dimensions", "code": 400}}, 400)

    with client(openai, script) as (llm, wire, _), pytest.raises(InvalidRequest):
        llm.embed("docs", ["a"], dimensions=5)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("make", [openai, gemini])
def test_what_goes_wrong_is_what_it_would_be_for_a_reply(make):
    for status, said, kind in (
        (401, {"error": {"message": f"bad key {KEY}", "code": 401}}, AuthenticationFailed),
        (429, {"error": {"message": "slow down", "code": 429}}, RateLimited),
        (503, {"error": {"message": "overloaded", "code": 503}}, Unavailable),
    ):
        with client(make, lambda _, said=said, status=status: [reply(said, status)], max_retries=0) as (llm, _, _):
            with pytest.raises(kind) as caught:
                llm.embed("docs", ["a"])
            assert KEY not in f"{caught.value}{caught.value.detail}"


@pytest.mark.parametrize("make", [openai, gemini])
def test_a_reply_that_is_cut_off_is_asked_for_again(make):
    def script(received):
        if len(wire.requests) == 1:
            yield reply(vectors_for(received))[:-9]
            yield CLOSE
        else:
            yield from respond(received)

    with client(make, script) as (llm, wire, _):
        found = llm.embed("docs", ["a"])
    assert found.tolist() == [[1.0, 97.0]]
    assert [attempt.outcome for attempt in found.attempts] == ["error", "completed"]


def test_a_server_is_asked_for_no_more_texts_and_tokens_than_it_takes():
    def make(url):
        return openai(url, embeddings=EmbeddingQuirks(max_inputs=3, max_tokens=10))

    texts = ["aaaa", "bbbb", "cc", "d", "e", "f", "g" * 40, "h"]
    with client(make) as (llm, wire, _):
        found = llm.embed("docs", texts, concurrency=1)
        asked = [received.json["input"] for received in wire.requests]
    assert asked == [["aaaa", "bbbb", "cc"], ["d", "e", "f"], ["g" * 40], ["h"]]
    assert found.tolist() == [[len(text), ord(text[0])] for text in texts]


def test_a_reply_is_kept_to_some_megabytes():
    """4,096 numbers are taken for likely, and each for as much as its form takes."""
    provider = openai("http://localhost:1/v1", embeddings=EmbeddingQuirks(max_inputs=None))
    assert provider.batch_limits(None) == BatchLimits(382, None)
    assert provider.batch_limits(256) == BatchLimits(5724, None)
    assert provider.batch_limits(10**9) == BatchLimits(1, None)
    provider.endpoint = provider.endpoint.with_embeddings(EmbeddingQuirks(max_inputs=None, base64=False))
    assert provider.batch_limits(None) == BatchLimits(92, None)
    assert OpenAIChat.preset("openai", api_key="k").batch_limits(256) == BatchLimits(2048, 300_000)
    assert OpenAIChat.preset("groq", api_key="k").batch_limits(256) == BatchLimits()


def test_which_servers_give_embeddings_is_known(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name, preset in PRESETS.items():
        provider = OpenAIChat.preset(name, api_key="k")
        assert provider.operations == (() if preset.embeddings is None else ("embed",))
        assert preset.endpoint().embeddings == provider.endpoint.embeddings == preset.embeddings
    assert Gemini(api_key="k").operations == ("embed",)
    assert OpenAIChat(api_key="k").endpoint.embeddings == PRESETS["openai"].embeddings
    assert OpenAIChat(api_key="k", base_url="http://localhost:1").endpoint.embeddings == EmbeddingQuirks()
    assert OpenAIChat(api_key="k", base_url="http://localhost:1", embeddings=False).operations == ()
    for provider in (Anthropic(api_key="k"), OpenAIResponses(api_key="k")):
        assert provider.operations == ()


def test_an_adapter_that_is_asked_by_itself_says_that_it_gives_none():
    with (
        client(lambda url: openai(url, embeddings=False)) as (llm, wire, _),
        pytest.raises(ConfigurationError, match="house:m gives no embeddings"),
    ):
        llm.embed("docs", ["a"])
    assert wire.requests == []


def test_a_server_whose_address_names_the_deployment_is_told_where_its_embeddings_are():
    quirks = EmbeddingQuirks(path="/deployments/{model}/embeddings")

    def make(url):
        endpoint = Endpoint(
            "azure",
            f"{url}?api-version=2024-10-21",
            Credential(KEY, header="api-key", scheme=""),
            path="/deployments/{model}/chat/completions",
            embeddings=quirks,
        )
        return Adapter(CHAT, endpoint, HttpxTransport())

    with client(make, model="my embedder") as (llm, wire, provider):
        llm.embed("docs", ["a"])
        assert provider.endpoint.path == "/deployments/{model}/chat/completions"
        (received,) = wire.requests
    assert received.line.split()[1] == "/v1/deployments/my%20embedder/embeddings?api-version=2024-10-21"


def test_keys_keep_vectors_apart():
    with Wire(respond) as wire, contextlib.ExitStack() as stack:
        cache = Cache(MemoryTier())
        for key in ("sk-one", "sk-two", "sk-one"):
            provider = stack.enter_context(contextlib.closing(OpenAIChat(base_url=wire.url, api_key=key, name="house")))
            with Client(providers={"house": provider}, cache=cache, ledger=False) as llm:
                llm.embed("house:m", ["a"])
        assert [received.headers["authorization"] for received in wire.requests] == ["Bearer sk-one", "Bearer sk-two"]


def test_fields_that_move_no_cost_pass_a_budget_and_others_do_not():
    def make(url):
        return openai(url, free_fields=("depth",))

    budget = Budget(usd="1", per="month", name="all")
    prices = {"house:m": Price("1", 0)}
    with client(make, ledger=True, budget=budget, prices=prices) as (llm, wire, _):
        llm.embed("docs", ["a"], extra={"user": "u", "depth": 3, "prompt": "search: "})
        for name in ("service_tier", "tools", "encoding_format", "input"):
            with pytest.raises(ConfigurationError, match=name):
                llm.embed("docs", ["b"], extra={name: "x"})
    assert len(wire.requests) == 1


def test_extra_counts_as_input_with_each_text():
    held = []

    async def look(request, call_next):
        if request.record.hold is not None:
            held.append(request.record.hold.held.tokens)
        return await call_next(request)

    from inferkit import Insert

    budget = Budget(tokens=10_000, per="month", name="all")
    with client(gemini, ledger=True, budget=budget, layers=[Insert(look, after="budget")]) as (llm, _, _):
        llm.embed("docs", ["a", "b"])
        llm.embed("docs", ["a", "b"], extra={"title": "Notes"})
    assert held[1] - held[0] == 2 * len('{"title": "Notes"}')


def test_what_an_application_asks_in_two_forms_it_gets_in_two_forms():
    """A candidate of another API is the same model there."""
    with (
        Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as down,
        Wire(respond) as up,
    ):
        first = OpenAIChat(base_url=down.url, api_key="k", name="first")
        second = Gemini(base_url=up.url, api_key="k", name="second")
        models = {"docs": ["first:gemini-embedding-001", "second:gemini-embedding-001"]}
        with Client(providers={"first": first, "second": second}, models=models, cache=False, ledger=False) as llm:
            found = llm.embed("docs", ["a"])
        first.close()
        second.close()
    assert found.provider == "second"
    assert np.array_equal(found.vectors, [[1.0, 97.0]])


def test_quirks_are_plain_values():
    assert replace(EmbeddingQuirks(), base64=False) == EmbeddingQuirks(base64=False)
