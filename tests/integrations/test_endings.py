"""Streams under an SDK come piece by piece, and however they are left, they are closed and settled once."""

from __future__ import annotations

import asyncio
import gc
import threading

import anyio
import pytest

import four_wires
from chat_wire import delta
from inferkit import AsyncClient, Budget, Client, Price
from inferkit.testing import settled
from integrations.faces import FACES
from wire import SSE_HEAD, Wire, chunked, event

each_face = pytest.mark.parametrize("face", FACES, ids=str)
PRICES = {"on_unpriced": Price(input=1, output=10)}


def settings(tmp_path):
    return {"cache": False, "ledger": tmp_path / "ledger.db", "budget": BUDGET, **PRICES}


BUDGET = Budget(usd="1", per="month", name="all")


def left(face, tmp_path, leave, **more):
    """Have a stream left in its middle, and give what was spent and held afterwards."""
    server = Wire(lambda received: four_wires.answer(face.name, received, "Hello there, and so on.", half=True))
    with server as wire, Client(**settings(tmp_path)) as llm:
        leave(face.call(face.under(wire.url, llm, **more), "Hi", "m-1", True, {}))
        assert wire.wait_until_closed()
        settled()
        return BUDGET.usage(ledger=llm.ledger)


def by_close(stream):
    with stream:
        next(iter(stream))


def by_break(stream):
    for _ in stream:
        break
    del stream
    gc.collect()


def by_error(stream):
    with pytest.raises(ZeroDivisionError), stream:
        for _ in stream:
            1 / 0  # noqa: B018


@pytest.mark.parametrize("leave", [by_close, by_break, by_error])
@pytest.mark.parametrize("face", FACES[:3], ids=str)
def test_a_stream_that_is_left_is_closed_and_settled(face, leave, tmp_path):
    usage = left(face, tmp_path, leave)
    assert (usage.calls, usage.held_calls) == (1, 0)
    assert usage.usd > 0


def closed(stream):
    next(stream)
    stream.close()


@pytest.mark.parametrize("leave", [closed, by_break])
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_googles_stream_too_which_never_closes_its_response_itself(library, leave, tmp_path):
    usage = left(FACES[3], tmp_path, leave, library=library)
    assert (usage.calls, usage.held_calls) == (1, 0)


@each_face
def test_a_task_that_is_cancelled_ends_its_stream(face, tmp_path):
    async def body(url):
        async with AsyncClient(**settings(tmp_path)) as llm:
            sdk = face.under(url, llm, is_async=True)
            begun = asyncio.Event()

            async def read():
                async for _ in await face.call(sdk, "Hi", "m-1", True, {}):
                    begun.set()

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            del task
            gc.collect()
            await anyio.to_thread.run_sync(wire.wait_until_closed)
            await anyio.to_thread.run_sync(settled)
            return BUDGET.usage(ledger=llm.ledger)

    with Wire(lambda received: four_wires.answer(face.name, received, "Hello there, and so on.", half=True)) as wire:
        usage = asyncio.run(body(wire.url))
    assert (usage.calls, usage.held_calls) == (1, 0)


@each_face
def test_a_task_that_is_cancelled_before_the_reply_leaves_nothing(face, tmp_path):
    held = threading.Event()

    async def body(url):
        async with AsyncClient(**settings(tmp_path)) as llm:
            sdk = face.under(url, llm, is_async=True)
            task = asyncio.create_task(face.ask_async(sdk))
            await anyio.to_thread.run_sync(wire.arrived.wait)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await anyio.to_thread.run_sync(settled)
            return BUDGET.usage(ledger=llm.ledger)

    try:
        with Wire(lambda _: [held]) as wire:
            usage = asyncio.run(body(wire.url))
            held.set()
    finally:
        held.set()
    assert usage.held_calls == 0


def test_pieces_come_as_they_are_sent():
    gates = [threading.Event() for _ in range(3)]

    def script(_):
        yield SSE_HEAD
        for place, gate in enumerate(tuple(gates)):
            yield chunked(event(delta(f"piece {place}")))
            yield gate
        yield chunked(event(delta(finish="stop")) + event("[DONE]"))
        yield chunked(b"")

    with Wire(script) as wire, Client(cache=False, ledger=False) as llm:
        for chunk in FACES[0].call(FACES[0].under(wire.url, llm), "Hi", "m", True, {}):
            if chunk.choices and chunk.choices[0].delta.content:
                gates.pop(0).set()  # what comes next was not sent before
    assert not gates


def test_a_stream_is_settled_before_its_reader_sees_the_end(tmp_path):
    server = Wire(lambda received: four_wires.answer("chat", received, "Hello."))
    with server as wire, Client(**settings(tmp_path)) as llm:
        chat = FACES[0].under(wire.url, llm).chat.completions.with_raw_response
        raw = chat.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True)
        for piece in raw.http_response.iter_raw():
            if b"[DONE]" in piece:
                usage = BUDGET.usage(ledger=llm.ledger)
    assert (usage.calls, usage.held_calls) == (1, 0)
