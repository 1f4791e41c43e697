"""Connections: their deadlines, their closing from elsewhere, their return to the pool, and whose they are."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
import subprocess
import sys
import threading
import types
import weakref
import zlib

import httpx
import httpx2
import pytest

from chat_wire import USAGE_EVENT, ask, completion, delta
from inferkit import Budget, Client, Price
from inferkit.core.errors import (
    ConfigurationError,
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
from wire import CLOSE, UNTIL_CLOSED, Wire, event, reply, sse
from worlds import in_threads, in_time, on_a_loop

HELLO = [event(delta("Hel")), event(delta("lo", finish="stop")), event(USAGE_EVENT), event("[DONE]")]


async def close(adapter, runtime):
    if runtime.blocking:
        adapter.close()
    else:
        await adapter.aclose()


async def text(adapter, runtime, **fields):
    return "".join(chunk.text for chunk in await (await adapter(ask(runtime, **fields))).read())


def endless(head, piece):
    """Send a piece over and over, as often as a proxy sends its keep-alives, until the client goes."""

    def script(_):
        yield head
        pause = threading.Event()
        while not pause.wait(0.01):
            yield piece

    return script


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (lambda _: [UNTIL_CLOSED], DeadlineExceeded),
        (lambda _: [b"HTTP/1.1 200", UNTIL_CLOSED], DeadlineExceeded),
        (endless(b"HTTP/1.1 200 OK\r\n", b"x-filler: y\r\n"), DeadlineExceeded),
        (lambda _: [SSE_HEAD, UNTIL_CLOSED], DeadlineExceeded),
        (lambda _: sse([event(delta("Hel")), UNTIL_CLOSED]), DeadlineExceeded),
        (endless(SSE_HEAD, b": still here\n\n"), DeadlineExceeded),
        (endless(SSE_HEAD, event(delta("and so on "))), DeadlineExceeded),
        (endless(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b" "), DeadlineExceeded),
        (endless(b"HTTP/1.1 500 X\r\n\r\n", b" "), Unavailable),  # it is known what is wrong
    ],
    ids=["silent", "half a head", "endless head", "no body", "silent later", "comments", "endless", "json", "error"],
)
def test_a_call_is_over_by_its_deadline_whatever_the_server_does(run, script, kind, reused):
    def over_after(seconds):
        with Wire(lambda _: sse(HELLO)) as wire:
            first = OpenAIChat(base_url=wire.url)
            adapter = first if reused else OpenAIChat(base_url=wire.url)

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

            found = run(call)
            assert wire.wait_until_closed(wire.connections)
            return (found, len(wire.requests), wire.connections) == (kind, 2, 1 if reused else 2)

    in_time(over_after)


def test_a_deadline_that_has_passed_sends_nothing(run):
    with Wire(lambda _: pytest.fail("something was sent")) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            with pytest.raises(DeadlineExceeded):
                await adapter(ask(runtime, deadline=runtime.now() - 1))

        run(call)
        assert wire.connections == 0


def test_a_deadline_holds_while_the_reader_does_something_else(run):
    def held_after(seconds):
        with Wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
            adapter = OpenAIChat(base_url=wire.url)

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

            return run(call)

    in_time(held_after)


def test_a_read_timeout_is_unavailable_and_not_the_deadline(run):
    with Wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
        adapter = OpenAIChat(base_url=wire.url, timeouts=Timeouts(read=0.05))

        async def call(runtime):
            with pytest.raises(Unavailable, match="nothing came") as caught:
                await text(adapter, runtime, deadline=runtime.now() + 60)
            await close(adapter, runtime)
            return caught.value.retryable

        assert run(call)


def test_a_finished_stream_returns_its_connection_to_the_pool(run):
    with Wire(lambda r: sse(HELLO) if r.json.get("stream") else [reply(completion())]) as wire:
        adapter = OpenAIChat(base_url=wire.url)

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

        run(calls)
        assert wire.connections == 1
        assert wire.wait_until_closed()


def test_a_stream_that_goes_on_after_done_is_left(run):
    with Wire(lambda _: sse([*HELLO, UNTIL_CLOSED])) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            return await text(adapter, runtime), await runtime.run_blocking(wire.wait_until_closed)

        assert run(call) == ("Hello", True)
        adapter.close()


def test_a_stream_left_early_closes_its_connection_with_the_collector_off(run):
    with Wire(lambda _: sse([event(delta("a")), event(delta("b")), UNTIL_CLOSED])) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            await anext(response)
            await response.aclose()
            return await runtime.run_blocking(wire.wait_until_closed)

        gc.disable()
        try:
            assert run(call)
        finally:
            gc.enable()
        adapter.close()


def test_a_dropped_stream_closes_its_connection(run):
    with Wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            await anext(response)
            del response
            gc.collect()
            return await runtime.run_blocking(wire.wait_until_closed)

        assert run(call)
        adapter.close()


def test_closing_from_another_thread_wakes_a_blocked_reader():
    with Wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire, _direct(wire) as adapter:
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


@on_a_loop
def test_closing_from_another_task_wakes_a_waiting_reader(run):
    import anyio

    async def main(runtime):
        with Wire(lambda _: sse([event(delta("a")), UNTIL_CLOSED])) as wire:
            adapter = OpenAIChat(base_url=wire.url)
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

    run(main)


@on_a_loop
@pytest.mark.parametrize("script", [[UNTIL_CLOSED], [SSE_HEAD, UNTIL_CLOSED]], ids=["head", "body"])
def test_a_cancelled_call_closes_its_connection(run, script):
    import anyio

    async def main(runtime):
        with Wire(lambda _: script) as wire:
            adapter = OpenAIChat(base_url=wire.url)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(adapter, ask(runtime))
                await anyio.to_thread.run_sync(wire.arrived.wait)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            with anyio.fail_after(30):
                assert await anyio.to_thread.run_sync(wire.wait_until_closed)
            await adapter.aclose()

    run(main)


def test_an_adapter_serves_one_event_loop_after_another():
    with Wire(lambda _: sse(HELLO)) as wire:
        adapter = OpenAIChat(base_url=wire.url)
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


def test_the_pool_of_a_loop_that_was_just_closed_is_dropped():
    head, *rest = sse(HELLO)
    last = head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")  # no connection outlives its call
    with Wire(lambda _: [last, *rest, UNTIL_CLOSED]) as wire:
        adapter = OpenAIChat(base_url=wire.url)

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


def test_an_adapter_serves_many_threads_at_once():
    with Wire(lambda _: sse(HELLO)) as wire, _direct(wire) as adapter:
        told = []
        in_threads(lambda _: told.append(drive(text(adapter, DirectRuntime()))), range(8))
        assert told == ["Hello"] * 8


def test_a_forked_child_has_connections_of_its_own():
    with Wire(lambda _: sse(HELLO)) as wire:
        program = f"""
import os, sys, warnings
sys.path[:0] = {[p for p in sys.path if p]!r}
from chat_wire import ask
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.providers.openai_chat import OpenAIChat
adapter = OpenAIChat(base_url={wire.url!r})
def call():
    runtime = DirectRuntime()
    chunks = drive(drive(adapter(ask(runtime, deadline=runtime.now() + 30))).read())
    return "".join(chunk.text for chunk in chunks) == "Hello"
def stream():
    return drive(adapter(ask(DirectRuntime())))
assert call()
half = stream()
child = os.fork()
if child == 0:
    drive(half.aclose())
    os._exit(0 if call() and call() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert "".join(chunk.text for chunk in drive(half.read())) == "Hello"
assert call()
adapter.close()
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert wire.connections == 2  # the parent's and the child's


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


def test_an_adapter_that_is_dropped_closes_its_connections(run):
    with Wire(lambda _: sse(HELLO)) as wire:

        async def call(runtime):
            adapter = OpenAIChat(base_url=wire.url)
            told = await text(adapter, runtime)
            del adapter
            gc.collect()
            return told, await runtime.run_blocking(wire.wait_until_closed)

        assert run(call) == ("Hello", True)


@pytest.mark.parametrize("loop", ["", "portal=True"], ids=["direct", "portal"])
def test_a_program_that_ends_without_closing_its_client_is_told_of_no_open_socket(loop):
    with Wire(lambda _: [reply(completion("Hello"))]) as wire:
        program = f"""
import sys
sys.path[:0] = {[p for p in sys.path if p]!r}
from inferkit import Client, OpenAIChat
provider = OpenAIChat(base_url={wire.url!r})
llm = Client(models={{"m": "p:m"}}, providers={{"p": provider}}, cache=False, ledger=False, {loop})
assert llm.complete("m", "hi").text == "Hello"
"""
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_given_client_is_used_and_left_open(run, library):
    with Wire(lambda _: sse(HELLO)) as wire:

        async def call(runtime):
            kind = library.Client if runtime.blocking else library.AsyncClient
            client = kind(headers={"x-mine": "yes"}, timeout=library.Timeout(7, pool=None))
            adapter = OpenAIChat(base_url=wire.url, http_client=client)
            assert await text(adapter, runtime, deadline=runtime.now() + 30) == "Hello"
            wire.script = lambda _: [reply(b"", 307, location="http://127.0.0.1:9/")]
            with pytest.raises(InvalidRequest, match="redirect"):
                await text(adapter, runtime)
            wire.script = endless(SSE_HEAD, b": still here\n\n")
            with pytest.raises(DeadlineExceeded):
                await text(adapter, runtime, deadline=runtime.now() + 0.2)
            wire.script = lambda _: [CLOSE]
            with pytest.raises(Unavailable):
                await text(adapter, runtime)
            await close(adapter, runtime)
            assert not client.is_closed
            if runtime.blocking:
                client.close()
            else:
                await client.aclose()

        run(call)
        assert wire.requests[0].headers["x-mine"] == "yes"
        assert wire.requests[0].headers["accept-encoding"] == "identity"


def test_a_given_client_that_reads_replies_in_a_hook_works(run):
    with Wire(lambda _: sse(HELLO)) as wire:

        async def call(runtime):
            if runtime.blocking:
                with httpx.Client(event_hooks={"response": [lambda response: response.read()]}) as client:
                    return await text(OpenAIChat(base_url=wire.url, http_client=client), runtime)

            async def read(response):
                await response.aread()

            async with httpx.AsyncClient(event_hooks={"response": [read]}) as client:
                return await text(OpenAIChat(base_url=wire.url, http_client=client), runtime)

        assert run(call) == "Hello"


def test_a_client_of_the_wrong_kind_is_refused_with_what_to_pass(run):
    async def call(runtime):
        client = httpx.AsyncClient() if runtime.blocking else httpx.Client()
        with pytest.raises(ConfigurationError) as caught:
            await OpenAIChat(base_url="http://127.0.0.1:9", http_client=client)(ask(runtime))
        return runtime.blocking, str(caught.value)

    blocking, message = run(call)
    assert message.endswith("pass an httpx.Client" if blocking else "pass an httpx.AsyncClient")
    with pytest.raises(ConfigurationError, match="got dict"):
        OpenAIChat(http_client={})


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.PoolTimeout("secret"), Unavailable),
        (httpx.WriteTimeout("secret"), Unavailable),
        (httpx2.ConnectTimeout("secret"), Unavailable),
        (httpx.LocalProtocolError("secret"), ConfigurationError),
        (ConnectionResetError("secret"), Unavailable),
        (Unavailable("mine", provider="p"), Unavailable),
        (ZeroDivisionError("mine"), ZeroDivisionError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_what_a_transport_raises_is_typed_unless_it_is_the_applications_own(raised, expected):
    def send(_):
        raise raised

    with httpx.Client(transport=httpx.MockTransport(send)) as client:
        adapter = OpenAIChat(base_url="http://127.0.0.1:1", http_client=client)
        with pytest.raises(expected) as caught:
            drive(adapter(ask(DirectRuntime())))
    assert "secret" not in str(caught.value)
    if "mine" in str(raised):
        assert caught.value is raised


def test_a_reply_without_a_socket_can_be_closed_and_read():
    content = b"".join(HELLO)
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    )
    with httpx.Client(transport=transport) as client:
        adapter = OpenAIChat(base_url="http://127.0.0.1:1", http_client=client)
        runtime = DirectRuntime()
        assert drive(text(adapter, runtime, deadline=runtime.now() + 30)) == "Hello"
        response = drive(adapter(ask(runtime)))
        drive(response.aclose())


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


def test_the_thread_that_keeps_deadlines_ends_when_nothing_runs(monkeypatch):
    monkeypatch.setattr(scheduler, "_IDLE_SECONDS", 0.05)
    with Wire(lambda _: sse(HELLO)) as wire, _direct(wire) as adapter:
        runtime = DirectRuntime()
        for _ in range(2):
            assert drive(text(adapter, runtime, deadline=runtime.now() + 30)) == "Hello"
            for thread in threading.enumerate():
                if thread.name == "inferkit-scheduler":
                    thread.join(30)
                    assert not thread.is_alive()


def test_nobody_listening_is_unavailable_and_cannot_have_been_billed(run):
    async def call(runtime):
        adapter = OpenAIChat(base_url="http://127.0.0.1:1/v1")
        with pytest.raises(Unavailable, match="cannot connect") as caught:
            await adapter(ask(runtime, deadline=runtime.now() + 30))
        await close(adapter, runtime)
        return caught.value.retryable, caught.value.code

    assert run(call) == (True, "connect")


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


def test_proxies_of_the_environment_are_used(run, monkeypatch):
    with Wire(lambda _: sse(HELLO)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        adapter = OpenAIChat(base_url="http://model.invalid/v1")

        async def call(runtime):
            try:
                return await text(adapter, runtime)
            finally:
                await close(adapter, runtime)

        assert run(call) == "Hello"
        assert proxy.requests[0].line == "POST http://model.invalid/v1/chat/completions HTTP/1.1"


def test_a_compressed_reply_is_unpacked_even_if_it_was_not_asked_for(run):
    whole = b"".join(HELLO)
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(whole),
        "deflate": zlib.compress(whole),
        "Deflate ": raw.compress(whole) + raw.flush(),
    }
    for encoding, body in packed.items():
        with Wire(lambda _: [reply(body, content_type="text/event-stream", content_encoding=encoding)]) as wire:  # noqa: B023
            adapter = OpenAIChat(base_url=wire.url)

            async def call(runtime):
                try:
                    return await text(adapter, runtime)  # noqa: B023
                finally:
                    await close(adapter, runtime)  # noqa: B023

            assert run(call) == "Hello"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(b"".join(HELLO[:1]) * 9)[:-12]), ("gzip", b"no gzip at all"), ("br", b"\x0b\x02")],
    ids=["cut", "damaged", "unknown"],
)
def test_a_compressed_reply_that_cannot_be_unpacked_is_an_error(run, encoding, body):
    with Wire(lambda _: [reply(body, content_type="text/event-stream", content_encoding=encoding)]) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            with pytest.raises(Unavailable, match="compressed"):
                await text(adapter, runtime)
            await close(adapter, runtime)

        run(call)


def bomb():
    """300 MB of blanks, in 300 kB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join([*(packer.compress(b" " * 1_000_000) for _ in range(300)), packer.flush()])


HOSTILE = {
    "error body": lambda: [b"HTTP/1.1 500 X\r\n\r\n", *([b"x" * 1_000_000] * 300), CLOSE],
    "error bomb": lambda: [reply(bomb(), 500, content_encoding="gzip")],
    "whole": lambda: [b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n\r\n", *([b" " * 1_000_000] * 300), CLOSE],
    "whole bomb": lambda: [reply(bomb(), content_type="application/json", content_encoding="gzip")],
    "endless line": lambda: [SSE_HEAD, b"data: ", *([b"x" * 1_000_000] * 300), CLOSE],
    "line bomb": lambda: [reply(bomb(), content_type="text/event-stream", content_encoding="gzip")],
    "endless head": lambda: [b"HTTP/1.1 200 X\r\nx: ", *([b"x" * 1_000_000] * 300), CLOSE],
    "endless chunk size": lambda: [
        b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n",
        *([b"0" * 1_000_000] * 300),
    ],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_reply_takes_little_memory(kind):
    steps = HOSTILE[kind]()
    with Wire(lambda _: steps) as wire:
        program = f"""
import resource, sys
sys.path[:0] = {[p for p in sys.path if p]!r}
from chat_wire import ask
from inferkit.core.errors import Unavailable
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.providers.openai_chat import OpenAIChat
adapter = OpenAIChat(base_url={wire.url!r})
def call():
    try:
        drive(drive(adapter(ask(DirectRuntime()))).read())
    except Unavailable:
        return
    raise SystemExit("no error")
try:
    drive(OpenAIChat(base_url="http://127.0.0.1:1")(ask(DirectRuntime())))
except Unavailable:
    pass  # everything is imported
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
call()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
adapter.close()
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 64_000  # kilobytes


@on_a_loop
def test_a_deadline_between_two_reads_leaves_no_generator_to_the_garbage_collector(run):

    async def main(runtime):
        with Wire(lambda _: sse([*HELLO, UNTIL_CLOSED])) as wire:
            transport = HttpxTransport()
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
        return {each for each in gc.get_objects() if isinstance(each, types.AsyncGeneratorType) and each.ag_frame}

    before = running()
    assert run(main) == set()


class _direct:  # noqa: N801 - reads as a function
    """An adapter for blocking calls, closed at the end."""

    def __init__(self, wire):
        self.adapter = OpenAIChat(base_url=wire.url)

    def __enter__(self):
        return self.adapter

    def __exit__(self, *_):
        self.adapter.close()
