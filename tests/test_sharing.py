"""Processes on one ledger know together how models stand: real processes, real servers, one SQLite file."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chat_wire import completion
from inferkit.runtime import clock
from wire import Wire, reply

WORKER = Path(__file__).with_name("sharing_worker.py")
SECONDS = 60


class Worker:
    def __init__(self, ledger, **servers):
        command = [sys.executable, WORKER, ledger, *(f"{name}={url}" for name, url in servers.items())]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def do(self, *command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def call(self, model="any", timeout=None):
        return self.do("call", model, timeout)

    def health(self, name):
        return self.do("health")[name]

    def wait_until(self, holds):
        """Wait until something holds here, as its background hears of others."""
        nothing, deadline = threading.Event(), clock.now() + SECONDS
        while not holds(self):
            assert clock.now() < deadline, self.do("health")
            nothing.wait(0.05)

    def kill(self):
        self.process.kill()
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(SECONDS)
        self.process.stdout.close()


def always(status, body, **headers):
    return Wire(lambda _: iter([reply(body, status, **headers)]))


ERROR = {"error": {"message": "no", "type": "x", "code": "no"}}
LIMITS = {
    "x_ratelimit_limit_requests": "60", "x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "60s",
}  # fmt: skip


@pytest.fixture(scope="module")
def servers():
    wires = {
        "down": always(500, ERROR),
        "limited": always(429, ERROR, retry_after="60", **LIMITS),
        "plain": always(200, completion()),
        "slow": Wire(None),
        "quick": always(200, completion()),
    }
    with contextlib.ExitStack() as open_ones:
        for wire in wires.values():
            open_ones.enter_context(wire)
        yield wires


@pytest.fixture(scope="module")
def start(servers, tmp_path_factory):
    ledger = tmp_path_factory.mktemp("shared") / "ledger.db"
    with contextlib.ExitStack() as workers:

        def start():
            made = Worker(ledger, **{name: wire.url for name, wire in servers.items()})
            workers.callback(made.close)
            return made

        yield start


@pytest.fixture(scope="module")
def first(start):
    return start()


@pytest.fixture(scope="module")
def second(start):
    return start()


@pytest.fixture(scope="module")
def third(start):
    return start()


def test_a_provider_that_failed_one_process_is_left_alone_by_the_others(servers, first, second, request):
    down = servers["down"]
    assert second.call("plain:m") == "plain"
    for _ in range(3):
        first.call("down:m")
    assert (first.health("down:m")["circuit"], first.health("down:m")["told"]) == ("open", [])
    second.wait_until(lambda one: one.health("down:m")["circuit"] == "open")
    stands = second.health("down:m")
    assert (stands["told"], stands["last_error"], stands["failures"]) == (["circuit"], "Unavailable", 0)
    assert second.call("down:m") == "CircuitOpen"
    first.kill()
    third = request.getfixturevalue("third")
    assert third.call("down:m") == "CircuitOpen", "what a killed process knew is there for one that begins"
    assert len(down.requests) == 3


def test_a_provider_that_asked_one_process_for_time_is_given_it_by_all(servers, second, third):
    assert second.call("plain:m") == "plain"
    assert third.call("limited:m") == "RateLimited"
    second.wait_until(lambda one: one.health("limited:m")["told"] == ["pause", "limits"])  # each is told by itself
    stands = second.health("limited:m")
    assert stands["paused"]
    assert stands["left"]["requests"] < 60
    assert 0 < stands["seconds_left"] <= 60
    assert second.call("limited:m", 20) == "RateLimited"
    assert len(servers["limited"].requests) == 1


def test_the_fastest_is_who_was_fast_elsewhere(servers, second, third):
    began, gate = clock.now(), threading.Event()
    assert [one.call("quick:m") for one in (second, third)] == ["quick"] * 2
    longer = clock.now() - began + 0.3  # than either of them took, however busy this machine is

    def slowly(_):
        threading.Timer(longer, gate.set).start()
        yield gate
        yield reply(completion())

    servers["slow"].script = slowly
    assert [third.call("any") for _ in range(2)] == ["slow", "quick"]
    second.wait_until(lambda one: one.health("slow:m")["told"] == ["speed"])
    assert second.do("chosen") == "quick:m"
    assert second.call("any") == "quick"
    assert len(servers["slow"].requests) == 1
