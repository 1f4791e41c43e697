"""A connection that a pool is about to close is not closed under a call that has begun to ask over it meanwhile."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import httpcore
import pytest
from httpcore._async import http11
from httpcore._backends.sync import SyncStream

from chat_wire import HELLO
from inferkit import Message
from inferkit.runtime.direct import DirectRuntime, drive
from ways import close, in_threads_alone, over_httpx_on_loops, text
from wire import sse
from worlds import Signal

HANG_SECONDS = 30  # a guard; no test waits this long


@pytest.fixture
def begun_late(monkeypatch):
    """Have calls of a kind of connection wait for a step of the test's before they begin to ask over one."""

    def begin(kind, method, step):
        known = getattr(kind, method)
        monkeypatch.setattr(kind, method, lambda self, request: step(lambda: known(self, request)))

    return begin


@in_threads_alone
def test_one_that_seems_closed_by_the_server_is_left_to_the_thread_that_is_being_answered(way, monkeypatch, begun_late):
    """One thread looks whether there is something to read, when another has just asked: it is that one's answer."""
    given, looking, answered, over = (threading.Event() for _ in range(4))
    found = []

    def script(request):
        yield from sse(HELLO)
        if request.json["messages"][0]["content"] == "slow":
            answered.set()

    def is_slow():
        return threading.current_thread().name == "slow"

    def begin(send):
        if is_slow():
            given.set()
            assert looking.wait(HANG_SECONDS)
        return send()

    def look(stream, info, known=SyncStream.get_extra_info):
        if info == "is_readable" and given.is_set() and not looking.is_set():
            looking.set()
            assert answered.wait(HANG_SECONDS)
        return known(stream, info)

    def read(stream, most, timeout=None, known=SyncStream.read):
        if is_slow():
            assert over.wait(HANG_SECONDS)
        return known(stream, most, timeout)

    def call(question):
        found.append(drive(text(adapter, DirectRuntime(), Message.user(question))))

    slow = threading.Thread(target=call, args=("slow",), name="slow")
    begun_late(httpcore.HTTPConnection, "handle_request", begin)
    monkeypatch.setattr(SyncStream, "get_extra_info", look)
    monkeypatch.setattr(SyncStream, "read", read)
    with way.wire(script) as wire:
        adapter = way.adapter(wire.url)
        call("first")
        slow.start()
        assert given.wait(HANG_SECONDS)
        call("other")
        over.set()
        slow.join(HANG_SECONDS)
        drive(close(adapter, DirectRuntime()))
        assert found == ["Hello"] * 3
        assert (len(wire.requests), wire.connections) == (3, 2)


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
