"""Wherever an interrupt comes, no call keeps a place of its model's limit, and nobody waits for one in vain."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

import inferkit
from inferkit import Client, Health, InferkitError, RateLimit, Response, Unavailable
from inferkit.testing import FakeProvider, settled
from inferkit.testing.interrupts import interrupted

HOME = str(Path(inferkit.__file__).parent)

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # an interrupt in a destructor
]


def complete(llm):
    llm.complete("fine:m", "hello")


def stream(llm):
    with llm.stream("fine:m", "hello") as reply:
        assert list(reply)


def leave_early(llm):
    with llm.stream("fine:m", "hello") as reply:
        next(reply)


def drop(llm):
    next(iter(llm.stream("fine:m", "hello")))


def fail(llm):
    try:
        llm.complete("down:m", "hello")
    except InferkitError:
        return
    raise AssertionError("it should have failed")


def break_off(llm):
    try:
        llm.complete("broken:m", "hello")
    except InferkitError:
        return
    raise AssertionError("it should have broken off")


def say_nothing(llm):
    try:
        llm.complete("mute:m", "hello")
    except InferkitError:
        return
    raise AssertionError("it should have failed")


async def down(_):
    """A new error each time: one that is kept keeps all that its traceback leads to."""
    raise Unavailable("down", provider="down")


async def mute(request):
    return Response.of([], runtime=request.runtime)


def client(limit):
    providers = {
        "fine": FakeProvider("Hi there"),
        "down": down,
        "broken": FakeProvider(lambda _: ["Hi ", Unavailable("gone", provider="broken")]),
        "mute": mute,
    }
    limits = {f"{name}:*": limit for name in providers}
    health = Health(breaker=None, retries=None)
    return Client(providers=providers, limits=limits, max_retries=0, health=health, cache=False, ledger=False)


def doors(llm):
    layer = next(layer for layer in llm.layers if layer.role == "limit")
    return [door.limiter for door in layer._stated.values()]


places = pytest.mark.parametrize(
    "limit",
    [RateLimit(concurrent=9), RateLimit(concurrent=9, tokens_per_minute=1e12)],
    ids=["without a ticket", "with one"],
)
steps = pytest.mark.parametrize("step", [complete, stream, leave_early, drop, fail, break_off, say_nothing])


@places
@steps
def test_an_interrupted_call_keeps_no_place(step, limit, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # pytest's own keeps what the destructors' frames hold
    with client(limit) as llm:
        step(llm)
        at = 0
        while interrupted(lambda: step(llm), at, within=(HOME,)):
            settled()
            assert [door.running for door in doors(llm)] == [0] * 4, f"after an interrupt at place {at}"
            assert [len(door) for door in doors(llm)] == [0] * 4
            at += 1
        assert at > 100


@pytest.mark.parametrize(
    "limit",
    [RateLimit(concurrent=1), RateLimit(concurrent=1, tokens_per_minute=1e12)],
    ids=["without a ticket", "with one"],
)
def test_whoever_waits_for_a_place_gets_it_wherever_its_holder_is_interrupted(limit):
    with client(limit) as llm:
        door, goes_on, at = doors(llm)[0], True, 0
        while goes_on:
            with llm.stream("fine:m", "hello") as reply:
                next(reply)
                waits = threading.Thread(target=complete, args=(llm,), daemon=True)
                waits.start()
                while not len(door):
                    pass
                goes_on = interrupted(lambda reply=reply: list(reply), at, within=(HOME,))
            settled()
            waits.join(20.0)
            assert not waits.is_alive(), f"after an interrupt at place {at}"
            assert (door.running, len(door)) == (0, 0)
            at += 1
        assert at > 50
