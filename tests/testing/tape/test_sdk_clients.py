"""SDKs of others record and play through an HTTP client of their library, on their plain and their async side."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing

import aiohttp
import httpx
import pytest

import four_wires
from inferkit import Client
from inferkit.integrations import wrap
from inferkit.testing import Refused, Tape
from inferkit.testing.tape.fixture import taped
from integrations.faces import FACE, FACES, joined
from wire import Wire

each_face = pytest.mark.parametrize("face", FACES, ids=str)
each_form = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def over(face, url, tape, library=None, **more):
    """Make the SDK's client over a tape."""
    clients = {"httpx_client": tape.http_client(library), "httpx_async_client": tape.async_http_client(library)}
    if face.name != "gemini":
        clients = {"http_client": clients["httpx_async_client" if more.get("is_async") else "httpx_client"]}
    return face.bare(url, **clients, **more)


def saying(face):
    return Wire(lambda received: four_wires.answer(face.name, received, "It is on its way, and comes tomorrow."))


@each_form
@each_face
def test_what_was_recorded_is_what_is_played(face, stream, tmp_path):
    path = tmp_path / "tape.jsonl"
    with saying(face) as wire:
        with taped(path, record=True) as tape, closing(over(face, wire.url, tape)) as sdk:
            recorded = face.ask(sdk, stream=stream)
        assert len(wire.requests) == 1
    assert "sk-test" not in path.read_text()
    (exchange,) = Tape.read(path).exchanges
    assert exchange.method == "POST"
    assert exchange.end == "complete"
    with taped(path, record=False) as tape, closing(over(face, wire.url, tape)) as sdk:
        assert face.ask(sdk, stream=stream) == recorded


@each_face
def test_so_it_is_on_an_event_loop(face, tmp_path):
    path = tmp_path / "tape.jsonl"

    async def ask(url, *, record):
        with taped(path, record=record) as tape:
            return await face.ask_async(over(face, url, tape, is_async=True), stream=True)

    with saying(face) as wire:
        recorded = asyncio.run(ask(wire.url, record=True))
    assert asyncio.run(ask(wire.url, record=False)) == recorded


def test_the_same_tape_plays_to_httpx_and_to_inferkit_under_the_sdk(tmp_path):
    face, path = FACE["chat"], tmp_path / "tape.jsonl"
    with saying(face) as wire, taped(path, record=True) as tape, closing(over(face, wire.url, tape, "httpx")) as sdk:
        recorded = face.ask(sdk)
    with taped(path, record=False, in_order=True) as tape, closing(over(face, wire.url, tape, "httpx")) as sdk:
        with Client(cache=False, ledger=False) as llm, closing(wrap(sdk, llm)) as wrapped:
            assert face.ask(wrapped)["choices"][0]["message"] == recorded["choices"][0]["message"]
        assert len(tape.player.requests) == 1


def test_faults_reach_the_sdk_and_what_is_not_on_the_tape_fails_the_test(tmp_path):
    face, path = FACE["chat"], tmp_path / "tape.jsonl"
    with saying(face) as wire, taped(path, record=True) as tape, closing(over(face, wire.url, tape)) as sdk:
        face.ask(sdk)
    with taped(path, record=False, faults=[Refused(401)]) as tape, closing(over(face, wire.url, tape)) as sdk:
        with pytest.raises(face.status_error) as refusal:
            face.ask(sdk)
        assert str(refusal.value.request.url) == f"{wire.url}/chat/completions"  # not where the player is
        face.ask(sdk)
    with (
        pytest.raises(AssertionError, match="not on the tape at .*: POST /v1/chat/completions"),
        taped(path, record=False) as tape,
        closing(over(face, wire.url, tape)) as sdk,
        pytest.raises(face.status_error),
    ):
        face.ask(sdk, model="another")


def test_a_connection_that_breaks_is_recorded_as_one(tmp_path):
    face, path = FACE["chat"], tmp_path / "tape.jsonl"
    with (
        Wire(lambda received: [*list(four_wires.answer("chat", received, "It is on its way."))[:3], None]) as wire,
        taped(path, record=True) as tape,
        closing(over(face, wire.url, tape)) as sdk,
        pytest.raises(Exception, match="(?i)closed|incomplete|connection"),
    ):
        face.ask(sdk, stream=True)
    (exchange,) = Tape.read(path).exchanges
    assert exchange.end == "broke"
    assert exchange.pieces


def test_a_stream_that_is_left_is_recorded_as_far_as_it_came(tmp_path):
    face, path = FACE["anthropic"], tmp_path / "tape.jsonl"
    with saying(face) as wire, taped(path, record=True) as tape, closing(over(face, wire.url, tape)) as sdk:
        stream = face.call(sdk, "Where is my order?", "m-1", True, {})
        next(iter(stream))
        stream.close()
    (exchange,) = Tape.read(path).exchanges
    assert exchange.end == "left"


def test_a_stream_recorded_under_one_sdk_plays_to_four_clients(tmp_path):
    face, path = FACE["chat"], tmp_path / "tape.jsonl"
    text = "It is on its way, and comes tomorrow."
    with saying(face) as wire, taped(path, record=True) as tape, closing(over(face, wire.url, tape)) as sdk:
        assert joined(face, face.ask(sdk, stream=True))["text"] == text
    asked = json.loads(Tape.read(path).exchanges[0].body)

    def texts(body):
        events = [line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: {")]
        choices = [choice for each in events for choice in json.loads(each)["choices"]]
        return "".join([choice["delta"].get("content") or "" for choice in choices])

    async def by_aiohttp(url):
        async with aiohttp.ClientSession() as session, session.post(url, json=asked) as answer:
            return texts(await answer.read())

    def playing():
        return Tape.read(path).player(in_order=True)

    with playing() as player, closing(face.bare(f"{player.url}/v1")) as sdk:
        assert joined(face, face.ask(sdk, stream=True))["text"] == text
    with playing() as player, httpx.Client() as client:
        assert texts(client.post(f"{player.url}/v1/chat/completions", json=asked).content) == text
    with playing() as player:
        assert asyncio.run(by_aiohttp(f"{player.url}/v1/chat/completions")) == text
    with playing() as player:
        adapter = four_wires.adapter("chat", f"{player.url}/v1")
        with Client(cache=False, ledger=False, providers={"p": adapter}) as llm, llm.stream("p:m-1", "Hi") as stream:
            assert "".join(chunk.text for chunk in stream) == text
