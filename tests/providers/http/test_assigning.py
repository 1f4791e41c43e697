"""A connection is one call's from the moment at which a pool gives it to that, and pools look at few of them."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace

import httpcore
import pytest
from httpcore._async import http11
from httpcore._backends.anyio import AnyIOStream
from httpcore._backends.sync import SyncStream
from httpcore._backends.trio import TrioStream

from chat_wire import HELLO
from inferkit import Message
from inferkit.providers.http import assigning
from inferkit.runtime.direct import DirectRuntime, drive
from ways import close, in_threads_alone, over_httpx, over_httpx_on_loops, text
from wire import CLOSE, sse
from worlds import Signal

HANG_SECONDS = 30  # a guard; no test waits this long


@pytest.fixture
def begun_late(monkeypatch):
    """Have calls of a kind of connection wait for a step of the test's before they begin to ask over one."""

    def begin(kind, method, step):
        known = getattr(kind, method)
        monkeypatch.setattr(kind, method, lambda self, request: step(lambda: known(self, request)))

    return begin


@pytest.mark.parametrize("http2", [False, True], ids=["", "http2"])
@in_threads_alone
def test_one_that_was_given_to_a_call_is_not_closed_for_another(way, http2, monkeypatch, begun_late):
    """There is something to read on it, as where the server has closed it: the answer to what was asked just now."""
    given, begins = threading.Event(), threading.Event()
    found = []

    def begin(send):
        if threading.current_thread().name == "slow":
            given.set()
            assert begins.wait(HANG_SECONDS)
        return send()

    def look(stream, info, known=SyncStream.get_extra_info):
        if info == "is_readable" and given.is_set():
            return True
        return known(stream, info)

    def call(question):
        found.append(drive(text(adapter, DirectRuntime(), Message.user(question))))

    slow = threading.Thread(target=call, args=("slow",), name="slow")
    begun_late(httpcore.HTTPConnection, "handle_request", begin)
    monkeypatch.setattr(SyncStream, "get_extra_info", look)
    with way.wire(lambda _: sse(HELLO)) as wire:
        adapter = way.adapter(wire.url, http={"http2": http2})
        call("first")
        slow.start()
        assert given.wait(HANG_SECONDS)
        call("other")
        begins.set()
        slow.join(HANG_SECONDS)
        drive(close(adapter, DirectRuntime()))
        assert found == ["Hello"] * 3
        assert (len(wire.requests), wire.connections) == (3, 2)


@over_httpx
def test_calls_side_by_side_each_ask_once_and_keep_their_connections(way, monkeypatch):
    tries = counted(way, monkeypatch)

    async def main(runtime):
        adapter = way.adapter(wire.url)
        for _ in range(3):
            await runtime.side_by_side([lambda: text(adapter, runtime)] * 24, 24)
        await close(adapter, runtime)

    with way.wire(all_at_once(24)) as wire:
        way(main)
        assert (len(wire.requests), len(tries), wire.connections) == (72, 72, 24)


@over_httpx
def test_of_those_that_wait_a_call_looks_at_the_one_that_it_gets(way, monkeypatch):
    monkeypatch.setattr(assigning, "clock", SimpleNamespace(now=lambda: 1000.0))
    stream = {"asyncio": AnyIOStream, "trio": TrioStream, "direct": SyncStream}[way.place]
    looked = []

    def look(self, info, known=stream.get_extra_info):
        if info == "is_readable":
            looked.append(self)
        return known(self, info)

    monkeypatch.setattr(stream, "get_extra_info", look)

    async def main(runtime):
        adapter = way.adapter(wire.url)
        await runtime.side_by_side([lambda: text(adapter, runtime)] * 12, 12)
        looked.clear()
        assert await text(adapter, runtime) == "Hello"
        assert len(looked) == 1
        await close(adapter, runtime)

    with way.wire(all_at_once(12, once=True)) as wire:
        way(main)
        assert wire.connections == 12


@over_httpx
def test_more_than_may_wait_are_closed_as_calls_end(way):
    async def main(runtime):
        adapter = way.adapter(wire.url, http={"max_idle_connections": 2})
        await runtime.side_by_side([lambda: text(adapter, runtime)] * 6, 6)
        assert wire.wait_until_closed(4)
        assert await text(adapter, runtime) == "Hello"
        assert (wire.connections, wire.closed) == (6, 4)
        await close(adapter, runtime)

    with way.wire(all_at_once(6, once=True)) as wire:
        way(main)


@over_httpx
def test_calls_wait_where_all_that_may_be_open_are_taken(way):
    async def main(runtime):
        adapter = way.adapter(wire.url, http={"max_connections": 2})
        await runtime.side_by_side([lambda: text(adapter, runtime)] * 7, 7)
        await close(adapter, runtime)

    with way.wire(lambda _: sse(HELLO)) as wire:
        way(main)
        assert (len(wire.requests), wire.connections) == (7, 2)


@over_httpx
def test_one_that_waits_makes_room_for_another_server(way):
    async def main(runtime):
        adapters = [way.adapter(each.url, http={"max_connections": 1}) for each in (one, other)]
        shared = adapters[0].transport
        adapters[1].transport = shared
        found = [await text(adapter, runtime) for adapter in (*adapters, *adapters)]
        await shared.aclose(runtime)
        return found

    with way.wire(lambda _: sse(HELLO)) as one, way.wire(lambda _: sse(HELLO)) as other:
        assert way(main) == ["Hello"] * 4
        assert (one.connections, other.connections) == (2, 2)


@over_httpx
def test_one_that_the_server_closed_is_not_used_again(way):
    async def main(runtime):
        adapter = way.adapter(wire.url)
        assert await text(adapter, runtime) == "Hello"
        assert wire.wait_until_closed(1)
        assert await text(adapter, runtime) == "Hello"
        await close(adapter, runtime)

    with way.wire(lambda _: [*sse(HELLO), CLOSE]) as wire:
        way(main)
        assert len(wire.requests) == 2


def all_at_once(count, *, once=False):
    """Answer when so many have asked: each time, or the first time alone."""
    barrier = threading.Barrier(count)
    asked = itertools.count()

    def script(_):
        if not once or next(asked) < count:
            barrier.wait(HANG_SECONDS)
        yield from sse(HELLO)

    return script


def counted(way, monkeypatch):
    """Count how often calls try to ask over a connection."""
    kind, method = (
        (httpcore.HTTPConnection, "handle_request")
        if way.blocking
        else (httpcore.AsyncHTTPConnection, "handle_async_request")
    )
    known, tries = getattr(kind, method), []

    def ask(self, request):
        tries.append(self)
        return known(self, request)

    monkeypatch.setattr(kind, method, ask)
    return tries


@over_httpx_on_loops
def test_one_whose_time_is_up_takes_no_call_any_more_while_another_one_is_closed(way, monkeypatch, begun_late):
    now, given, begins, begun, closed = [1000.0], Signal(), Signal(), Signal(), threading.Event()
    late, closing, found = [], [], []

    async def begin(send):
        if late:
            late.clear()
            given.set()
            await begins.wait()
            try:
                return await send()
            finally:
                begun.set()
        return await send()

    async def aclose(self, known=http11.AsyncHTTP11Connection.aclose):
        if now[0] > 1000.0 and not closing:
            closing.append(self)
            begins.set()
            await begun.wait()
        await known(self)
        if self in closing:
            closed.set()

    begun_late(httpcore.AsyncHTTPConnection, "handle_async_request", begin)
    monkeypatch.setattr(http11.AsyncHTTP11Connection, "aclose", aclose)
    monkeypatch.setattr(http11, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def main(runtime):
        adapter = way.adapter(wire.url)
        both = [lambda: text(adapter, runtime)] * 2
        await runtime.side_by_side(both, 2)

        async def slow():
            late.append(True)
            found.append(await text(adapter, runtime, Message.user("slow")))

        async def other():
            await given.wait()
            now[0] += 3600
            found.append(await text(adapter, runtime))

        await runtime.side_by_side([slow, other], 2)
        await close(adapter, runtime)
        return found

    def script(request):
        pause = [closed] if request.json["messages"][0]["content"] == "slow" else []
        return sse([HELLO[0], *pause, *HELLO[1:]])

    with way.wire(script) as wire:
        assert way(main) == ["Hello"] * 2
        assert len(wire.requests) == 4
