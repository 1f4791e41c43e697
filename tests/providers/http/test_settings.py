"""What may be said of how requests travel, and which transport comes of it."""

from __future__ import annotations

import math
import socket
import ssl
from importlib.metadata import PackageNotFoundError

import httpx
import pytest

from chat_wire import ask, completion
from inferkit import Client, ConfigurationError, Http, OpenAIChat, Timeouts
from inferkit.core.errors import Unavailable
from inferkit.core.messages import Message
from inferkit.providers.http import aiohttp_versions
from inferkit.providers.http.aiohttp_transport import AiohttpTransport
from inferkit.providers.http.aiohttp_versions import FIRST, LAST, check_aiohttp
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.http.httpx_transport import HttpxTransport
from ways import close, over_plain_connections, text
from wire import Wire, reply
from worlds import run_in


@pytest.fixture(autouse=True)
def _nothing_asked_for(monkeypatch):
    monkeypatch.delenv("INFERKIT_TRANSPORT", raising=False)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: Http("requests"), 'got "requests"'),
        (lambda: Http(7), "got a int"),
        (lambda: Http(timeouts=5), "timeouts= is a Timeouts"),
        (lambda: Http(timeouts=Timeouts(read=0)), r"Timeouts\(read="),
        (lambda: Http(timeouts=Timeouts(between=math.nan)), r"Timeouts\(between="),
        (lambda: Http(max_connections=0), "max_connections"),
        (lambda: Http(max_reply_bytes=True), "max_reply_bytes"),
        (lambda: Http(max_idle_connections=-1), "max_idle_connections"),
        (lambda: Http(idle_seconds=0), "idle_seconds"),
        (lambda: Http(http2="yes"), "http2"),
        (lambda: Http(ca=b"pem"), "ca="),
        (lambda: Http("aiohttp", http2=True), "no HTTP/2"),
        (lambda: OpenAIChat(timeouts=5), "timeouts= is a Timeouts"),
        (lambda: OpenAIChat(http_client=httpx.Client(), transport="httpx"), "not both"),
        (lambda: Client(transport="requests"), "transport"),
        (lambda: make_transport(Http(ca="/nowhere.pem")).preload("https://x.example/v1"), "ca= names a file"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(made, named):
    with pytest.raises(ConfigurationError, match=named):
        made()


def test_a_file_without_certificates_is_refused(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ConfigurationError, match="holds no certificates"):
        make_transport(Http(ca=file)).preload("https://x.example/v1")


def test_a_folder_and_a_context_are_believed(tmp_path):
    make_transport(Http(ca=tmp_path)).preload("https://x.example/v1")
    make_transport(Http(ca=ssl.create_default_context())).preload("https://x.example/v1")


def test_httpx_is_taken_though_aiohttp_is_installed():
    assert type(make_transport()) is HttpxTransport
    assert type(make_transport("httpx")) is HttpxTransport
    assert type(make_transport("aiohttp")) is AiohttpTransport


def test_the_environment_may_ask_and_code_decides(monkeypatch):
    monkeypatch.setenv("INFERKIT_TRANSPORT", " AIOHTTP ")
    assert type(make_transport()) is AiohttpTransport
    assert type(make_transport("httpx")) is HttpxTransport
    with httpx.Client() as client:
        assert type(make_transport(http_client=client)) is HttpxTransport
    with pytest.raises(ConfigurationError, match="INFERKIT_TRANSPORT names, speaks no HTTP/2"):
        make_transport(Http(http2=True))
    monkeypatch.setenv("INFERKIT_TRANSPORT", "requests")
    with pytest.raises(ConfigurationError, match="INFERKIT_TRANSPORT is one of: httpx, aiohttp"):
        make_transport()


@pytest.mark.parametrize("found", ["3.8.6", "3.15.0", "4.0.0", "4.0.0a1", "3.14.5.dev0"])
def test_a_release_of_aiohttp_that_was_not_tested_is_refused_with_those_that_were(found):
    with pytest.raises(ConfigurationError, match=f"aiohttp {found} is installed.*{FIRST} to {LAST}"):
        check_aiohttp(found)


def test_without_aiohttp_the_extra_is_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(aiohttp_versions, "version", missing)
    monkeypatch.setattr(aiohttp_versions, "_installed", aiohttp_versions._installed.__wrapped__)
    with pytest.raises(ConfigurationError, match=r"not installed.*inferkit\[aiohttp\]"):
        OpenAIChat(transport="aiohttp")


@pytest.mark.parametrize(
    ("place", "instead"),
    [("trio", "use asyncio"), ("direct", "use AsyncClient on asyncio, or Client\\(portal=True\\)")],
)
def test_what_code_asked_for_is_refused_where_it_cannot_serve(place, instead):
    adapter = OpenAIChat(base_url="http://127.0.0.1:1/v1", transport="aiohttp")

    async def call(runtime):
        with pytest.raises(ConfigurationError, match=instead):
            await adapter(ask(runtime))

    run_in(place, call)


@pytest.mark.parametrize("place", ["trio", "direct", "asyncio"])
def test_what_the_environment_asks_for_is_left_for_httpx_where_it_cannot_serve(place, monkeypatch):
    monkeypatch.setenv("INFERKIT_TRANSPORT", "aiohttp")
    with Wire(lambda _: [reply(completion("Hello"))]) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        adapter.preload()

        async def call(runtime):
            told = await text(adapter, runtime, stream=False)
            await close(adapter, runtime)
            return told

        assert run_in(place, call) == "Hello"


def test_a_client_says_how_requests_to_known_providers_travel(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with (
        Client(models={"a": "openai:m"}, transport="aiohttp", cache=False, ledger=False) as llm,
        pytest.raises(ConfigurationError, match="needs asyncio"),
    ):
        llm.complete("a", "hi")


def test_time_for_a_whole_reply_is_ten_minutes_and_for_a_piece_of_a_stream_five():
    assert (Timeouts().read, Timeouts().between) == (600, 300)


@over_plain_connections
def test_a_body_that_the_server_does_not_take_is_unavailable(way):
    with socket.create_server(("127.0.0.1", 0)) as deaf, way.wire(lambda _: [reply(completion("Hello"))]) as wire:
        waits = Timeouts(write=0.2)
        adapter = way.adapter(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", timeouts=waits)
        taken = way.adapter(wire.url)

        async def call(runtime):
            with pytest.raises(Unavailable, match="did not take the request in time"):
                await adapter(ask(runtime, Message.user("x" * 20_000_000)))
            told = "".join(
                chunk.text
                for chunk in await (await taken(ask(runtime, Message.user("x" * 2_000_000), stream=False))).read()
            )
            await close(adapter, runtime)
            await close(taken, runtime)
            return told

        assert way(call) == "Hello"
        assert wire.requests[0].json["messages"][0]["content"] == "x" * 2_000_000
