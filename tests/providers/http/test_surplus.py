"""A server that sends more than its reply: nobody is given the rest, whatever client it is and whenever it comes."""

from __future__ import annotations

import contextlib
import threading

import httpx
import httpx2
import pytest

from chat_wire import USAGE_EVENT, ask, completion, delta
from inferkit.core.errors import Unavailable
from inferkit.core.messages import Message
from inferkit.providers.openai_chat import OpenAIChat
from ways import close, over_httpx, text
from wire import SSE_HEAD, chunked, event, reply

CALLS = 200
FORGED = reply(completion("somebody else's"))
FORGED_STREAM = SSE_HEAD + chunked(event(delta("somebody else's", finish="stop")) + event("[DONE]")) + chunked(b"")
LATE = object()
SURPLUS = [
    [FORGED],
    [FORGED_STREAM],
    [b"\r\n" + FORGED],
    [b"HTTP/1.1 20"],
    [b"and so on"],
    [LATE, FORGED],
    [LATE, b"HTTP/1.1 20"],
    [LATE, b"\r\n"],
]
RECORD = 16 * 1024  # what TLS sends at a time
PACKED = RECORD + 22  # what it comes to on the way, in TLS 1.3
READ = 64 * 1024  # what httpcore reads at a time


def padded(text, size):
    """A whole reply of that many bytes, so that what follows it is another record, or another read."""
    body = completion(text)
    missing = size - len(reply({**body, "padding": "x" * size}))
    whole = reply({**body, "padding": "x" * (size + missing)})
    assert len(whole) == size
    return whole


def answer(text, number, *, stream):
    if stream:
        return (
            SSE_HEAD + chunked(event(delta(text, finish="stop")) + event(USAGE_EVENT) + event("[DONE]")) + chunked(b"")
        )
    return [reply(completion(text)), padded(text, RECORD), padded(text, READ)][number % 3]


class Polluter:
    """A script of `Wire`: answers with the question, and with more. `arrived` waits until a call's surplus is out."""

    def __init__(self):
        self._gates = [threading.Event() for _ in range(CALLS)]
        self._sent = [threading.Event() for _ in range(CALLS)]

    def __call__(self, request):
        text = request.json["messages"][-1]["content"]
        number = int(text)
        surplus = SURPLUS[number // 6 % len(SURPLUS)]
        first = answer(text, number, stream=bool(request.json.get("stream")))
        try:
            if surplus[0] is LATE:
                yield first
                yield self._gates[number]
                yield surplus[1]
            else:
                yield first + surplus[0]
        finally:
            self._sent[number].set()

    def arrived(self, number):
        self._gates[number].set()
        assert self._sent[number].wait(30)


async def foreign_replies(adapter, polluter, runtime):
    """Make the calls one after another; give the replies that were not to the question, and how many came."""
    came, foreign = 0, []
    for number in range(CALLS):
        try:
            response = await adapter(ask(runtime, Message.user(str(number)), stream=number % 2 == 0))
            told = "".join(chunk.text for chunk in await response.read())
        except Unavailable:
            continue  # it is a broken server, after all
        finally:
            await runtime.run_blocking(polluter.arrived, number)
        came += 1
        if told != str(number):
            foreign.append(told)
    return came, foreign


def test_what_follows_a_reply_is_never_the_next_calls(way):
    polluter = Polluter()
    with way.wire(polluter) as wire:
        adapter = way.adapter(wire.url)

        async def calls(runtime):
            found = await foreign_replies(adapter, polluter, runtime)
            await close(adapter, runtime)
            return found

        came, foreign = way(calls)
        assert foreign == []
        # aiohttp gives up a reply that rubbish follows at once, which is safe too
        assert came == CALLS if way.library == "httpx" else came > CALLS // 2


@pytest.mark.parametrize(
    "size",
    [RECORD, READ, READ - 4 * (PACKED - RECORD)],
    ids=["a record", "a read", "a read on the way"],
)
@pytest.mark.parametrize("surplus", [FORGED, b"HTTP/1.1 20", b"x"], ids=["forged", "half", "a byte"])
def test_nor_where_it_is_all_that_is_left_of_what_was_received(way, size, surplus):
    """The reply ends where a read does, and all had come before it was read: the parser never sees the rest."""
    go, sent = threading.Event(), threading.Event()

    def script(_):
        if len(wire.requests) == 1:
            yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % size
            yield go
            yield b"x" * size
            yield surplus
            sent.set()
        else:
            yield reply(completion("mine"))

    with way.wire(script) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            exchange = await adapter.transport.post(wire.url, {}, b"{}", provider="acme", runtime=runtime)
            go.set()
            assert await runtime.run_blocking(sent.wait, 30)
            got = 0
            with contextlib.suppress(Unavailable):  # aiohttp may give up the reply that rubbish follows
                while piece := await exchange.read():
                    got += len(piece)
            await exchange.aclose()
            told = await text(adapter, runtime, stream=False)
            await close(adapter, runtime)
            return got, told

        got, told = way(call)
        assert told == "mine"
        assert got == size or way.library == "aiohttp"
        assert wire.connections == 2


@over_httpx
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_nor_where_the_client_is_the_applications(way, library):
    polluter = Polluter()
    with way.wire(polluter) as wire:

        async def calls(runtime):
            if runtime.blocking:
                with library.Client(**way.trust) as client:
                    adapter = OpenAIChat(base_url=wire.url, http_client=client)
                    return await foreign_replies(adapter, polluter, runtime)
            async with library.AsyncClient(**way.trust) as client:
                adapter = OpenAIChat(base_url=wire.url, http_client=client)
                return await foreign_replies(adapter, polluter, runtime)

        assert way(calls) == (CALLS, [])
