"""How long a reply is waited for with the settings that nobody changed: as long as models think, and not for ever.

On event loops it is the loop's clock that goes ahead, so that no test waits; a thread waits with its socket's timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import anyio
import pytest
import trio
import trio.testing

from chat_wire import completion, delta
from inferkit import AsyncClient, Client
from inferkit.core.errors import StreamInterrupted, Unavailable
from ways import in_threads_alone, on_loops
from wire import UNTIL_CLOSED, event, reply, sse

MINUTES = [70, 500]  # the second time from the first
TOO_LONG = 40  # more


def on_a_clock_that_goes_ahead(place, body):
    """Run a body, which is given what moves the loop's clock ahead."""
    if place == "trio":
        clock = trio.testing.MockClock()
        return trio.run(body, clock.jump, clock=clock)

    async def main():
        loop = asyncio.get_running_loop()
        real, ahead = loop.time, []
        loop.time = lambda: real() + sum(ahead)
        return await body(ahead.append)

    return asyncio.run(main())


async def settled():
    """Let timers run that are due, and what they wake."""
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()


@contextlib.contextmanager
def set_afterwards(event):
    """Have the server go on, whatever fails."""
    try:
        yield
    finally:
        event.set()


def asking(way, wire, kind, **settings):
    adapter = way.adapter(wire.url)
    return adapter, kind(providers={"p": adapter}, models={"m": "p:m"}, ledger=False, cache=False, **settings)


@on_loops
@pytest.mark.parametrize("too_long", [False, True])
def test_a_whole_reply_that_comes_after_minutes_is_waited_for_and_one_that_never_comes_is_not(way, too_long):
    go = threading.Event()

    def script(_):
        yield go
        yield reply(completion("Hello"))

    async def main(move_ahead):
        with way.wire(script) as wire, set_afterwards(go):
            adapter, llm = asking(way, wire, AsyncClient, max_retries=0)
            ended = []

            async def call():
                try:
                    ended.append(await llm.complete("m", "hi"))
                except Unavailable as error:
                    ended.append(error)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await anyio.to_thread.run_sync(wire.arrived.wait)
                await settled()
                for seconds in MINUTES + [TOO_LONG] * too_long:
                    assert ended == []
                    move_ahead(seconds)
                    await settled()
                assert bool(ended) is too_long
                go.set()
            await llm.aclose()
            await adapter.aclose()
        return ended[0], len(wire.requests)

    ended, requests = on_a_clock_that_goes_ahead(way.place, main)
    assert requests == 1
    if too_long:
        assert "nothing came from it in time" in str(ended)
    else:
        assert (ended.text, len(ended.attempts)) == ("Hello", 1)


@on_loops
@pytest.mark.parametrize("too_long", [False, True])
def test_a_stream_may_pause_for_five_minutes_and_no_longer(way, too_long):
    go = threading.Event()

    def script(_):
        last = [event(delta("lo", finish="stop")), event("[DONE]")]
        return sse([event(delta("Hel")), *([UNTIL_CLOSED] if too_long else [go, *last])])

    async def main(move_ahead):
        with way.wire(script) as wire, set_afterwards(go):
            adapter, llm = asking(way, wire, AsyncClient)
            texts, failed = [], []
            first = anyio.Event()

            async def call():
                try:
                    async with llm.stream("m", "hi") as chunks:
                        async for chunk in chunks:
                            texts.append(chunk.text)
                            first.set()
                except StreamInterrupted as error:
                    failed.append(error)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await first.wait()
                await settled()
                for seconds in [290] + [20] * too_long:
                    assert failed == []
                    move_ahead(seconds)
                    await settled()
                go.set()
            await llm.aclose()
            await adapter.aclose()
        return "".join(texts), failed

    text, failed = on_a_clock_that_goes_ahead(way.place, main)
    assert text == ("Hel" if too_long else "Hello")
    assert [error.partial for error in failed] == ["Hel"] * too_long


@in_threads_alone
def test_a_thread_waits_ten_minutes_for_a_reply_and_five_for_more_of_a_stream(way, monkeypatch):
    waits = []
    settimeout = socket.socket.settimeout

    def noted(self, seconds):
        if seconds is not None:  # as the server's own are
            waits.append(seconds)
        settimeout(self, seconds)

    rest = threading.Event()
    script = [event(delta("Hel")), rest, event(delta("lo", finish="stop")), event("[DONE]")]
    with way.wire(lambda _: sse(script)) as wire, set_afterwards(rest):
        monkeypatch.setattr(socket.socket, "settimeout", noted)
        adapter, llm = asking(way, wire, Client)
        with llm.stream("m", "hi") as chunks:
            texts = [next(chunks).text]
            rest.set()
            texts.extend(chunk.text for chunk in chunks)
        assert "".join(texts) == "Hello"
        wire.script = lambda _: [reply(completion("Hello"))]
        streamed = [waits.pop(0) for _ in list(waits)]
        assert llm.complete("m", "hi").text == "Hello"
        llm.close()
        adapter.close()
    first = streamed.index(600)
    assert set(streamed[first + 1 :]) == {300}
    assert 600 in waits
    assert 300 not in waits
