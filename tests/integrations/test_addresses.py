"""What the address of a request tells."""

from __future__ import annotations

import pytest

from inferkit.integrations.addresses import Address, is_free, read_address

OPENAI = "https://api.openai.com/v1"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta"
AZURE = "https://x.openai.azure.com/openai/deployments/mine"
VERTEX = "https://eu-aiplatform.googleapis.com/v1beta1/projects/p/locations/eu/publishers/google"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"{OPENAI}/chat/completions", Address("chat", "chat", OPENAI)),
        (f"{OPENAI}/embeddings", Address("chat", "embed", OPENAI)),
        (f"{OPENAI}/responses", Address("responses", "chat", OPENAI)),
        (f"{AZURE}/chat/completions?api-version=1", Address("chat", "chat", f"{AZURE}?api-version=1")),
        ("https://a.com/v1/messages?beta=true", Address("anthropic", "chat", "https://a.com/v1?beta=true")),
        ("http://h:80/x/v1/messages", Address("anthropic", "chat", "http://h:80/x/v1")),
        (
            f"{GOOGLE}/models/gemini-2.5-flash:generateContent",
            Address("gemini", "chat", GOOGLE, {"model": "gemini-2.5-flash", "stream": False}),
        ),
        (
            f"{VERTEX}/models/g:streamGenerateContent?alt=sse&key=k",
            Address("gemini", "chat", f"{VERTEX}?key=k", {"model": "g", "stream": True}),
        ),
        (
            f"{GOOGLE}/tunedModels/mine:generateContent",
            Address("gemini", "chat", GOOGLE, {"model": "tunedModels/mine", "stream": False}),
        ),
        (f"{GOOGLE}/models/e:batchEmbedContents", Address("gemini", "embed", GOOGLE, {"model": "e"})),
    ],
)
def test_a_model_call_is_known_by_its_address(url, address):
    assert read_address("POST", url) == address
    assert read_address("GET", url) is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/resp_1/cancel",
        "/v1/threads/t/messages",
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/images/generations",
        "/v1/completions",
        "/v1beta/models/g:streamGenerateContent",
        "/v1beta/models/g:countTokens",
        "/v1/chat/completions/x",
    ],
)
def test_what_only_looks_like_one_is_none(path):
    assert read_address("POST", f"https://h{path}") is None


@pytest.mark.parametrize(
    ("method", "path", "free"),
    [
        ("GET", "/v1/videos/v/content", True),
        ("DELETE", "/v1/files/f", True),
        ("POST", "/v1/files", True),
        ("POST", "/v1/messages/count_tokens", True),
        ("POST", "/v1beta/models/g:countTokens", True),
        ("POST", "/upload/v1beta/files", True),
        ("POST", "/v1/responses/r/cancel", True),
        ("POST", "/v1/uploads/u/complete", True),
        ("POST", "/v1/complete", False),
        ("POST", "/v1beta/cachedContents", False),
        ("POST", "/v1/images/generations", False),
        ("POST", "/v1/audio/speech", False),
        ("POST", "/v1/completions", False),
        ("POST", "/v1/messages/batches", False),
        ("POST", "/v1beta/models/imagen:predict", False),
    ],
)
def test_what_costs_nothing_may_always_pass(method, path, free):
    assert is_free(method, path) is free
