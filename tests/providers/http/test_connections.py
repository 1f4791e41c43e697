"""Connections: their deadlines, their closing from elsewhere, their return to the pool, and whose they are."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import socket
import subprocess
import sys
import threading
import types
import weakref
import zlib

import pytest

from chat_wire import HELLO, ask, completion, delta
from inferkit import Budget, Client, Price
from inferkit.core.errors import (
    DeadlineExceeded,
    InvalidRequest,
    StreamError,
    Unavailable,
)
from inferkit.providers.http.connection import Connection
from inferkit.providers.http.httpx_transport import HttpxTransport
from inferkit.providers.http.transport import Timeouts
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.runtime import scheduler
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime
from ways import (
    WAYS,
    close,
    in_threads_alone,
    on_asyncio,
    on_loops,
    only,
    over_httpx_on_loops,
    over_plain_connections,
    run_program,
    text,
)
from wire import CLOSE, SSE_HEAD_UNTIL_CLOSE, UNTIL_CLOSED, Wire, endless, event, reply, sse
from worlds import in_threads, in_time


@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (lambda _: [UNTIL_CLOSED], DeadlineExceeded),
        (lambda _: [b"HTTP/1.1 200", UNTIL_CLOSED], DeadlineExceeded),
        (endless(b"HTTP/1.1 200 OK\r\n", b"x-filler: y\r\n"), DeadlineExceeded),
        (lambda _: [SSE_HEAD_UNTIL_CLOSE, UNTIL_CLOSED], DeadlineExceeded),
        (lambda _: sse([event(delta("Hel")), UNTIL_CLOSED]), DeadlineExceeded),
        (endless(SSE_HEAD_UNTIL_CLOSE, b": still here\n\n"), DeadlineExceeded),
        (endless(SSE_HEAD_UNTIL_CLOSE, event(delta("and so on "))), DeadlineExceeded),
        (endless(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b" "), DeadlineExceeded),
        (endless(b"HTTP/1.1 500 X\r\n\r\n", b" "), Unavailable),  # it is known what is wrong
    ],
    ids=["silent", "half a head", "endless head", "no body", "silent later", "comments", "endless", "json", "error"],
)
def test_a_call_is_over_by_its_deadline_whatever_the_server_does(way, script, kind, reused):
    if reused and way.tls:
        pytest.skip("shown without TLS")

    def over_after(seconds):
        with way.wire(lambda _: sse(HELLO)) as wire:
            first = way.adapter(wire.url)
            adapter = first if reused else way.adapter(wire.url)

            async def call(runtime):
                assert await text(first, runtime) == "Hello"
                wire.script = script
                try:
                    with pytest.raises((kind, DeadlineExceeded)) as caught:
                        await text(adapter, runtime, deadline=runtime.now() + seconds)
                finally:
                    await close(adapter, runtime)
                    await close(first, runtime)
                return caught.type

            found = way(call)
            assert wire.wait_until_closed(wire.connections)
            return (found, len(wire.requests), wire.connections) == (kind, 2, 1 if reused else 2)

    in_time(over_after)


def test_a_deadline_that_has_passed_sends_nothing(way):
    with way.wire(lambda _: pytest.fail("something was sent")) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            with pytest.raises(DeadlineExceeded):
                await adapter(ask(runtime, deadline=runtime.now() - 1))

        way(call)
        assert wire.connections == 0


def test_a_deadline_holds_while_the_reader_does_something_else(way):
    def held_after(seconds):
        with way.wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
            adapter = way.adapter(wire.url)

            async def call(runtime):
                try:
                    response = await adapter(ask(runtime, deadline=runtime.now() + seconds))
                    await anext(response)
                except DeadlineExceeded:
                    return False
                else:
                    assert await runtime.run_blocking(wire.wait_until_closed)
                    with pytest.raises(DeadlineExceeded):
                        await anext(response)
                    return True
                finally:
                    await close(adapter, runtime)

            return way(call)

    in_time(held_after)


def test_a_read_timeout_is_unavailable_and_not_the_deadline(way):
    with way.wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
        adapter = way.adapter(wire.url, timeouts=Timeouts(between=0.05))

        async def call(runtime):
            with pytest.raises(Unavailable, match="nothing came") as caught:
                await text(adapter, runtime, deadline=runtime.now() + 60)
            await close(adapter, runtime)
            return caught.value.retryable

        assert way(call)


def test_a_finished_stream_returns_its_connection_to_the_pool(way):
    with way.wire(lambda r: sse(HELLO) if r.json.get("stream") else [reply(completion())]) as wire:
        adapter = way.adapter(wire.url)

        async def calls(runtime):
            for _ in range(3):
                await text(adapter, runtime, deadline=runtime.now() + 60)
                await text(adapter, runtime, stream=False)
            wire.script = lambda _: [reply({"error": {}}, 400)]
            with pytest.raises(InvalidRequest):
                await text(adapter, runtime)
            wire.script = lambda _: sse(HELLO)
            assert await text(adapter, runtime) == "Hello"
            await close(adapter, runtime)

        way(calls)
        assert wire.connections == 1
        assert wire.wait_until_closed()


def test_a_stream_that_goes_on_after_done_is_left(way):
    with way.wire(lambda _: sse([*HELLO, UNTIL_CLOSED])) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            return await text(adapter, runtime), await runtime.run_blocking(wire.wait_until_closed)

        assert way(call) == ("Hello", True)
        adapter.close()


def test_a_stream_left_early_closes_its_connection_with_the_collector_off(way):
    with way.wire(lambda _: sse([event(delta("a")), event(delta("b")), UNTIL_CLOSED])) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            await anext(response)
            await response.aclose()
            return await runtime.run_blocking(wire.wait_until_closed)

        gc.disable()
        try:
            assert way(call)
        finally:
            gc.enable()
        adapter.close()


def test_a_dropped_stream_closes_its_connection(way):
    with way.wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            await anext(response)
            del response
            gc.collect()
            return await runtime.run_blocking(wire.wait_until_closed)

        assert way(call)
        adapter.close()


@in_threads_alone
def test_closing_from_another_thread_wakes_a_blocked_reader(way):
    with way.wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire, _closed(way.adapter(wire.url)) as adapter:
        runtime = DirectRuntime()
        response = drive(adapter(ask(runtime)))
        drive(response.__anext__())
        waiting = threading.Event()
        raised = []

        def read():
            waiting.set()
            try:
                drive(response.__anext__())
            except BaseException as error:
                raised.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        waiting.wait()
        drive(response.aclose())
        reader.join(30)
        assert not reader.is_alive()
        assert [type(error) for error in raised] == [StreamError]
        assert wire.wait_until_closed()


@on_loops
def test_closing_from_another_task_wakes_a_waiting_reader(way):
    import anyio

    async def main(runtime):
        with way.wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
            adapter = way.adapter(wire.url)
            response = await adapter(ask(runtime))
            await anext(response)
            raised = []

            async def read():
                try:
                    await anext(response)
                except StreamError as error:
                    raised.append(error)

            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(read)
                    await anyio.wait_all_tasks_blocked()
                    await response.aclose()
                assert await anyio.to_thread.run_sync(wire.wait_until_closed)
            assert len(raised) == 1
            await adapter.aclose()

    way(main)


@on_loops
@pytest.mark.parametrize("script", [[UNTIL_CLOSED], [SSE_HEAD_UNTIL_CLOSE, UNTIL_CLOSED]], ids=["head", "body"])
def test_a_cancelled_call_closes_its_connection(way, script):
    import anyio

    async def main(runtime):
        with way.wire(lambda _: script) as wire:
            adapter = way.adapter(wire.url)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(adapter, ask(runtime))
                await anyio.to_thread.run_sync(wire.arrived.wait)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            with anyio.fail_after(30):
                assert await anyio.to_thread.run_sync(wire.wait_until_closed)
            await adapter.aclose()

    way(main)


@only(*(way for way in WAYS if way.tls and not way.blocking))
@pytest.mark.parametrize("http", [{}, {"http2": True}], ids=["", "http2"])
def test_a_call_that_is_cancelled_in_its_tls_handshake_closes_its_connection(way, http):
    import anyio

    if way.library == "aiohttp" and http:
        pytest.skip("it speaks no HTTP/2")

    async def main(runtime):
        with socket.create_server(("127.0.0.1", 0)) as server:
            adapter = way.adapter(f"https://127.0.0.1:{server.getsockname()[1]}/v1", http=http)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(adapter, ask(runtime))
                client, _ = await anyio.to_thread.run_sync(server.accept)
                assert await anyio.to_thread.run_sync(client.recv, 1 << 16), "it begins"
                tasks.cancel_scope.cancel()
            with client:
                client.settimeout(30)
                assert await anyio.to_thread.run_sync(client.recv, 1) == b""
            await adapter.aclose()

    gc.collect()
    gc.disable()
    try:
        way(main)
    finally:
        gc.enable()


@on_asyncio
def test_an_adapter_serves_one_event_loop_after_another(way):
    with way.wire(lambda _: sse(HELLO)) as wire:
        adapter = way.adapter(wire.url)
        loops = weakref.WeakSet()

        async def call():
            loops.add(asyncio.get_running_loop())
            return await text(adapter, current_runtime())

        async def another():
            current_runtime()  # each thread remembers its last one

        assert [asyncio.run(call()) for _ in range(3)] == ["Hello"] * 3
        assert wire.connections == 3
        assert wire.wait_until_closed(3)  # each loop took its connections with it
        asyncio.run(another())
        gc.collect()
        assert not loops


@on_asyncio
def test_the_pool_of_a_loop_that_was_just_closed_is_dropped(way):
    head, *rest = sse(HELLO)
    last = head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")  # no connection outlives its call
    with way.wire(lambda _: [last, *rest, UNTIL_CLOSED]) as wire:
        adapter = way.adapter(wire.url)

        async def call(calls):
            told = await text(adapter, current_runtime())
            assert await current_runtime().run_blocking(wire.wait_until_closed, calls)
            return told

        loops = weakref.WeakSet()
        for calls in (1, 2, 3):
            loop = asyncio.new_event_loop()
            loops.add(loop)
            assert loop.run_until_complete(call(calls)) == "Hello"
            loop.close()  # and not its async generators
            del loop
        gc.collect()
        assert len(loops) <= 1


@in_threads_alone
def test_an_adapter_serves_many_threads_at_once(way):
    with way.wire(lambda _: sse(HELLO)) as wire, _closed(way.adapter(wire.url)) as adapter:
        told = []
        in_threads(lambda _: told.append(drive(text(adapter, DirectRuntime()))), range(8))
        assert told == ["Hello"] * 8


FORKING = """
import asyncio, gc, os, warnings
from inferkit import Http, OpenAIChat
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime
from chat_wire import ask

warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # what resolves names is a thread
adapter = OpenAIChat(base_url={url!r}, transport=Http({library!r}))

async def call(runtime):
    response = await adapter(ask(runtime, deadline=runtime.now() + 30))
    return "".join(chunk.text for chunk in await response.read()) == "Hello"

def anew():
    if {place!r} == "asyncio":
        return asyncio.run(on_a_loop(call))
    return drive(call(DirectRuntime()))  # trio cannot begin another run in the middle of one

async def main(runtime):
    assert await call(runtime)
    half = await adapter(ask(runtime))
    child = os.fork()
    if child == 0:
        try:
            drive(half.aclose())
            del half
            gc.collect()
            os._exit(0 if anew() and anew() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "".join([chunk.text async for chunk in half]) == "Hello"
    assert await call(runtime)
    if runtime.blocking:
        adapter.close()
    else:
        await adapter.aclose()

async def on_a_loop(step):
    return await step(current_runtime())

if {place!r} == "asyncio":
    asyncio.run(on_a_loop(main))
elif {place!r} == "trio":
    import trio
    trio.run(on_a_loop, main)
else:
    drive(main(DirectRuntime()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_connections_of_its_own(way):
    both_called = threading.Event()

    def script(_):
        if len(wire.requests) == 2:
            return sse([HELLO[0], both_called, *HELLO[1:]])
        if len(wire.requests) == 4:
            both_called.set()
        return sse(HELLO)

    with way.wire(script) as wire:
        done = run_program(FORKING.format(url=wire.url, library=way.library, place=way.place))
        assert (done.returncode, done.stderr) == (0, "")
        # the parent's, and the child's, of which each event loop has its own
        assert wire.connections == (3 if way.place == "asyncio" else 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("portal", [False, True])
@pytest.mark.parametrize("calls", [0, 1])
def test_a_forked_child_that_exits_is_not_warned_of_its_parents_connections(portal, calls):
    """Nor does its exit end them: the parent's next call is over the same one."""
    with Wire(lambda _: sse(HELLO)) as wire:
        program = f"""
import os, sys
from inferkit import Client, OpenAIChat
settings = dict(providers=dict(p=OpenAIChat(base_url={wire.url!r})), models=dict(a="p:m"), cache=False, ledger=False)
llm = Client(portal={portal}, **settings)
assert llm.complete("Hi").text == "Hello"
child = os.fork()
if child == 0:
    for _ in range({calls}):
        with Client(**settings) as own:
            assert own.complete("Hi").text == "Hello"
    sys.exit()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert llm.complete("Hi").text == "Hello"
llm.close()
"""
        options = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]  # the portal is a thread
        command = [sys.executable, *options, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert wire.connections == 1 + calls


def test_an_adapter_that_is_dropped_closes_its_connections(way):
    with way.wire(lambda _: sse(HELLO)) as wire:

        async def call(runtime):
            adapter = way.adapter(wire.url)
            told = await text(adapter, runtime)
            del adapter
            gc.collect()
            return told, await runtime.run_blocking(wire.wait_until_closed)

        assert way(call) == ("Hello", True)


ENDING = """
import anyio
from inferkit import AsyncClient, Client, Http, OpenAIChat

provider = OpenAIChat(base_url={url!r}, transport=Http({library!r}))
settings = dict(models={{"m": "p:m"}}, providers={{"p": provider}}, cache=False, ledger=False)

async def main():
    llm = AsyncClient(**settings)
    assert (await llm.complete("m", "hi")).text == "Hello"

if {place!r} == "direct":
    llm = Client(**settings)
    assert llm.complete("m", "hi").text == "Hello"
elif {place!r} == "portal":
    llm = Client(**settings, portal=True)
    assert llm.complete("m", "hi").text == "Hello"
else:
    anyio.run(main, backend={place!r})
"""


@pytest.mark.parametrize("portal", [False, True], ids=["", "portal"])
def test_a_program_that_ends_without_closing_its_client_is_told_of_no_open_socket(way, portal):
    if portal and way.place != "asyncio":
        pytest.skip("a portal runs asyncio")
    with way.wire(lambda _: [reply(completion("Hello"))]) as wire:
        place = "portal" if portal else way.place
        done = run_program(ENDING.format(url=wire.url, library=way.library, place=place), "-W", "error")
        assert (done.returncode, done.stderr) == (0, "")


def test_a_shared_connection_is_not_cut_for_one_of_its_calls():
    ours, theirs = socket.socketpair()

    class Network:
        def get_extra_info(self, _):
            return ours

    with ours, theirs:
        connection = Connection(DirectRuntime(), None, {})
        connection.answered({"network_stream": Network(), "http_version": b"HTTP/2"})
        connection.wake()
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"
        connection.answered({"network_stream": Network(), "http_version": b"HTTP/1.1"})
        connection.wake()
        assert ours.recv(1) == b""


def test_sockets_that_a_pool_closed_are_not_kept():
    idle = {}
    for _ in range(600):
        ours, theirs = socket.socketpair()

        class Network:
            def get_extra_info(self, _, sock=ours):
                return sock

        connection = Connection(DirectRuntime(), None, idle)
        connection.answered({"network_stream": Network()})
        connection.give_back()
        ours.close()
        theirs.close()
    assert len(idle) < 300


@in_threads_alone
def test_the_thread_that_keeps_deadlines_ends_when_nothing_runs(way, monkeypatch):
    monkeypatch.setattr(scheduler, "_IDLE_SECONDS", 0.05)
    with way.wire(lambda _: sse(HELLO)) as wire, _closed(way.adapter(wire.url)) as adapter:
        runtime = DirectRuntime()
        for _ in range(2):
            assert drive(text(adapter, runtime, deadline=runtime.now() + 30)) == "Hello"
            for thread in threading.enumerate():
                if thread.name == "inferkit-scheduler":
                    thread.join(30)
                    assert not thread.is_alive()


def test_nobody_listening_is_unavailable_and_cannot_have_been_billed(way):
    async def call(runtime):
        adapter = way.adapter("http://127.0.0.1:1/v1")
        with pytest.raises(Unavailable, match="cannot connect") as caught:
            await adapter(ask(runtime, deadline=runtime.now() + 30))
        await close(adapter, runtime)
        return caught.value.retryable, caught.value.code

    assert way(call) == (True, "connect")


def test_an_attempt_that_reached_nobody_costs_nothing(tmp_path):
    adapter = OpenAIChat(base_url="http://127.0.0.1:1/v1", name="p")
    with Client(
        providers={"p": adapter},
        models={"fast": "p:m"},
        prices={"p:m": Price(input="1", output="1")},
        budget=Budget(usd="1", per="total", name="all"),
        max_retries=0,
        home=tmp_path,
    ) as llm:
        with pytest.raises(Unavailable) as caught:
            llm.complete("hi")
        assert [attempt.cost_nanos for attempt in caught.value.attempts] == [0]
        assert list(llm.ledger.entries()) == []
        assert llm.ledger.balance("all", "total").pending.usd == 0
    adapter.close()


def test_a_redirect_costs_nothing(tmp_path):
    with Wire(lambda _: [reply(b"", 307, location="http://127.0.0.1:1/")]) as wire:
        adapter = OpenAIChat(base_url=wire.url, name="p")
        prices = {"p:m": Price(input="1", output="1")}
        with (
            Client(providers={"p": adapter}, models={"fast": "p:m"}, prices=prices, home=tmp_path) as llm,
            pytest.raises(InvalidRequest, match="it redirects") as caught,
        ):
            llm.complete("hi")
        adapter.close()
    assert [attempt.cost_nanos for attempt in caught.value.attempts] == [0]


def test_proxies_of_the_environment_are_used(way, monkeypatch):
    with way.wire(lambda _: sse(HELLO)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        adapter = way.adapter("http://model.invalid/v1")

        async def call(runtime):
            try:
                return await text(adapter, runtime)
            finally:
                await close(adapter, runtime)

        assert way(call) == "Hello"
        assert proxy.requests[0].line == "POST http://model.invalid/v1/chat/completions HTTP/1.1"


def test_a_compressed_reply_is_unpacked_even_if_it_was_not_asked_for(way):
    whole = b"".join(HELLO)
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(whole),
        "deflate": zlib.compress(whole),
        "Deflate ": raw.compress(whole) + raw.flush(),
    }
    for encoding, body in packed.items():
        with way.wire(lambda _: [reply(body, content_type="text/event-stream", content_encoding=encoding)]) as wire:  # noqa: B023
            adapter = way.adapter(wire.url)

            async def call(runtime):
                try:
                    return await text(adapter, runtime)  # noqa: B023
                finally:
                    await close(adapter, runtime)  # noqa: B023

            assert way(call) == "Hello"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(b"".join(HELLO[:1]) * 9)[:-12]), ("gzip", b"no gzip at all"), ("br", b"\x0b\x02")],
    ids=["cut", "damaged", "unknown"],
)
def test_a_compressed_reply_that_cannot_be_unpacked_is_an_error(way, encoding, body):
    with way.wire(lambda _: [reply(body, content_type="text/event-stream", content_encoding=encoding)]) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            with pytest.raises(Unavailable, match="compressed"):
                await text(adapter, runtime)
            await close(adapter, runtime)

        way(call)


def bomb():
    """100 MB of blanks, in 100 kB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join([*(packer.compress(b" " * 1_000_000) for _ in range(100)), packer.flush()])


HOSTILE = {
    "nothing": lambda: [CLOSE],
    "error body": lambda: [b"HTTP/1.1 500 X\r\n\r\n", *([b"x" * 1_000_000] * 300), CLOSE],
    "error bomb": lambda: [reply(bomb(), 500, content_encoding="gzip")],
    "whole": lambda: [b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n\r\n", *([b" " * 1_000_000] * 100), CLOSE],
    "whole bomb": lambda: [reply(bomb(), content_type="application/json", content_encoding="gzip")],
    "endless line": lambda: [SSE_HEAD_UNTIL_CLOSE, b"data: ", *([b"x" * 1_000_000] * 100), CLOSE],
    "line bomb": lambda: [reply(bomb(), content_type="text/event-stream", content_encoding="gzip")],
    "endless head": lambda: [b"HTTP/1.1 200 X\r\nx: ", *([b"x" * 1_000_000] * 100), CLOSE],
    "endless chunk size": lambda: [
        b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n",
        *([b"0" * 1_000_000] * 100),
    ],
    "endless small events": lambda: [SSE_HEAD_UNTIL_CLOSE, *([b": hello\n\n" * 100_000] * 20), CLOSE],
}


READING = """
import re, resource
from pathlib import Path
from chat_wire import ask
from inferkit import Http, OpenAIChat
from inferkit.core.errors import Unavailable
from worlds import run_in

def most():
    # in kilobytes, of this program alone: `ru_maxrss` begins with what the one that started it took
    status = Path("/proc/self/status")
    found = status.exists() and re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main(runtime):
    adapter = OpenAIChat(base_url={url!r}, transport=Http({library!r}, max_reply_bytes=50_000_000))

    async def call(kind):
        try:
            await (await adapter(ask(runtime, model=kind))).read()
        except Unavailable:
            return
        raise SystemExit("no error")

    await call("nothing")  # everything is imported
    before = most()
    for kind in {kinds!r}:
        await call(kind)
        print(kind, most() - before)
    await adapter.transport.aclose(runtime)

run_in({place!r}, main)
"""


@over_plain_connections
def test_hostile_replies_take_little_memory(way):
    with way.wire(lambda request: HOSTILE[request.json["model"]]()) as wire:
        kinds = [kind for kind in HOSTILE if kind != "nothing"]
        done = run_program(READING.format(url=wire.url, library=way.library, place=way.place, kinds=kinds))
        assert done.returncode == 0, done.stderr
        grown = {
            kind: int(kilobytes) for kind, _, kilobytes in (line.rpartition(" ") for line in done.stdout.splitlines())
        }
        print(f"{way}: {max(grown.values()) / 1000:.1f} MB more at most; after each: {grown}")  # shown by pytest -s
        assert list(grown) == kinds
        assert max(grown.values()) < 64_000, grown


@over_httpx_on_loops
def test_a_deadline_between_two_reads_leaves_no_generator_to_the_garbage_collector(way):

    async def main(runtime):
        with way.wire(lambda _: sse([*HELLO, UNTIL_CLOSED])) as wire:
            transport = HttpxTransport(http=way.http())
            exchange = await transport.post(
                wire.url, {}, b"{}", provider="acme", runtime=runtime, deadline=runtime.now() + 30
            )
            assert await exchange.read()
            exchange._connection.expired = True  # as the timer does, in another thread
            with pytest.raises(DeadlineExceeded):
                await exchange.read()
            await exchange.aclose()
            await transport.aclose(runtime)
        return running() - before

    def running():
        return {each for each in gc.get_objects() if type(each) is types.AsyncGeneratorType and each.ag_frame}

    before = running()
    assert way(main) == set()


@contextlib.contextmanager
def _closed(adapter):
    """An adapter for blocking calls, closed at the end."""
    yield adapter
    adapter.close()
