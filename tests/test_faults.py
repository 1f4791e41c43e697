"""Whatever a provider does, on four wires, streamed and whole: a typed error, bounded requests, nothing left open.

How long each wait may take is in providers/http/test_connections.py; here, that each ends.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from email.utils import formatdate

import pytest

from four_wires import NAMES, adapter, answer
from inferkit import (
    AsyncClient,
    CircuitOpen,
    DeadlineExceeded,
    Health,
    InferkitError,
    Insert,
    ProviderError,
    RateLimited,
    Retry,
    StreamInterrupted,
    Unavailable,
)
from loop_wire import loop_wire
from virtual_time import run_in_virtual_time
from wire import CLOSE, RESET, SSE_HEAD, UNTIL_CLOSED, Wire, chunked, endless, nobody_listening, reply
from worlds import world_on_a_loop

over_both = pytest.mark.parametrize("world", ["asyncio", "direct"], indirect=True)
RETRIES = 2
FORMS = list(itertools.product(NAMES, [True, False]))
IN_BAND = {
    "chat": b'data: {"error": {"message": "overloaded", "type": "server_error", "code": 503}}\n\n',
    "responses": b'event: error\ndata: {"type": "error", "code": "server_error", "message": "overloaded"}\n\n',
    "anthropic": b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}\n\n',
    "gemini": b'data: {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}}\n\n',
}


def always(*steps):
    return lambda name: lambda _: iter(steps)


def status(code, **headers):
    body = {"error": {"message": "no", "type": "x", "code": "no"}}
    return always(reply(body, code, **headers))


def cut(share):
    """Send so much of a good reply, and close."""

    def of(name):
        def script(received):
            whole = b"".join(answer(name, received, "It left the depot this morning, and is due today."))
            yield whole[: int(len(whole) * share)]
            yield CLOSE

        return script

    return of


def reset_in_the_middle(name):
    def script(received):
        whole = b"".join(answer(name, received, "It left the depot this morning, and is due today."))
        yield whole[: len(whole) // 2]
        yield RESET

    return script


def in_band(name):
    def script(received):
        yield SSE_HEAD
        yield chunked(IN_BAND[name])
        yield chunked(b"")

    return script


def malformed(name):
    def script(_):
        yield SSE_HEAD
        yield chunked(b'data: {"choices": [{"delta": {"con\n\n')
        yield chunked(b"")

    return script


EARLY = (Unavailable, CircuitOpen)
LIMITED = (RateLimited,)
FAULTS = {
    "reset before headers": (always(RESET), EARLY),
    "closed before headers": (always(CLOSE), EARLY),
    "half a head": (always(b"HTTP/1.1 200 OK\r\ncontent-ty", CLOSE), EARLY),
    "reset after headers": (always(SSE_HEAD, RESET), EARLY),
    "reset in the middle": (reset_in_the_middle, (StreamInterrupted, *EARLY)),
    "truncated early": (cut(0.4), (StreamInterrupted, *EARLY)),
    "truncated late": (cut(0.7), (StreamInterrupted, *EARLY)),
    "malformed events": (malformed, EARLY),
    "malformed json": (always(reply(b'{"choices": [')), EARLY),
    "no json": (always(reply(b"<html>nginx</html>", content_type="text/html")), EARLY),
    "another shape": (always(reply(b"[]", content_type="application/json")), EARLY),
    "nothing": (always(reply(b"")), EARLY),
    "in-band error": (in_band, EARLY),
    **{f"status {code}": (status(code), EARLY) for code in (500, 502, 503, 504, 529)},
    **{
        f"429 {name}": (status(429, **headers), LIMITED)
        for name, headers in {
            "without a wait": {},
            "now": {"retry_after": "0"},
            "soon": {"retry_after": "0.01"},
            "milliseconds": {"retry_after_ms": "5"},
            "date": {"retry_after": formatdate(0, usegmt=True)},
            "negative": {"retry_after": "-3"},
            "endless": {"retry_after": "9" * 310},
            "words": {"retry_after": "in a moment"},
            "hours": {"retry_after": "7200"},
            "reset": {"x_ratelimit_reset_requests": "8ms", "x_ratelimit_remaining_requests": "0"},
        }.items()
    },
}


async def outcome(world, name, url, *, stream, timeout=None):
    """Make one call with a client and an adapter of its own, and close both; give what it raised."""
    speaks = adapter(name, url)
    retry = Retry(RETRIES, base=0.001, health=Health(breaker=None, retries=None))
    llm = world.client(providers={"p": speaks}, layers=[Insert(retry, instead_of="retry")])
    error = await ask(llm, stream=stream, timeout=timeout)
    await llm.aclose()
    if world.is_async:
        await speaks.aclose()
    else:
        speaks.close()
    return error


async def ask(llm, *, stream, timeout=None):
    """Make a call, and give what it raises; anything that is not the library's own comes out."""
    options = {} if timeout is None else {"timeout": timeout}
    try:
        if not stream:
            await llm.complete("p:m", "Where is my order?", max_output_tokens=50, **options)
        else:
            async with llm.stream("p:m", "Where is my order?", max_output_tokens=50, **options) as reply:
                async for _ in reply:
                    pass
    except InferkitError as error:
        return error
    return None


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@over_both
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_typed_error_after_few_requests_and_leaves_no_connection(world, fault):
    script, kinds = FAULTS[fault]
    waits = fault.startswith("429 ") and fault != "429 without a wait"  # which all wires read in one place
    for name, stream in FORMS[:2] if waits else FORMS:
        with Wire(script(name)) as wire:

            async def body(world, name=name, stream=stream, url=wire.url):
                return await outcome(world, name, url, stream=stream)

            error = world.run(body)
            assert isinstance(error, kinds), (name, stream, error)
            assert isinstance(error, ProviderError)
            assert error.provider
            assert 1 <= len(wire.requests) <= 1 + RETRIES
            assert wire.wait_until_closed(wire.connections), "with the garbage collector off"


@over_both
@pytest.mark.usefixtures("no_collector")
def test_nobody_listening_is_a_typed_error(world):
    with nobody_listening() as url:
        for name, stream in FORMS:

            async def body(world, name=name, stream=stream):
                return await outcome(world, name, url, stream=stream)

            error = world.run(body)
            assert type(error) is Unavailable
            assert len(error.attempts) == 1 + RETRIES


STALLS = {
    "silent": lambda _: [UNTIL_CLOSED],
    "silent after the head": lambda _: [SSE_HEAD, UNTIL_CLOSED],
    "endless comments": endless(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", b": still here\n\n"),
    "endless head": endless(b"HTTP/1.1 200 OK\r\n", b"x-filler: y\r\n"),
}


@world_on_a_loop
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("stall", STALLS)
def test_a_stall_ends_with_the_deadline_and_its_connection_with_it(world, stall):
    for name, stream in FORMS:
        with Wire(STALLS[stall]) as wire:

            async def body(world, name=name, stream=stream, url=wire.url):
                return await outcome(world, name, url, stream=stream, timeout=0.1)

            assert isinstance(world.run(body), DeadlineExceeded)
            assert len(wire.requests) <= 1
            assert wire.wait_until_closed(wire.connections)


DEADLINE, GRACE = 7.0, 0.3
ON_TIME = [
    fault
    for fault in FAULTS
    if not fault.startswith("429 ") or fault in ("429 without a wait", "429 soon", "429 hours")
]  # the others' waits are read in one place


def drips(head, piece, seconds):
    """Send a piece again and again, and never come to an end."""
    return always(head, *itertools.chain.from_iterable([[seconds, piece]] * 1000))


def slow_answer(name):
    """Send a good reply, a byte a second."""

    def script(received):
        for byte in b"".join(answer(name, received, "It left the depot this morning.")):
            yield 1.0
            yield bytes([byte])

    return script


def half_and_then(*steps):
    """Send half of a good reply, so that a stream is handed on, and go on with something else."""

    def of(name):
        def script(received):
            whole = b"".join(answer(name, received, "It left the depot this morning, and is due today."))
            yield whole[: len(whole) // 2]
            yield from steps

        return script

    return of


LATE = {
    "half a reply, and silent": half_and_then(UNTIL_CLOSED),
    "half a reply, and the next byte too late": half_and_then(DEADLINE - 0.5, b" ", UNTIL_CLOSED),
    "silent": always(UNTIL_CLOSED),
    "silent after the head": always(SSE_HEAD, UNTIL_CLOSED),
    "half a head, and silent": always(b"HTTP/1.1 200 OK\r\ncontent-ty", UNTIL_CLOSED),
    "a body that does not come": always(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", UNTIL_CLOSED),
    "an error that does not come": always(b"HTTP/1.1 500 X\r\ncontent-length: 99\r\n\r\n{", UNTIL_CLOSED),
    "endless comments": drips(SSE_HEAD, chunked(b": still here\n\n"), 0.5),
    "endless head": drips(b"HTTP/1.1 200 OK\r\n", b"x-filler: y\r\n", 0.5),
    "a byte a second": slow_answer,
    "503 after a while": lambda _: lambda _: iter([3.0, reply({"error": {"message": "no"}}, 503)]),
    "429 for longer than there is": status(429, retry_after="6.9"),
}


@pytest.mark.parametrize("fault", [*ON_TIME, *LATE])
def test_every_call_is_over_by_its_deadline_on_a_clock_of_the_tests_own(monkeypatch, fault):
    """Both ends run on one loop, whose time passes only where nobody has anything to do: no machine is too slow."""
    script = LATE[fault] if fault in LATE else FAULTS[fault][0]

    async def body():
        now = asyncio.get_running_loop().time
        for name in NAMES:
            async with loop_wire(script(name)) as url:
                speaks = adapter(name, url)
                retry = Insert(Retry(RETRIES, health=Health(breaker=None, retries=None)), instead_of="retry")
                settings = {"providers": {"p": speaks}, "layers": [retry], "cache": False, "ledger": False}
                async with AsyncClient(**settings) as llm:
                    for stream in (True, False):
                        began = now()
                        error = await ask(llm, stream=stream, timeout=DEADLINE)
                        took = now() - began
                        assert took <= DEADLINE + GRACE, (name, stream, error)
                        assert isinstance(error, ProviderError | DeadlineExceeded), (name, stream, error)
                        if isinstance(error, DeadlineExceeded):
                            assert took >= DEADLINE - 1e-6, "and no sooner"
                await speaks.aclose()

    run_in_virtual_time(monkeypatch, body)
