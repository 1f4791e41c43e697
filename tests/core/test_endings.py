"""However a stream ends, everything that hangs on its end happens exactly once, and nothing stays open."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import threading

import anyio
import anyio.lowlevel
import pytest

from chat_wire import delta
from inferkit import Chunk, Client, DeadlineExceeded, OpenAIChat, StreamError, StreamInterrupted, Unavailable
from inferkit.runtime import clock
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, settled
from wire import UNTIL_CLOSED, Wire, event, sse
from worlds import Gate, closing, in_time, world_on_a_loop


class Probe:
    """A layer that counts how often, and how, its streams end."""

    def __init__(self):
        self.outcomes = []

    async def __call__(self, request, call_next):
        response = await call_next(request)
        return response.map(on_close=lambda end: self.outcomes.append(end.outcome))


class SlowProbe(Probe):
    """The same with a body of its own, which awaits when it closes."""

    async def __call__(self, request, call_next):
        response = await call_next(request)

        async def pass_on():
            async for chunk in response:
                yield chunk

        async def on_close(end):
            self.outcomes.append(end.outcome)

        return response.through(pass_on(), on_close=on_close)


def setup(world, *script, probes=(), **settings):
    provider = FakeProvider(list(script))
    probes = list(probes) or [Probe(), SlowProbe()]
    client = world.client(providers={"fake": provider}, models={"any": "fake:model"}, layers=probes, **settings)
    return client, provider, probes


def check(provider, probes, outcome):
    settled()
    assert provider.open_streams == 0
    assert [probe.outcomes for probe in probes] == [[outcome], [outcome]]


async def until_closed(world, provider):
    """Wait until the place that a dropped stream belongs to has come round to closing it."""
    nothing, until = threading.Event(), clock.now() + 30
    while provider.open_streams and clock.now() < until:
        settled()
        if world.is_async:
            await anyio.lowlevel.checkpoint()
        else:
            nothing.wait(0.001)


def test_a_stream_that_is_read_to_its_end_ends_completed(world):
    async def body(world):
        client, provider, probes = setup(world, "a", "b")
        async with client.stream("any", "hi") as reply:
            texts = [chunk.text async for chunk in reply]
        assert texts == ["a", "b", ""]
        assert reply.reply.text == "ab"
        check(provider, probes, "completed")
        await client.aclose()

    world.run(body)


def test_leaving_the_loop_closes_the_stream(world):
    async def body(world):
        client, provider, probes = setup(world, "a", "b", "c")
        async with client.stream("any", "hi") as reply:
            async for _ in reply:
                break
        check(provider, probes, "closed")
        await client.aclose()

    world.run(body)


def test_an_error_of_the_consumer_closes_the_stream(world):
    async def body(world):
        client, provider, probes = setup(world, "a", "b", "c")
        with pytest.raises(KeyError):
            async with client.stream("any", "hi") as reply:
                async for _ in reply:
                    raise KeyError
        check(provider, probes, "closed")
        await client.aclose()

    world.run(body)


def test_a_stream_that_is_never_read_is_closed(world):
    async def body(world):
        client, provider, probes = setup(world, "a", "b", "c")
        async with client.stream("any", "hi"):
            pass
        check(provider, probes, "closed")
        await client.aclose()

    world.run(body)


def test_a_failure_in_mid_stream_is_told_with_what_had_come(world):
    async def body(world):
        client, provider, probes = setup(world, "a", "b", Unavailable("gone", provider="fake"))
        with pytest.raises(StreamInterrupted) as caught:
            async with client.stream("any", "hi") as reply:
                async for _ in reply:
                    pass
        assert caught.value.partial == "ab"
        assert caught.value.request_id
        assert [attempt.outcome for attempt in caught.value.attempts] == ["error"]
        check(provider, probes, "error")
        await client.aclose()

    world.run(body)


def test_closing_twice_is_closing_once(world):
    async def body(world):
        client, provider, probes = setup(world, "a", "b", "c")
        reply = client.stream("any", "hi")
        assert (await reply.__anext__()).text == "a"
        await reply.aclose()
        await reply.aclose()
        check(provider, probes, "closed")
        with pytest.raises(StreamError, match="closed"):
            await reply.__anext__()
        await client.aclose()

    world.run(body)


@pytest.mark.parametrize("read", [0, 1])
def test_a_stream_that_is_dropped_is_ended_without_the_garbage_collector(world, read):
    async def body(world):
        client, provider, probes = setup(world, "a", "b", "c")
        reply = client.stream("any", "hi")
        await reply.__aenter__()
        for _ in range(read):
            await reply.__anext__()
        del reply
        await until_closed(world, provider)
        check(provider, probes, "abandoned")
        await client.aclose()

    gc.collect()
    gc.disable()
    try:
        world.run(body)
    finally:
        gc.enable()


def test_a_stream_in_a_reference_cycle_is_ended_by_the_garbage_collector(world):
    async def body(world):
        # trio itself warns about async generators that the collector finds, so none here
        client, provider, probes = setup(world, "a", "b", "c", probes=[Probe(), Probe()])
        reply = client.stream("any", "hi")
        await reply.__anext__()
        cycle = [reply]
        cycle.append(cycle)
        del reply, cycle
        gc.collect()
        await until_closed(world, provider)
        check(provider, probes, "abandoned")
        await client.aclose()

    world.run(body)


def test_a_stream_can_be_closed_by_somebody_else_while_it_is_read(world):
    async def body(world):
        gate = Gate()
        client, provider, probes = setup(world, "a", gate, "b")
        reply = client.stream("any", "hi")
        assert (await reply.__anext__()).text == "a"

        async def read():
            with pytest.raises(StreamError, match="while it was being read"):
                await reply.__anext__()

        async def close():
            await gate.reached.wait()
            await reply.aclose()
            gate.open()

        await world.beside(read, close)
        check(provider, probes, "closed")
        await client.aclose()

    world.run(body)


def test_two_readers_of_one_stream_are_told_so(world):
    async def body(world):
        gate = Gate()
        client, provider, _ = setup(world, "a", gate, "b")
        reply = client.stream("any", "hi")
        await reply.__anext__()

        async def read():
            assert (await reply.__anext__()).text == "b"

        async def intrude():
            await gate.reached.wait()
            with pytest.raises(StreamError, match="two at once"):
                await reply.__anext__()
            gate.open()

        await world.beside(read, intrude)
        await reply.aclose()
        assert provider.open_streams == 0
        await client.aclose()

    world.run(body)


@world_on_a_loop
@pytest.mark.parametrize("where", ["opening", "reading", "consuming"])
def test_a_cancelled_call_leaves_nothing_open(world, where):
    async def body(world):
        gate = Gate()
        script = [gate, "a"] if where == "opening" else ["a", gate, "b"] if where == "reading" else ["a", "b"]
        client, provider, probes = setup(world, *script)
        scope = anyio.CancelScope()

        async def consume():
            with scope:
                async with client.stream("any", "hi") as reply:
                    async for _ in reply:
                        if where == "consuming":
                            gate.reached.set()
                            await anyio.sleep_forever()

        async def cancel():
            await gate.reached.wait()
            scope.cancel()

        await world.beside(consume, cancel)
        assert scope.cancelled_caught
        settled()
        assert provider.open_streams == 0
        if where == "opening":
            assert [probe.outcomes for probe in probes] == [[], []]
        else:
            assert [probe.outcomes for probe in probes] == [["cancelled"], ["cancelled"]]
        await client.aclose()

    world.run(body)


def signalled():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # as Ctrl-C does


@pytest.mark.parametrize(
    ("name", "send"), [("direct", signalled), ("portal", signalled), ("portal", _thread.interrupt_main)]
)  # the last of which wakes nobody who waits, as a signal does not that comes a moment before
@pytest.mark.parametrize("where", ["opening", "reading"])
@pytest.mark.parametrize("streamed", [True, False])
def test_an_interrupt_leaves_nothing_open(name, send, where, streamed):
    from worlds import World

    async def interrupt():
        send()
        if name == "portal":
            await anyio.sleep_forever()

    async def body(world):
        script = [interrupt, "a"] if where == "opening" else ["a", interrupt, "b"]
        client, provider, probes = setup(world, *script)
        with pytest.raises(KeyboardInterrupt):
            if streamed:
                async with client.stream("any", "hi") as reply:
                    async for _ in reply:
                        pass
            else:
                await client.complete("any", "hi")
        await client.aclose()  # in a portal, after what was cancelled there
        assert provider.open_streams == 0
        if where == "reading":
            assert [probe.outcomes for probe in probes] == [["cancelled"], ["cancelled"]]

    World(name).run(body)


def test_a_silent_server_is_left_at_the_deadline_with_what_had_come(world):
    async def body(world, url, seconds):
        providers = {"wire": OpenAIChat(base_url=url, api_key="k")}
        async with closing(world.client(providers=providers, models={"any": "wire:m"})) as client:
            with pytest.raises(DeadlineExceeded) as caught:
                async with client.stream("any", "hi", timeout=seconds) as reply:
                    async for _ in reply:
                        pass
        return caught.value

    def left_after(seconds):
        with Wire(lambda _: sse([event(delta("Hel")), event(delta("lo")), UNTIL_CLOSED])) as wire:
            error = world.run(body, wire.url, seconds)
            assert wire.wait_until_closed(wire.connections)
        return error if error.partial == "Hello" else None

    assert [attempt.error for attempt in in_time(left_after).attempts] == ["DeadlineExceeded"]


def test_the_last_chunks_tell_the_finish_reason_and_usage(world):
    async def body(world):
        client, _, _ = setup(world, "a", Chunk(text="b", finish_reason="length"))
        reply = await client.complete("any", "hi")
        assert reply.text == "ab"
        assert reply.finish_reason == "length"
        await client.aclose()

    world.run(body)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_a_forked_child_does_not_end_the_streams_of_its_parent(how):
    from worlds import World

    async def body(world):
        client, provider, probes = setup(world, "a", "b")
        reply = client.stream("any", "hi")
        await reply.__anext__()
        child = os.fork()
        if child == 0:
            if how == "closed":
                drive(reply.aclose())
            del reply
            settled()
            os._exit(len(probes[0].outcomes) + len(probes[1].outcomes))
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - no loop is running
        async for _ in reply:
            pass
        check(provider, probes, "completed")
        await client.aclose()

    World("direct").run(body)


def test_a_hook_that_fails_keeps_no_other_hook_of_a_dropped_stream_from_its_turn(caplog):
    outer = Probe()

    async def inner(request, call_next):
        response = await call_next(request)
        return response.map(on_close=lambda end: 1 / 0)

    provider = FakeProvider(["a", "b"])
    settings = {"providers": {"fake": provider}, "models": {"any": "fake:m"}, "ledger": False, "cache": False}
    with Client(layers=[outer, inner], **settings) as client:
        stream = client.stream("hi")
        next(stream)
        del stream
        settled()
    assert outer.outcomes == ["abandoned"]
    assert provider.open_streams == 0
    assert "ZeroDivisionError" in caplog.text
