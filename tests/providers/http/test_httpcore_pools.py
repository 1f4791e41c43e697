"""Calls that need no more than what httpx sends by: the same on the wire, and httpx where somebody looks into it."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given, settings, strategies as st

from inferkit import AsyncClient, Client, OpenAIChat
from inferkit.providers.http import httpcore_pools
from inferkit.providers.http.httpcore_pools import ReceivedHeaders, is_plain
from inferkit.providers.http.httpx_transport import HttpxTransport
from ways import over_httpx


@settings(max_examples=300, deadline=None)
@given(st.from_regex(httpcore_pools._PLAIN, fullmatch=True))
def test_an_address_that_is_plain_is_sent_as_httpx_would_send_it(url):
    if is_plain(url):
        theirs = httpx.URL(url)
        ours, host = httpcore_pools._parsed(url)
        assert (ours.scheme, ours.host, ours.port, ours.target) == (
            theirs.raw_scheme, theirs.raw_host, theirs.port, theirs.raw_path,
        )  # fmt: skip
        assert host == theirs.netloc


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/chat/completions",
        "http://127.0.0.1:8000/v1",
        "https://x.example/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        "https://x.example/model/arn%3Aaws/converse",
    ],
)
def test_the_addresses_of_providers_are_plain(url):
    assert is_plain(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://bücher.example/v1", "https://Example.com/v1", "http://[::1]:8000/v1", "https://a:b@x.example/v1",
        "http://256.1.1.1/v1", "http://x.example:65536/", "http://x.example/a/../b", "http://x.example/a b",
        "http://x.example/100%", "http://x.example/v1#part", "http://x.example/é", "unix:/tmp/socket",
    ],
)  # fmt: skip
def test_what_httpx_writes_otherwise_or_refuses_is_not(url):
    assert not is_plain(url)


def test_headers_are_looked_up_in_any_case_and_those_that_are_said_twice_are_joined():
    told = [(b"Retry-After", b"3"), (b"Via", b"a"), (b"via", b"b"), (b"x-odd", b"\xe9"), (b"x-u", "é".encode())]
    headers = ReceivedHeaders(told)
    assert headers["retry-after"] == headers.get("RETRY-AFTER") == "3"
    assert headers["Via"] == "a, b"
    assert (headers["x-odd"], headers["x-u"]) == ("é", "é")
    assert "Retry-After" in headers
    assert "other" not in headers
    assert headers.get("other") is None
    assert headers.get("other", "none") == "none"
    with pytest.raises(KeyError):
        headers["other"]
    assert dict(headers) == {"retry-after": "3", "via": "a, b", "x-odd": "é", "x-u": "é"}


@over_httpx
def test_both_send_the_same_and_bring_the_same(way, monkeypatch):
    said = [b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-two: a\r\nX-Two: b\r\nContent-Length: 2\r\n\r\nok"]
    seen, brought = [], []

    def script(request):
        seen.append((request.line, list(request.headers.items()), request.body))
        return said

    with way.wire(script) as wire:

        async def call(runtime):
            transport = HttpxTransport(http=way.http())
            headers = {"Authorization": "Bearer k", "X-Own": "v"}
            exchange = await transport.post(f"{wire.url}/v1/x?a=b", headers, b"{}", provider="p", runtime=runtime)
            names = ("x-one", "X-TWO", "content-length")
            brought.append((exchange.status, *map(exchange.headers.get, names), await exchange.read()))
            await exchange.finish()
            await transport.aclose(runtime)

        way(call)
        monkeypatch.setattr(httpcore_pools, "_is_looked_into", lambda **_: True)
        way(call)
    assert seen[0] == seen[1]
    assert brought[0] == brought[1] == (200, "1", "a, b", "2", b"ok")


class Seen(Exception):
    """What a mock answers with."""


def refuse(self, request):
    raise Seen(str(request.url))


async def refuse_async(self, request):
    raise Seen(str(request.url))


SETTINGS = {"models": {"fast": "p:m"}, "prices": {}, "ledger": False, "cache": False, "max_retries": 0}


def test_a_mock_in_httpx_s_transports_sees_the_calls(monkeypatch):
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    provider = OpenAIChat(base_url="http://127.0.0.1:1/v1", api_key="k", name="p")
    with Client(providers={"p": provider}, **SETTINGS) as llm, pytest.raises(Seen, match="/v1/chat/completions"):
        llm.complete("hi")


async def _ask(provider):
    async with AsyncClient(providers={"p": provider}, **SETTINGS) as llm:
        await llm.complete("hi")


def test_one_in_those_of_event_loops_too(monkeypatch):
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", refuse_async)
    provider = OpenAIChat(base_url="http://127.0.0.1:1/v1", api_key="k", name="p")
    with pytest.raises(Seen, match="/v1/chat/completions"):
        asyncio.run(_ask(provider))
