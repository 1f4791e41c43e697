"""Through a proxy to a server that is spoken to over TLS: a real proxy, which connects and sees nothing."""

from __future__ import annotations

import pytest

from chat_wire import HELLO, ask, completion, delta
from inferkit.core.errors import Unavailable
from inferkit.core.messages import Message
from proxy import HANG_SECONDS, Proxy, through
from ways import close, over_tls, text
from wire import UNTIL_CLOSED, event, reply, sse


@over_tls
def test_calls_go_through_one_tunnel_and_the_proxy_sees_none_of_them(way, monkeypatch):
    def script(request):
        return sse(HELLO) if request.json.get("stream") else [reply(completion("Hello"))]

    with Proxy() as proxy, way.wire(script) as wire:
        through(monkeypatch, proxy, "ana:secret@")
        adapter = way.adapter(wire.url, api_key="sk-very-secret")

        async def calls(runtime):
            for stream in (True, False, True):
                assert await text(adapter, runtime, Message.user("Where is it?"), stream=stream) == "Hello"
            await close(adapter, runtime)

        way(calls)
        (head,) = proxy.heads
        assert head.startswith(f"CONNECT {wire.url.split('/')[2]} HTTP/1.1\r\n")
        assert "\r\nproxy-authorization: basic " in head.lower()
        assert "sk-very-secret" not in head
        for said in (b"Where is it?", b"Hello", b"sk-very-secret"):
            assert said not in proxy.seen
        assert not any("proxy-authorization" in request.headers for request in wire.requests)


@over_tls
def test_a_stream_that_is_left_closes_its_tunnel(way, monkeypatch):
    with Proxy() as proxy, way.wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
        through(monkeypatch, proxy)
        adapter = way.adapter(wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            await anext(response)
            await response.aclose()
            assert await runtime.run_blocking(wire.wait_until_closed)
            assert await runtime.run_blocking(proxy.closed.wait, HANG_SECONDS)
            await close(adapter, runtime)

        way(call)


@over_tls
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["who", "forbidden", "bad", "nonsense", "nothing"],
)
def test_a_proxy_that_does_not_connect_is_unavailable_and_names_no_password(way, monkeypatch, said):
    with Proxy(refusing=said) as proxy, way.wire(lambda _: pytest.fail("something was sent")) as wire:
        through(monkeypatch, proxy, "ana:secret@")
        adapter = way.adapter(wire.url)

        async def call(runtime):
            with pytest.raises(Unavailable) as caught:
                await text(adapter, runtime)
            await close(adapter, runtime)
            return caught.value

        error = way(call)
        shown = f"{error} {error!r} {error.detail} {error.__cause__!r}"
        assert "secret" not in shown
        assert wire.connections == 0
