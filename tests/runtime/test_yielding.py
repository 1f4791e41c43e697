"""Long work in Python lets other threads run, and does not pause where there are none."""

from __future__ import annotations

import gc
import threading

import pytest

from inferkit.runtime import clock
from inferkit.runtime.yielding import OWN_THREAD, Pauses, is_alone, without_collections


@pytest.fixture
def slept(monkeypatch):
    slept = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    return slept


def test_work_pauses_when_it_has_gone_on_for_a_while(monkeypatch, slept):
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    now = 100.0
    monkeypatch.setattr(clock, "now", lambda: now)
    pause = Pauses()
    pause()
    assert slept == []
    now = 100.1
    pause()
    pause()
    assert len(slept) == 1, "it has just paused"
    now = 100.2
    pause()
    assert len(slept) == 2


def test_a_thread_that_is_alone_never_pauses(monkeypatch, slept):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    now = 100.0
    monkeypatch.setattr(clock, "now", lambda: now)
    pause = Pauses()
    now = 200.0
    pause()
    assert slept == []


def test_threads_that_read_for_the_work_itself_are_nobody_to_pause_for(monkeypatch):
    ends = threading.Event()
    reading = threading.Thread(target=ends.wait, name=OWN_THREAD)
    reading.start()
    try:
        monkeypatch.setattr(threading, "active_count", lambda: 2)
        monkeypatch.setattr(threading, "enumerate", lambda: [threading.current_thread(), reading])
        assert is_alone()
        monkeypatch.setattr(threading, "active_count", lambda: 3)
        assert not is_alone(), "there is one of the application's"
    finally:
        ends.set()
        reading.join()


@pytest.fixture
def collecting():
    gc.enable()
    yield
    gc.enable()


def test_collections_wait_for_a_thread_that_is_alone_and_go_on_after_it(monkeypatch, collecting):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with pytest.raises(ZeroDivisionError), without_collections():
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_collections_do_not_wait_where_others_run(monkeypatch, collecting):
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    with without_collections():
        assert gc.isenabled()


def test_collections_that_the_application_had_stopped_stay_so(monkeypatch, collecting):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    gc.disable()
    with without_collections():
        assert not gc.isenabled()
    assert not gc.isenabled()
