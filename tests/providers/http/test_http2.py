"""HTTP/2 with a real server: calls share a connection, and one that is left takes nothing from the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import sys
import tempfile
import threading

import anyio
import hypercorn.asyncio
import hypercorn.config
import pytest

from chat_wire import HELLO, ask, completion, delta
from inferkit import Message, OpenAIChat, Timeouts
from inferkit.core.errors import DeadlineExceeded, StreamError, Unavailable
from inferkit.runtime.direct import DirectRuntime, drive
from ways import WAYS, authority, close, only, text
from wire import event, sse
from worlds import in_threads, in_time

HANG_SECONDS = 30  # a guard; no test waits this long
over_http2 = only(*(way for way in WAYS if way.library == "httpx" and way.tls))
over_http2_on_loops = only(*(way for way in WAYS if way.library == "httpx" and way.tls and not way.blocking))
in_threads_over_http2 = only(*(way for way in WAYS if way.blocking and way.tls))
FLOOD = b": " + b"x" * 60_000 + b"\n\n"
ROOM = 1 << 24  # what httpcore lets a connection bring that nobody has read


class Server:
    """hypercorn, in a thread. What a request's `model` is, it answers; `left` counts the streams that were ended."""

    def __init__(self):
        self.versions, self.peers, self.sent = [], set(), 0
        self.arrived, self.go = threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._left = 0

    def wait_until_left(self, count=1):
        with self._changed:
            return self._changed.wait_for(lambda: self._left >= count, HANG_SECONDS)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        self.versions.append(scope["http_version"])
        self.peers.add(tuple(scope["client"]))
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        kind = json.loads(body)["model"]
        self.arrived.set()
        left = asyncio.ensure_future(self._note_left(receive))
        try:
            await getattr(self, f"_{kind}")(send, left)
        finally:
            left.cancel()

    async def _note_left(self, receive):
        while (await receive())["type"] != "http.disconnect":
            pass
        with self._changed:
            self._left += 1
            self._changed.notify_all()

    async def _begin(self, send, kind):
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _whole(self, send, _):
        await self._begin(send, b"application/json")
        await send({"type": "http.response.body", "body": json.dumps(completion("Hello")).encode()})

    async def _streamed(self, send, _):
        await self._begin(send, b"text/event-stream")
        for piece in HELLO:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _silent(self, send, left):
        await left

    async def _pausing(self, send, left):
        await self._begin(send, b"text/event-stream")
        await send({"type": "http.response.body", "body": event(delta("Hel")), "more_body": True})
        await left

    async def _gated(self, send, left):
        await self._begin(send, b"text/event-stream")
        await send({"type": "http.response.body", "body": event(delta("Hel")), "more_body": True})
        await asyncio.to_thread(self.go.wait, HANG_SECONDS)
        await send({"type": "http.response.body", "body": event(delta("lo")), "more_body": True})
        await left

    async def _bursting(self, send, left):
        await self._begin(send, b"text/event-stream")
        for _ in range(16):
            await send({"type": "http.response.body", "body": FLOOD, "more_body": True})
            self.sent += len(FLOOD)
        await left

    async def _flooding(self, send, left):
        await self._begin(send, b"text/event-stream")
        await send({"type": "http.response.body", "body": event(delta("Hel")), "more_body": True})
        while not left.done():
            await send({"type": "http.response.body", "body": FLOOD, "more_body": True})
            self.sent += len(FLOOD)
            await asyncio.sleep(0)


@contextlib.contextmanager
def served():
    """Run the server, and give it with its URL."""
    server, ready, stop = Server(), threading.Event(), []
    listener = socket.create_server(("127.0.0.1", 0))
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        server.url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        authority().issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(file.name)
        config = hypercorn.config.Config()
        config.bind = [f"fd://{listener.detach()}"]  # it closes it
        config.certfile = config.keyfile = file.name
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 0.1

        async def run():
            over = asyncio.Event()
            stop.append((asyncio.get_running_loop(), over))
            ready.set()
            await hypercorn.asyncio.serve(server, config, shutdown_trigger=over.wait)

        thread = threading.Thread(target=asyncio.run, args=(run(),))
        thread.start()
        try:
            assert ready.wait(HANG_SECONDS)
            yield server
        finally:
            loop, over = stop[0]
            loop.call_soon_threadsafe(over.set)
            thread.join(HANG_SECONDS)


@pytest.fixture
def server():
    with served() as server:
        yield server


def adapter_for(way, server, **settings):
    return OpenAIChat(base_url=server.url, transport=way.http(http2=True, **settings))


async def still_serves(adapter, runtime):
    for _ in range(3):
        assert await text(adapter, runtime, model="streamed", deadline=runtime.now() + HANG_SECONDS) == "Hello"
        assert await text(adapter, runtime, model="whole", stream=False) == "Hello"


@over_http2
def test_calls_share_a_connection_whole_and_streamed(way, server):
    async def calls(runtime):
        adapter = adapter_for(way, server)
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(calls)
    assert server.versions == ["2"] * 6
    assert len(server.peers) == 1


@over_http2
@pytest.mark.parametrize("kind", ["pausing", "flooding"])
def test_a_stream_that_is_left_ends_at_the_server_and_its_connection_serves_on(way, server, kind):
    async def calls(runtime):
        adapter = adapter_for(way, server)
        response = await adapter(ask(runtime, model=kind))
        assert (await anext(response)).text == "Hel"
        await response.aclose()
        assert await runtime.run_blocking(server.wait_until_left)
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(calls)
    assert len(server.peers) == 1


@over_http2
def test_streams_that_are_left_one_after_the_other_leave_room_for_the_next(way, server):
    """What they had sent, and nobody read, would come to more than the connection lets a server send."""

    async def calls(runtime):
        adapter = adapter_for(way, server)
        left = 0
        while server.sent < 1.5 * ROOM:
            response = await adapter(ask(runtime, model="flooding"))
            assert (await anext(response)).text == "Hel"
            await response.aclose()
            left += 1
            assert await runtime.run_blocking(server.wait_until_left, left)
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(calls)
    assert len(server.peers) == 1


@over_http2
def test_a_stream_that_is_dropped_ends_at_the_server(way, server):
    async def call(runtime):
        adapter = adapter_for(way, server)
        response = await adapter(ask(runtime, model="pausing"))
        await anext(response)
        del response
        gc.collect()
        assert await runtime.run_blocking(server.wait_until_left)
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(call)


@over_http2_on_loops
@pytest.mark.parametrize("kind", ["silent", "pausing"])
def test_a_call_that_is_cancelled_before_its_head_or_in_its_body_ends_at_the_server(way, server, kind):
    async def main(runtime):
        adapter = adapter_for(way, server)
        await still_serves(adapter, runtime)
        server.arrived.clear()

        async def call():
            await (await adapter(ask(runtime, model=kind))).read()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await anyio.to_thread.run_sync(server.arrived.wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(HANG_SECONDS):
            assert await anyio.to_thread.run_sync(server.wait_until_left)
        await still_serves(adapter, runtime)
        await adapter.aclose()

    way(main)
    assert len(server.peers) == 1


@over_http2_on_loops
def test_one_that_waits_is_woken_by_who_closes_it_and_the_others_go_on(way, server):
    async def main(runtime):
        adapter = adapter_for(way, server)
        response = await adapter(ask(runtime, model="pausing"))
        await anext(response)
        raised = []

        async def read():
            try:
                await anext(response)
            except StreamError as error:
                raised.append(error)

        with anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                await response.aclose()
        assert len(raised) == 1
        assert await anyio.to_thread.run_sync(server.wait_until_left)
        await still_serves(adapter, runtime)
        await adapter.aclose()

    way(main)
    assert len(server.peers) == 1


@in_threads_over_http2
def test_a_thread_that_waits_is_woken_by_who_closes_its_stream(way, server):
    adapter, runtime, raised = adapter_for(way, server), DirectRuntime(), []
    response = drive(adapter(ask(runtime, model="pausing")))
    drive(anext(response))
    waiting = threading.Event()

    def read():
        waiting.set()
        try:
            drive(anext(response))
        except StreamError as error:
            raised.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    waiting.wait()
    drive(response.aclose())
    reader.join(HANG_SECONDS)
    assert not reader.is_alive()
    assert len(raised) == 1
    assert server.wait_until_left()
    drive(still_serves(adapter, runtime))
    adapter.close()


@over_http2
def test_a_call_is_over_by_its_deadline_and_the_connection_serves_on(way, server):
    async def call(runtime):
        adapter = adapter_for(way, server)
        await still_serves(adapter, runtime)
        with pytest.raises(DeadlineExceeded):
            await text(adapter, runtime, model="flooding", deadline=runtime.now() + 0.3)
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(call)


@contextlib.contextmanager
def threads_that_change_at_every_turn():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@in_threads_over_http2
def test_threads_share_it_too_with_more_to_say_than_it_has_credit_for(way, server):
    """With httpcore alone, numbers are taken twice, frames are lost, and TLS is broken by two at once."""
    adapter = adapter_for(way, server)
    drive(still_serves(adapter, DirectRuntime()))

    async def calls(runtime):
        for kind in ("streamed", "whole") * 4:
            fields = {"model": kind, "stream": kind == "streamed", "deadline": runtime.now() + HANG_SECONDS}
            assert await text(adapter, runtime, Message.user("x" * 60_000), **fields) == "Hello"

    with threads_that_change_at_every_turn():
        in_threads(lambda _: drive(calls(DirectRuntime())), range(8))
    adapter.close()
    assert len(server.peers) == 1


def in_a_thread(wait_for):
    """Have a thread wait for something, and give it with what came of it."""
    came = []

    def wait():
        try:
            came.append(drive(wait_for))
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, came


@in_threads_over_http2
def test_a_thread_that_waits_holds_up_nobody_whose_answer_it_reads(way, server):
    adapter, runtime = adapter_for(way, server), DirectRuntime()
    drive(still_serves(adapter, runtime))
    response = drive(adapter(ask(runtime, model="pausing")))
    drive(anext(response))
    thread, came = in_a_thread(anext(response))
    for _ in range(20):
        drive(still_serves(adapter, runtime))
    assert not came
    drive(response.aclose())
    thread.join(HANG_SECONDS)
    assert [type(each) for each in came] == [StreamError]
    adapter.close()
    assert len(server.peers) == 1


@in_threads_over_http2
def test_a_thread_whose_time_is_over_ends_no_call_but_its_own(way, server):
    adapter, runtime = adapter_for(way, server), DirectRuntime()
    drive(still_serves(adapter, runtime))
    response = drive(adapter(ask(runtime, model="gated")))
    assert drive(anext(response)).text == "Hel"
    in_threads(lambda _: drive(_late(adapter, runtime)), range(3))
    assert len(server.peers) < 4, "the first shared the connection; one on which a call was late takes no new ones"
    server.go.set()
    assert drive(anext(response)).text == "lo"
    drive(response.aclose())
    drive(still_serves(adapter, runtime))
    adapter.close()


@over_http2_on_loops
def test_a_task_whose_time_is_over_ends_no_call_but_its_own(way, server):
    async def calls(runtime):
        adapter = adapter_for(way, server)
        await still_serves(adapter, runtime)
        response = await adapter(ask(runtime, model="gated"))
        assert (await anext(response)).text == "Hel"
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(_late, adapter, runtime)
        server.go.set()
        assert (await anext(response)).text == "lo"
        await response.aclose()
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(calls)


@over_http2_on_loops
def test_a_stream_that_falls_silent_ends_no_other(way, server):
    """Both wait for more: the one that reads for both gives up, and the other reads on."""

    async def calls(runtime, seconds):
        adapter = adapter_for(way, server, timeouts=Timeouts(between=seconds))
        server.go.clear()
        try:
            await still_serves(adapter, runtime)
            silent, other = [await adapter(ask(runtime, model=kind)) for kind in ("pausing", "gated")]
            assert [(await anext(each)).text for each in (silent, other)] == ["Hel", "Hel"]

            async def fails():
                with pytest.raises(Unavailable, match="nothing came from it in time"):
                    await anext(silent)
                server.go.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fails)
                await anyio.wait_all_tasks_blocked()
                try:
                    found = (await anext(other)).text == "lo"
                finally:
                    await other.aclose()
        except* Unavailable:  # at another place: it is too short a time for this machine
            found = False
        finally:
            server.go.set()
            await close(adapter, runtime)
        return found

    in_time(lambda seconds: way(lambda runtime: calls(runtime, seconds)))


async def _late(adapter, runtime):
    with pytest.raises(DeadlineExceeded):
        await text(adapter, runtime, model="silent", deadline=runtime.now() + 0.2)


@over_http2
def test_what_had_come_of_a_stream_that_is_left_and_nobody_read_is_given_back_to_the_others(way, server):
    body = json.dumps({"model": "flooding"}).encode()

    async def calls(runtime):
        adapter = adapter_for(way, server)
        while server.sent < 1.5 * ROOM:
            exchange = await adapter.transport.post(server.url, {}, body, provider="acme", runtime=runtime)
            for _ in range(3):
                assert await exchange.read()
            await exchange.aclose()
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(calls)
    assert len(server.peers) == 1


@over_http2
def test_what_another_call_received_of_a_stream_that_is_left_is_given_back_too(way, server):
    body = json.dumps({"model": "bursting"}).encode()

    async def calls(runtime):
        adapter = adapter_for(way, server)
        while server.sent < 1.5 * ROOM:
            exchange = await adapter.transport.post(server.url, {}, body, provider="acme", runtime=runtime)
            assert await text(adapter, runtime, model="whole", stream=False) == "Hello"  # reads what comes for either
            await exchange.aclose()
        await still_serves(adapter, runtime)
        await close(adapter, runtime)

    way(calls)
    assert len(server.peers) == 1


@over_http2_on_loops
def test_a_server_that_speaks_no_http2_is_served_all_the_same_and_calls_of_it_are_cancelled(way):
    async def calls(runtime):
        adapter = adapter_for(way, wire)
        assert await text(adapter, runtime) == "Hello"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await adapter(ask(runtime))
        assert await text(adapter, runtime) == "Hello"
        await adapter.aclose()

    with way.wire(lambda _: sse(HELLO)) as wire:
        way(calls)


@over_http2_on_loops
@pytest.mark.parametrize("served_before", [False, True])
def test_a_call_that_is_cancelled_at_once_leaves_nothing(way, server, served_before):
    async def main(runtime):
        adapter = adapter_for(way, server)
        if served_before:
            await still_serves(adapter, runtime)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await adapter(ask(runtime, model="silent"))
        await still_serves(adapter, runtime)
        await adapter.aclose()

    way(main)
