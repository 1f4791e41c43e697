from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sqlite3
import sys
import threading
from functools import partial

import hypothesis
import pytest

from inferkit.runtime import clock, gathering
from ways import WAYS
from worlds import RUNTIMES, WORLDS, World, run_in

hypothesis.settings.register_profile(  # how busy the machine is says nothing of the code
    "inferkit", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("inferkit")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a script runs in the background ignores Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

if hasattr(os, "fork"):  # a forked child that hangs says where, and is killed: its parent and what it holds open go on
    faulthandler.register(signal.SIGALRM, file=sys.__stderr__, chain=True)
    os.register_at_fork(after_in_child=lambda: signal.alarm(120))


def pytest_collection_finish():
    """Let a test that asks for a collection not go through all that its neighbours' modules made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=RUNTIMES)
def run(request):
    """Run a coroutine function that takes a runtime, and give its result: on each of the runtimes."""
    return partial(run_in, request.param)


@pytest.fixture(params=WORLDS)
def world(request):
    """One of the four ways to run the stack."""
    return World(request.param)


@pytest.fixture(params=WAYS, ids=str)
def way(request):
    """Each way that bytes can travel."""
    return request.param


@pytest.fixture(scope="module")
def one_core():
    """Keep to a core of its own what computes on all of them: the threads of llama.cpp wait at full speed."""
    cores = sorted(os.sched_getaffinity(0))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture
def now(monkeypatch):
    """The library's clocks, which stand still however busy the machine is; a test sets them on, as `now[0]`."""
    at = [1000.0]
    monkeypatch.setattr(clock, "now", lambda: at[0])
    monkeypatch.setattr(clock, "time", lambda: at[0] + 1_800_000_000.0)
    return at


@pytest.fixture
def undisturbed():
    """Write what earlier tests left to the background: in the middle of this one it would be in its way."""
    for each in list(gathering._all):
        with contextlib.suppress(Exception):  # the place where it would be written may be gone
            each.close()


@pytest.fixture
def connections(monkeypatch):
    """The connections to SQLite's files that the test's own thread opened so far, the newest last.

    Ask for it before what opens them. What an earlier test left to the background may open others meanwhile.
    """
    opened, connect, own = [], sqlite3.connect, threading.get_ident()

    def noting(*args, **options):
        connection = connect(*args, **options)
        if threading.get_ident() == own:
            opened.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", noting)
    return opened


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test touches the user's own cache, ledger or keys."""
    monkeypatch.setenv("INFERKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
