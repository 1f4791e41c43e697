"""A whole reply of a server that speaks the SDK's own wire goes on byte by byte, unless a layer changed a word."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import httpx
import httpx2
import pytest

import four_wires
from chat_wire import completion
from inferkit import Client, Insert, OpaquePart
from inferkit.integrations import http_client
from wire import Wire, reply

NAMES = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "anthropic": "/v1/messages",
    "gemini": "/models/m-1:generateContent",
}
ASKED = {
    "chat": {"model": "m-1", "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"model": "m-1", "input": "Hi"},
    "anthropic": {"model": "m-1", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}


def spaced(body):
    """Bytes that nobody here would write, so that they are the server's own."""
    return json.dumps(body, indent=3).encode()


def post(wire, name="chat", *, library="httpx2", layer=None, **settings):
    layers = [] if layer is None else [Insert(layer, before="retry")]
    with (
        Client(cache=False, ledger=False, layers=layers, **settings) as llm,
        http_client(llm, library=library) as client,
    ):
        return client.post(f"{wire.url}{NAMES[name]}", json=ASKED[name])


def server(body, **headers):
    return Wire(lambda _: [reply(body, content_type="application/json", **headers)])


def said(name, *calls):
    asked = SimpleNamespace(body=b"", line="")
    whole = next(four_wires.answer(name, asked, "Hello.", *calls))
    return spaced(json.loads(whole.partition(b"\r\n\r\n")[2]))


def words(change):
    """Make a layer that has each chunk of a reply changed."""

    async def layer(request, call_next):
        return (await call_next(request)).map(change)

    return layer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("calls", [[], [("find", {"id": 1})]])
def test_a_whole_reply_is_the_servers_own_bytes(name, calls):
    body = said(name, *calls)
    with server(body) as wire:
        answer = post(wire, name)
    assert answer.content == body
    assert answer.headers["content-length"] == str(len(body))


def test_a_layer_that_looks_on_leaves_them_alone():
    body = spaced(completion("Hello."))
    seen = []
    with server(body) as wire:
        assert post(wire, layer=words(lambda chunk: seen.append(chunk.text) or chunk)).content == body
        assert "".join(seen) == "Hello."
        assert post(wire, layer=words(lambda chunk: chunk._replace(text=chunk.text + ""))).content == body


def test_what_a_layer_has_changed_is_what_the_sdk_is_given():
    with server(spaced(completion("Call me on 555-0199."))) as wire:
        answer = post(wire, layer=words(lambda chunk: chunk._replace(text=chunk.text.replace("555-0199", "..."))))
    assert answer.json()["choices"][0]["message"]["content"] == "Call me on ...."
    assert b"555-0199" not in answer.content


def test_what_a_layer_has_changed_in_place_is_not_handed_on_either():
    def without_secrets(chunk):
        if chunk.extra:
            chunk.extra["system_fingerprint"] = "hidden"
        return chunk

    body = spaced(completion("Hello.") | {"system_fingerprint": "fp_secret"})
    with server(body) as wire:
        assert post(wire).content == body
        assert b"fp_secret" not in post(wire, layer=words(without_secrets)).content


def test_what_is_only_the_providers_own_is_looked_at_too():
    """Of a part of the reply, which nothing here understands but the wire."""

    def without_secrets(chunk):
        for part in chunk.parts:
            if isinstance(part, OpaquePart):
                part.value["data"] = "hidden"
        return chunk

    thought = {"type": "redacted_thinking", "data": "sealed"}
    body = json.loads(said("anthropic"))
    body["content"].insert(0, thought)
    with server(spaced(body)) as wire:
        assert post(wire, "anthropic").json()["content"][0] == thought
        assert b"sealed" not in post(wire, "anthropic", layer=words(without_secrets)).content


def test_what_comes_from_the_cache_is_written_anew_or_the_same(tmp_path):
    body = spaced(completion("Hello."))
    with server(body) as wire, Client(home=tmp_path, ledger=False) as llm, http_client(llm) as client:
        answers = [client.post(f"{wire.url}{NAMES['chat']}", json=ASKED["chat"]) for _ in range(2)]
    assert [answer.headers["x-inferkit-cache"] for answer in answers] == ["miss", "hit"]
    assert answers[0].content == body
    assert answers[1].json()["choices"] == answers[0].json()["choices"]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_it_is_read_as_a_servers_own_answer_is(library):
    """With how long it took, and piece by piece where somebody wants it so."""
    body = spaced(completion("Hello."))
    with (
        server(body) as wire,
        Client(cache=False, ledger=False) as llm,
        http_client(llm, library=library.__name__) as client,
    ):
        address = f"{wire.url}{NAMES['chat']}"
        answer = client.post(address, json=ASKED["chat"])
        assert answer.elapsed > timedelta(0)
        assert answer.num_bytes_downloaded == len(body)
        with client.stream("POST", address, json=ASKED["chat"]) as streamed:
            assert b"".join(streamed.iter_raw()) == body


def test_headers_that_are_no_ascii_reach_the_sdk():
    with server(spaced(completion("Hello.")), x_note="café") as wire:
        assert post(wire).headers["x-note"] == "café"
