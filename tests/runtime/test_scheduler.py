"""Timers: each is called once, in its time, and none keeps the process or what it refers to alive."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import subprocess
import sys
import threading
import weakref

import pytest

from inferkit.runtime import clock, scheduler
from inferkit.runtime.scheduler import Timer


def timers():
    """Those that something still refers to."""
    return [thing for thing in gc.get_objects() if type(thing) is Timer]


def after(seconds, due):
    timer = Timer(clock.now() + seconds, due)
    assert timer.start()
    return timer


def test_timers_are_called_in_the_order_of_their_times_whatever_the_order_they_came_in():
    order, done = [], threading.Event()
    started = clock.now()
    timers = [Timer(started + 0.3, done.set)]
    timers += [Timer(started + seconds, lambda n=seconds: order.append(n)) for seconds in (0.2, 0.05, 0.1)]
    with scheduler._lock:  # so that none is called before the last one has come
        for timer in timers:
            timer.start()
    assert done.wait(30)
    assert order == [0.05, 0.1, 0.2]


def test_an_earlier_timer_does_not_wait_for_a_later_one():
    later = after(3600, lambda: None)
    done = threading.Event()
    after(0, done.set)
    assert done.wait(30)
    assert later.stop()


def test_a_timer_that_was_stopped_is_not_called_by_a_thread_that_took_it_before():
    """By then a connection may be another call's: it went back to its pool."""
    reached, stopped, done = threading.Event(), threading.Event(), threading.Event()
    happened = []

    def due():
        happened.append("called")
        if not reached.is_set():
            reached.set()
            stopped.wait(0.2)  # as long as a thread may wait for its turn; whoever stops the other waits for this

    timers = [Timer(clock.now(), due) for _ in range(2)]
    with scheduler._lock:
        for timer in timers:
            timer.start()
    assert reached.wait(30)
    timers[1].stop()
    happened.append("stopped")
    stopped.set()
    after(0.0, done.set)
    assert done.wait(30)
    assert happened[-1] == "stopped"


def test_a_stopped_timer_is_not_called_and_holds_nothing():
    class Thing:
        def end(self):
            called.append(self)

    called, done = [], threading.Event()
    thing = Thing()
    gone = weakref.ref(thing)
    with scheduler._lock:  # so that it is stopped in time, however long that takes here
        timer = after(0.05, thing.end)
        assert timer.stop()
    assert not timer.stop()
    del thing
    gc.collect()
    assert gone() is None
    after(0.1, done.set)
    assert done.wait(30)
    assert called == []


def test_a_timer_that_was_called_cannot_be_stopped():
    done = threading.Event()
    timer = after(0, done.set)
    assert done.wait(30)
    assert not timer.stop()


def test_stopped_timers_do_not_pile_up():
    for _ in range(5000):
        after(3600, lambda: None).stop()
    assert len(timers()) < 1000


def test_one_that_fails_does_not_keep_others_from_their_turn(caplog):
    done = threading.Event()
    with caplog.at_level(logging.DEBUG, "inferkit"):
        after(0, lambda: 1 // 0)
        after(0, done.set)
        assert done.wait(30)
    assert "ZeroDivisionError" in caplog.text


THREAD_BY_THREAD = """
import gc, threading
from inferkit.runtime import clock, scheduler

def alive():
    return [thread for thread in threading.enumerate() if thread.name == "inferkit-scheduler"]

scheduler._IDLE_SECONDS = 0.01
for _ in range(2):
    timer = scheduler.Timer(clock.now() + 3600, lambda: None)
    assert timer.start()
    (thread,) = alive()
    assert timer.stop()
    thread.join(30)
    assert alive() == []
    del timer
    assert not [thing for thing in gc.get_objects() if type(thing) is scheduler.Timer]
"""


def test_the_thread_ends_when_nothing_is_left_and_another_one_is_started_for_the_next():
    """In a process of its own, where nobody else has timers."""
    subprocess.run([sys.executable, "-c", THREAD_BY_THREAD], check=True, timeout=60)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_timers_of_its_own_only(monkeypatch):
    ended = threading.Event()
    timer = after(3600, ended.set)
    later = clock.now() + 7200

    def child():
        monkeypatch.setattr(clock, "now", lambda: later)
        done = threading.Event()
        after(0, done.set)
        assert done.wait(30)
        assert not ended.is_set()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert timer.stop()
    assert not ended.is_set()
