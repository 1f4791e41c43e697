"""The stream tape: what is recorded over every way, and played to every client, is the same bytes in pieces alike."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os

import aiohttp
import anyio
import httpx
import httpx2
import pytest

import four_wires
from chat_wire import HELLO, ask, completion
from inferkit import (
    AsyncClient,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    OpenAIChat,
    RateLimited,
    StreamInterrupted,
    Timeouts,
    Unavailable,
)
from inferkit.providers.by_name import KEYS
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.testing import CutOff, Piece, Recorded, Refused, ResetAt, Stalled, Surplus, Tape
from inferkit.testing.tape.fixture import taped
from ways import close, text
from wire import CLOSE, RESET, UNTIL_CLOSED, Wire, reply, sse

KEY = "sk-secret-0123456789abcdef"


def adapter_over(transport, url="https://api.test/v1", **settings):
    return OpenAIChat(base_url=url, api_key=KEY, transport=transport, **settings)


def recorded(script, body=None, **settings):
    """Record one streamed call without a loop."""
    tape = Tape()
    with Wire(script) as wire:
        adapter = adapter_over(tape.recorder(**settings), wire.url)

        async def call():
            runtime = DirectRuntime()
            try:
                return await text(adapter, runtime, **(body or {}))
            finally:
                await close(adapter, runtime)

        with contextlib.suppress(Unavailable, RateLimited):
            drive(call())
    return tape


STREAM = b"".join(HELLO)


@pytest.fixture
def tape():
    return recorded(lambda _: sse(HELLO))


def test_a_stream_is_recorded_over_every_way_as_it_came(way, tmp_path):
    path = tmp_path / "deep" / "hello.jsonl"
    tape = Tape.recording(path)
    with way.wire(lambda _: sse(HELLO)) as wire:
        adapter = adapter_over(tape.recorder(way.http()), wire.url)

        async def call(runtime):
            told = await text(adapter, runtime)
            await close(adapter, runtime)
            return told

        assert way(call) == "Hello"
    (exchange,) = tape.exchanges
    assert exchange.reply.startswith(STREAM[: len(STREAM) - 20])
    assert (exchange.status, exchange.end) == (200, "complete")
    assert json.loads(exchange.body)["stream"] is True
    assert dict(exchange.headers) == {"content-type": "text/event-stream"}
    assert exchange.after > 0
    assert Tape.read(path).exchanges == [exchange]


def test_a_recording_is_played_over_every_way_with_the_same_pieces(way, tape):
    again = Tape()
    with tape.player() as player:
        adapter = adapter_over(again.recorder(player.transport(type(way)(way.library, way.place, False).http())))

        async def call(runtime):
            told = await text(adapter, runtime)
            await close(adapter, runtime)
            return told

        assert way(call) == "Hello"
    assert again.exchanges[0].reply == tape.exchanges[0].reply
    assert (player.unexpected, player.unplayed) == ([], [])


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("over", ["a server", "a transport"])
def test_any_client_of_httpx_is_played_to(tape, library, over):
    request = {"content": tape.exchanges[0].body}

    async def asynchronous(url, **settings):
        async with library.AsyncClient(**settings) as client, client.stream("POST", url, **request) as response:
            return b"".join([piece async for piece in response.aiter_raw()])

    def blocking(url, **settings):
        with library.Client(**settings) as client, client.stream("POST", url, **request) as response:
            return b"".join(response.iter_raw())

    for _ in range(2):
        if over == "a server":
            with tape.player() as player:
                assert blocking(f"{player.url}/v1/chat/completions") == tape.exchanges[0].reply
            for backend in ("asyncio", "trio"):
                with tape.player() as player:
                    url = f"{player.url}/v1/chat/completions"
                    assert anyio.run(asynchronous, url, backend=backend) == tape.exchanges[0].reply
        else:
            url = "https://api.test/v1/chat/completions"
            assert blocking(url, transport=tape.httpx_transport(library)) == tape.exchanges[0].reply

            async def played():
                return await asynchronous(url, transport=tape.httpx_transport(library))  # noqa: B023

            for backend in ("asyncio", "trio"):
                assert anyio.run(played, backend=backend) == tape.exchanges[0].reply


def test_a_client_of_aiohttp_is_played_to(tape):
    async def call(url):
        async with aiohttp.ClientSession() as session, session.post(url, data=tape.exchanges[0].body) as response:
            return [piece async for piece, _ in response.content.iter_chunks()]

    with tape.player() as player:
        pieces = asyncio.run(call(f"{player.url}/v1/chat/completions"))
    assert b"".join(pieces) == tape.exchanges[0].reply
    assert [piece for piece in pieces if piece] == [piece.data for piece in tape.exchanges[0].pieces]


def test_bytes_that_are_no_text_are_kept(tmp_path):
    path = tmp_path / "binary.jsonl"
    tape = Tape.recording(path)
    exchange = Recorded("POST", "https://api.test/v1", {}, b"\xff", 200, (), 0.5, (Piece(b"\x80\x81", 0.25),))
    tape.add(exchange)
    assert base64.b64encode(b"\x80\x81").decode() in path.read_text()
    assert Tape.read(path).exchanges == [exchange]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ['{"tape": 2}'],
        ["no json"],
        ['{"tape": 1}', '{"request": "POST"}'],
        [
            '{"tape": 1}',
            '{"request": "POST", "url": "u", "headers": {}, "body": ""}',
            '{"status": 200, "headers": [], "after": 0}',
        ],
        ['{"tape": 1}', "[]"],
    ],
    ids=["empty", "another version", "no json", "half a request", "no end", "no object"],
)
def test_what_is_no_tape_is_refused(tmp_path, lines):
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match="is no tape that can be played"):
        Tape.read(path)


def test_no_secret_gets_onto_a_tape(tmp_path):
    half = len(KEY) // 2
    leaking = [
        f": {KEY[:half]}".encode(),
        f"{KEY[half:]}\n\n: account-4711 gsk_0123456789abcdefgh\n\n".encode(),
        *HELLO,
    ]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nset-cookie: a=b\r\nopenai-organization: org-mine\r\n"
        b"x-ratelimit-remaining-tokens: 7\r\nx-echo: " + KEY.encode() + b"\r\nconnection: close\r\n\r\n"
    )
    path = tmp_path / "tape.jsonl"
    tape = Tape.recording(path)
    with Wire(lambda _: [head, *leaking, CLOSE]) as wire:
        adapter = adapter_over(tape.recorder(secrets=["account-4711"]), f"{wire.url}?key=query-secret&api-version=2")

        async def call():
            runtime = DirectRuntime()
            told = await text(adapter, runtime, extra={"note": f"my key is {KEY}"})
            await close(adapter, runtime)
            return told

        assert drive(call()) == "Hello"
    written = path.read_text()
    for secret in (KEY, KEY[half:], "query-secret", "account-4711", "org-mine", "a=b", "gsk_0123456789abcdefgh"):
        assert secret not in written
    (exchange,) = Tape.read(path).exchanges
    assert dict(exchange.headers)["x-ratelimit-remaining-tokens"] == "7"
    assert exchange.url.endswith("?api-version=2")
    assert len(exchange.reply) == len(b"".join(leaking))


@pytest.mark.parametrize(
    ("script", "end", "status"),
    [
        (lambda _: [RESET], "broke", None),
        (lambda _: sse([HELLO[0], CLOSE]), "broke", 200),
        (lambda _: [reply({"error": {"message": "slow down"}}, 429, retry_after="0")], "complete", 429),
    ],
    ids=["no answer", "cut", "refused"],
)
def test_what_goes_wrong_is_recorded_and_goes_wrong_again(script, end, status):
    tape = recorded(script)
    (exchange,) = tape.exchanges
    assert (exchange.end, exchange.status) == (end, status)
    again = Tape()
    with tape.player() as player:
        adapter = adapter_over(again.recorder(player.transport()))

        async def call():
            runtime = DirectRuntime()
            with pytest.raises((Unavailable, RateLimited)):
                await text(adapter, runtime)
            await close(adapter, runtime)

        drive(call())
    assert (again.exchanges[0].end, again.exchanges[0].status, again.exchanges[0].reply) == (
        end,
        status,
        exchange.reply,
    )


def test_a_stream_that_was_left_stays_open_when_it_is_played():
    tape = Tape()
    runtime = DirectRuntime()
    with Wire(lambda _: sse([HELLO[0], UNTIL_CLOSED])) as wire:
        adapter = adapter_over(tape.recorder(), wire.url)
        response = drive(adapter(ask(runtime)))
        drive(response.__anext__())
        drive(response.aclose())
        drive(close(adapter, runtime))
    assert [exchange.end for exchange in tape.exchanges] == ["left"]
    with tape.player() as player:
        adapter = adapter_over(player.transport())
        with pytest.raises(DeadlineExceeded):
            drive(text(adapter, runtime, deadline=runtime.now() + 0.3))
        drive(close(adapter, runtime))


def play(tape, *, max_retries=0, **settings):
    """Ask through a client for what is on the tape; give the text, or the error."""
    with tape.player(**settings) as player:
        adapter = adapter_over(player.transport(), name="p", timeouts=Timeouts(read=5))
        with Client(
            models={"m": "p:gpt-5-mini"}, providers={"p": adapter}, cache=False, ledger=False, max_retries=max_retries
        ) as llm:
            try:
                with llm.stream("m", "Where is my order?", timeout=20) as stream:
                    told = "".join(chunk.text for chunk in stream)
            except Exception as error:
                told = error
        adapter.close()
        return told, len(player.requests)


@pytest.fixture
def of_a_client():
    """A tape of a call that came through a client."""
    tape = Tape()
    with Wire(lambda _: sse(HELLO)) as wire:
        adapter = adapter_over(tape.recorder(), wire.url, name="p")
        settings = {"models": {"m": "p:gpt-5-mini"}, "providers": {"p": adapter}}
        with (
            Client(**settings, cache=False, ledger=False) as llm,
            llm.stream("m", "Where is my order?") as stream,
        ):
            assert "".join(chunk.text for chunk in stream) == "Hello"
        adapter.close()
    return tape


FIRST = len(HELLO[0])


@pytest.mark.parametrize(
    ("fault", "kind", "partial"),
    [
        (CutOff(FIRST), StreamInterrupted, "Hel"),
        (CutOff(FIRST - 3), Unavailable, None),
        (CutOff(0), Unavailable, None),
        (ResetAt(FIRST), StreamInterrupted, "Hel"),
        (ResetAt(-1), Unavailable, None),
        (Refused(), RateLimited, None),
        (Refused(503, {}, b"{}"), Unavailable, None),
    ],
    ids=["cut", "cut in an event", "cut at once", "reset", "reset before the head", "429", "503"],
)
def test_faults_are_what_a_network_does(of_a_client, fault, kind, partial):
    error, _ = play(of_a_client, faults=[fault])
    assert type(error) is kind
    if partial is not None:
        assert error.partial == partial


@pytest.mark.parametrize("fault", [CutOff(0), ResetAt(-1), Refused(), Refused(500, {}, b"")])
def test_what_went_wrong_stays_on_the_tape_for_the_next_try(of_a_client, fault):
    assert play(of_a_client, faults=[fault], max_retries=1) == ("Hello", 2)


def test_a_stall_goes_on_where_it_was_left_or_never(of_a_client):
    assert play(of_a_client, faults=[Stalled(FIRST, seconds=0.05)]) == ("Hello", 1)
    with of_a_client.player(faults=[Stalled(FIRST)]) as player:
        adapter = adapter_over(player.transport(), timeouts=Timeouts(between=0.2))
        body = json.loads(of_a_client.exchanges[0].body)
        assert body["stream"] is True
        with httpx.Client(timeout=0.3) as client, pytest.raises(httpx.ReadTimeout):
            client.post(f"{player.url}/v1/chat/completions", content=of_a_client.exchanges[0].body)
        adapter.close()


@pytest.mark.parametrize("late", [False, True])
def test_surplus_bytes_are_nobodys_reply(late):
    tape = recorded(lambda _: [reply(completion("mine"))], {"stream": False})
    forged = reply(completion("somebody else's"))
    tape.exchanges.append(tape.exchanges[0])
    with tape.player(faults=[Surplus(forged, late=late)]) as player:
        adapter = adapter_over(player.transport())
        runtime = DirectRuntime()
        assert drive(text(adapter, runtime, stream=False)) == "mine"
        assert player.surplus_sent.wait(30 if late else 0) is late
        assert drive(text(adapter, runtime, stream=False)) == "mine"
        drive(close(adapter, runtime))


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (CutOff(5), "RemoteProtocolError"),
        (ResetAt(5), "ReadError"),
        (ResetAt(-1), "ReadError"),
        (Stalled(5), "ReadTimeout"),
        (Stalled(5, seconds=60), "ReadTimeout"),
    ],
    ids=["cut", "reset", "reset before the head", "stall", "long stall"],
)
def test_a_transport_of_httpx_fails_as_httpx_does(tape, library, fault, kind):
    transport = tape.httpx_transport(library, faults=[fault])
    with library.Client(transport=transport, timeout=1) as client:
        with pytest.raises(getattr(library, kind)):
            client.post("https://api.test/v1/chat/completions", content=tape.exchanges[0].body)
        assert client.post("https://api.test/v1/chat/completions", content=tape.exchanges[0].body).status_code == 200


def test_a_transport_of_httpx_has_no_connection_for_surplus_bytes(tape):
    with pytest.raises(ConfigurationError, match=r"tape\.player"):
        tape.httpx_transport(faults=[Surplus(b"x")])


def test_a_transport_of_httpx_plays_at_the_recorded_speed(tape):
    slow = Recorded("POST", "https://api.test/v1/x", {}, b"{}", 200, (), 0.02, (Piece(b"a", 0.02), Piece(b"b", 0.02)))

    async def call():
        async with httpx.AsyncClient(transport=Tape([slow]).httpx_transport(speed=2)) as client:
            return (await client.post("https://api.test/v1/x", content=b"{}")).content

    assert anyio.run(call) == b"ab"
    with httpx.Client(transport=Tape([slow]).httpx_transport(speed=2)) as client:
        assert client.post("https://api.test/v1/x", content=b"{}").content == b"ab"


def test_a_tape_is_played_at_the_speed_of_its_recording():
    gap = 0.25
    slow = Recorded("POST", "https://api.test/v1/x", {}, b"{}", 200, (), gap, (Piece(b"a", gap), Piece(b"b", gap)))
    runtime = DirectRuntime()
    for speed in (1.0, None):
        with Tape([slow]).player(speed=speed) as player, httpx.Client() as client:
            begun = runtime.now()
            assert client.post(f"{player.url}/v1/x", content=b"{}").content == b"ab"
            if speed is not None:
                assert runtime.now() - begun >= 3 * gap  # no sooner, however slow this machine is


def test_what_is_not_on_the_tape_is_said_loudly(tape):
    with tape.player() as player, httpx.Client() as client:
        refused = client.post(f"{player.url}/v1/chat/completions", json={"another": "question"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_on_tape")
        assert player.unexpected == ["POST /v1/chat/completions"]
        assert len(player.unplayed) == 1
        assert "question" not in repr(player.requests)
    with tape.player(in_order=True) as player, httpx.Client() as client:
        assert client.post(f"{player.url}/any/where", json={"another": "question"}).content == tape.exchanges[0].reply


def test_a_request_in_chunks_is_read(tape):
    body = tape.exchanges[0].body
    with tape.player() as player, httpx.Client() as client:
        played = client.post(f"{player.url}/v1/chat/completions", content=iter([body[:7], body[7:]]))
        assert played.content == tape.exchanges[0].reply
        assert player.requests[0].body == body


def test_a_player_that_does_not_run_says_so(tape):
    with pytest.raises(ConfigurationError, match="with tape.player"):
        tape.player().url  # noqa: B018
    with pytest.raises(ConfigurationError, match="speed="):
        tape.player(speed=0)


def test_an_async_client_plays_a_tape(of_a_client):
    async def call(transport):
        llm = AsyncClient(
            models={"m": "p:gpt-5-mini"},
            providers={"p": adapter_over(transport, name="p")},
            cache=False,
            ledger=False,
        )
        async with llm, llm.stream("m", "Where is my order?") as stream:
            return "".join([chunk.text async for chunk in stream])

    with of_a_client.player() as player:
        assert anyio.run(call, player.transport("aiohttp")) == "Hello"


@pytest.mark.parametrize(
    ("wire", "provider"),
    [("chat", "mistral"), ("responses", "openai-responses"), ("anthropic", "anthropic"), ("gemini", "gemini")],
)
def test_whoever_plays_a_provider_that_is_known_by_name_needs_no_key(wire, provider, tmp_path, monkeypatch):
    for name in KEYS | {"GOOGLE_API_KEY"}:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "tape.jsonl"
    tape = Tape.recording(path)
    settings = {"models": {"m": f"{provider}:x"}, "cache": False, "ledger": False}
    with Wire(lambda request: four_wires.answer(wire, request, "On its way.")) as server:
        base_url = server.url.replace("/v1", "/v1beta") if wire == "gemini" else server.url
        adapter = four_wires.adapter(wire, base_url, transport=tape.recorder())
        with Client(providers={provider: adapter}, **settings) as llm:
            llm.complete("m", "Hi")
        adapter.close()
    with taped(path, record=False) as test, Client(transport=test.transport, **settings) as llm:
        assert llm.complete("m", "Hi").text == "On its way."
    assert not KEYS & os.environ.keys()
