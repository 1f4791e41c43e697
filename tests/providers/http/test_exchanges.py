"""What an exchange does at its edges, over each library: where it breaks, where it is too long, and who closes it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import socket
import sys
import threading

import anyio
import httpx
import pytest

from chat_wire import HELLO, ask, delta
from inferkit import ConfigurationError, Http, OpenAIChat, Timeouts
from inferkit.core.errors import StreamError, Unavailable, is_never_written
from inferkit.core.messages import Message
from inferkit.providers.adapter import Adapter
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.http.certificates import tls_context
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.http.connection import Connection
from inferkit.providers.http.httpx_transport import HttpxTransport
from inferkit.providers.http.surplus import can_be_read
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime import imports
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime
from ways import WAYS, close, on_loops, only, run_program, text
from wire import CLOSE, SSE_HEAD, UNTIL_CLOSED, chunked, event, reply, sse

over_aiohttp = only(*(way for way in WAYS if way.library == "aiohttp"))


def posted(way, wire, runtime, **settings):
    """Give an exchange, and the transport that it came by."""
    transport = make_transport(way.http(**settings))
    return transport, transport.post(wire.url, {}, b"{}", provider="acme", runtime=runtime)


async def arrived(runtime, wire):
    """Wait until the server has ended the connection, and whoever listens here has seen it."""
    assert await runtime.run_blocking(wire.wait_until_closed)
    if not runtime.blocking:
        await anyio.wait_all_tasks_blocked()


def test_what_came_before_a_connection_broke_is_handed_over_first(way):
    with way.wire(lambda _: [SSE_HEAD, chunked(HELLO[0]), CLOSE]) as wire:

        async def call(runtime):
            transport, posting = posted(way, wire, runtime)
            exchange = await posting
            await arrived(runtime, wire)
            told = await exchange.read()
            with pytest.raises(Unavailable, match="broke"):
                while True:
                    told += await exchange.read()
            await exchange.aclose()
            with pytest.raises(StreamError):
                await exchange.read()
            await transport.aclose(runtime)
            return told

        assert way(call) == HELLO[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_reply_that_is_longer_than_it_may_be_is_told_once(way, stream, packed):
    body = b": nothing\n\n" * 100_000 if stream else b" " * 1_000_000
    kind = {"content_type": "text/event-stream" if stream else "application/json"}
    script = [reply(gzip.compress(body), content_encoding="gzip", **kind) if packed else reply(body, **kind)]
    with way.wire(lambda _: script) as wire:
        adapter = way.adapter(wire.url, http={"max_reply_bytes": 300_000})

        async def call(runtime):
            with pytest.raises(Unavailable, match="max_reply_bytes") as caught:
                await text(adapter, runtime, stream=stream)
            await close(adapter, runtime)
            return caught.value

        error = way(call)
        assert (error.code, error.retryable, len(wire.requests)) == ("reply_too_long", False, 1)


def test_a_head_that_is_longer_than_any_is_an_error(way):
    head = b"HTTP/1.1 200 OK\r\n" + b"".join([b"x-%d: %s\r\n" % (n, b"x" * 12_000) for n in range(110)])
    with way.wire(lambda _: [head, UNTIL_CLOSED]) as wire:
        adapter = way.adapter(wire.url, http={"max_reply_bytes": 1000})

        async def call(runtime):
            with pytest.raises(Unavailable):
                await text(adapter, runtime)
            await close(adapter, runtime)

        way(call)
        assert wire.wait_until_closed()


def test_a_packed_reply_may_come_in_pieces(way):
    packed = gzip.compress(b"".join(HELLO))
    pieces = [packed[at : at + 7] for at in range(0, len(packed), 7)]
    head = SSE_HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    with way.wire(lambda _: [head, *map(chunked, pieces), chunked(b"")]) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            told = await text(adapter, runtime)
            await close(adapter, runtime)
            return told

        assert way(call) == "Hello"


@pytest.mark.parametrize("pieces", [2, 40])
def test_a_stream_that_is_left_where_it_was_cut_gives_what_had_come(way, pieces):
    """The server wrote it, and bills it; that its end is missing is no matter any more."""
    body = [event(delta("x")) for _ in range(pieces)]
    with way.wire(lambda _: sse(body)) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            told = [chunk.text async for chunk in _first(response)]
            if not runtime.blocking:
                await anyio.wait_all_tasks_blocked()
            await response.aclose()
            await close(adapter, runtime)
            return told

        assert way(call) == ["x"]


async def _first(response):
    yield await anext(response)


def test_a_body_that_is_taken_and_never_answered_is_no_body_that_was_not_taken(way):
    with way.wire(lambda _: [UNTIL_CLOSED]) as wire:
        adapter = way.adapter(wire.url, timeouts=Timeouts(read=0.05))

        async def call(runtime):
            with pytest.raises(Unavailable, match="nothing came from it in time") as caught:
                await adapter(ask(runtime, Message.user("x" * 100_000)))
            await close(adapter, runtime)
            return caught.value

        assert way(call).code is None


@on_loops
def test_a_call_that_is_cancelled_before_it_connects_was_never_written(way):
    with way.wire(lambda _: pytest.fail("something was sent")) as wire:

        async def call(runtime):
            transport, posting = posted(way, wire, runtime)
            marked = []

            async def post():
                try:
                    await posting
                except anyio.get_cancelled_exc_class() as error:
                    marked.append(is_never_written(error))
                    raise

            with anyio.CancelScope() as scope:
                scope.cancel()
                await post()
            await transport.aclose(runtime)
            return marked

        marked = way(call)
        assert marked == [way.library == "httpx"]
        assert wire.requests == []


def test_the_addresses_that_are_remembered_have_an_end(way, monkeypatch):
    for module in ("httpx_transport", "aiohttp_transport"):
        monkeypatch.setattr(f"inferkit.providers.http.{module}._MOST_ADDRESSES", 2)
    with way.wire(lambda _: sse(HELLO)) as wire:
        transport = make_transport(way.http())
        adapter = Adapter(CHAT, Endpoint("acme", wire.url, path="/{model}"), transport)

        async def calls(runtime):
            for model in ("a", "b", "c", "d", "a"):
                assert await text(adapter, runtime, model=model) == "Hello"
            await close(adapter, runtime)

        way(calls)
        assert wire.connections == 1
    assert len(getattr(transport, "_by_url", None) or transport._addresses) == 2


class _Own:
    """A transport of an application's own, with the two methods that one has."""

    def __init__(self, inner):
        self._inner = inner
        self.urls = []

    async def post(self, url, headers, body, **more):
        self.urls.append(url)
        return await self._inner.post(url, headers, body, **more)

    async def aclose(self, runtime):
        await self._inner.aclose(runtime)


def test_a_transport_of_ones_own_is_used(way):
    with way.wire(lambda _: sse(HELLO)) as wire:
        own = _Own(make_transport(way.http()))
        adapter = OpenAIChat(base_url=wire.url, transport=own)
        adapter.preload()

        async def call(runtime):
            told = await text(adapter, runtime)
            await close(adapter, runtime)
            return told

        assert way(call) == "Hello"
        assert own.urls == [f"{wire.url}/chat/completions"]


@pytest.mark.parametrize("library", ["httpx", "aiohttp"])
def test_what_is_believed_without_a_word_is_certifis_list(library, monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    make_transport(Http(library)).preload("https://x.example/v1")
    make_transport(Http(library)).preload("http://x.example/v1")
    assert tls_context(None, http2=False).cert_store_stats()["x509_ca"] > 50
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE names a file that holds no certificates"):
        make_transport(Http(library)).preload("https://x.example/v1")


def test_http2_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(imports, "_loaded", set())
    monkeypatch.setitem(sys.modules, "h2", None)
    adapter = OpenAIChat(base_url="http://127.0.0.1:1/v1", transport=Http("httpx", http2=True))
    with pytest.raises(ConfigurationError, match=r"inferkit\[h2\]"):
        drive(adapter(ask(DirectRuntime())))


def test_timeouts_of_a_transport_that_make_no_sense_are_refused():
    with pytest.raises(ConfigurationError, match="timeouts= is a Timeouts"):
        HttpxTransport(timeouts=5)


# Clients of an application's own, of which some send through nothing that has a socket.


class _Pieces(httpx.SyncByteStream):
    def __iter__(self):
        yield b""
        yield from HELLO
        yield b""


def given(handler, **settings):
    client = httpx.Client(transport=httpx.MockTransport(handler), **settings)
    return client, OpenAIChat(base_url="http://127.0.0.1:1", http_client=client)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/2", None])
def test_a_reply_that_no_socket_brought_is_read_and_left_alike(version):
    def answer(_):
        extensions = {} if version is None else {"http_version": version}
        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, stream=_Pieces(), extensions=extensions)

    client, adapter = given(answer)
    with client:
        runtime = DirectRuntime()
        adapter.preload()
        assert drive(text(adapter, runtime)) == "Hello"
        response = drive(adapter(ask(runtime)))
        assert drive(anext(response)).text == "Hel"
        drive(response.aclose())
        adapter.close()


def test_a_client_that_says_nothing_of_its_timeouts_gets_ours():
    class Client:
        """One with the interface of httpx's, as far as it is used."""

        def build_request(self, method, url, *, content, headers, timeout, extensions):
            self.waits = timeout
            return httpx.Request(method, url, content=content, headers=headers)  # without extensions

        def send(self, request, *, stream, follow_redirects):
            headers = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=headers, stream=_Pieces(), request=request)

    client = Client()
    adapter = OpenAIChat(base_url="http://127.0.0.1:1", http_client=client)
    assert drive(text(adapter, DirectRuntime())) == "Hello"
    assert client.waits == (5, 600, 30, 10)


def test_what_a_closed_socket_has_is_nothing():
    assert not can_be_read(None)
    with socket.socket() as sock:
        sock.close()
        assert not can_be_read(sock)


# Closing from elsewhere: another thread, a loop that is gone, a forked child.


@over_aiohttp
@pytest.mark.parametrize("where", ["thread", "closed loop"])
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # who closes a loop under aiohttp is told
def test_an_exchange_of_a_loop_may_be_closed_from_where_none_runs(way, where):
    with way.wire(lambda _: sse([HELLO[0], UNTIL_CLOSED])) as wire:
        loop = asyncio.new_event_loop()

        async def begin():
            runtime = current_runtime()
            transport, posting = posted(way, wire, runtime)
            exchange = await posting
            assert await exchange.read()
            if where == "thread":
                await runtime.run_blocking(lambda: drive(exchange.aclose()))
                assert await runtime.run_blocking(wire.wait_until_closed)
                await transport.aclose(runtime)
            return transport, exchange

        kept = loop.run_until_complete(begin())
        loop.close()  # and not its async generators, which would have closed the pool
        if where == "closed loop":
            drive(kept[1].aclose())
            assert wire.wait_until_closed()
            del kept
            gc.collect()


@on_loops
def test_a_timer_that_comes_when_the_reply_is_over_does_no_harm(way):
    class Watched(Connection):
        def _end(self):
            super()._end()
            fired.set()

    fired = threading.Event()

    async def main(runtime):
        connection = Watched(runtime, None, {})
        connection.watch(runtime.now())
        assert await runtime.run_blocking(fired.wait, 30)
        return connection.expired

    assert way(main)


FORKING = """
import os
from inferkit import Http
from inferkit.providers.http.certificates import tls_context
from inferkit.providers.http.choosing import make_transport
from inferkit.runtime import imports
from inferkit.runtime.direct import drive
from worlds import run_in

async def main(runtime):
    transport = make_transport(Http({library!r}))
    exchange = await transport.post({url!r}, {{}}, b"{{}}", provider="a", runtime=runtime, deadline=runtime.now() + 60)
    told = await exchange.read()
    child = os.fork()
    if child == 0:
        try:
            if runtime.blocking:
                exchange._connection.wake()  # as a deadline does
            else:
                drive(exchange.aclose())
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    while more := await exchange.read():
        told += more
    await exchange.aclose()
    await transport.aclose(runtime)
    print(len(told))

run_in({place!r}, main)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@only(*(way for way in WAYS if way.blocking or way.library == "aiohttp"))
def test_a_forked_child_leaves_the_exchange_of_its_parent_alone(way):
    with way.wire(lambda _: sse(HELLO)) as wire:
        options = ["-W", "ignore:This process:DeprecationWarning"]
        done = run_program(FORKING.format(url=wire.url, library=way.library, place=way.place), *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert int(done.stdout) == len(b"".join(HELLO))
        assert wire.connections == 1
