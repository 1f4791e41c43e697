"""What is left to the background is done there, in turn, and does not hold up what belongs to the other thread."""

from __future__ import annotations

import contextvars
import logging
import multiprocessing
import os
import threading

import pytest

from inferkit.runtime import writer
from inferkit.runtime.writer import Worker
from inferkit.testing import settled


def test_jobs_are_done_one_after_the_other_in_one_thread_that_knows_nothing_of_who_brought_them():
    var = contextvars.ContextVar("var", default="nothing")
    var.set("something")
    worker, seen = Worker("test"), []
    for number in range(5):
        worker.take(lambda n=number: seen.append((n, threading.current_thread().name, var.get())))
    assert worker.flush(30)
    assert seen == [(number, "test", "nothing") for number in range(5)]


def test_a_job_that_fails_is_logged_and_the_next_one_is_done(caplog):
    worker, done = Worker("test"), threading.Event()
    with caplog.at_level(logging.ERROR, "inferkit"):
        worker.take(lambda: 1 // 0)
        worker.take(done.set)
        assert worker.flush(30)
    assert done.is_set()
    assert "ZeroDivisionError" in caplog.text


def test_a_disk_that_takes_its_time_delays_no_ending():
    go_on = threading.Event()
    writer.disk.take(lambda: go_on.wait(30))
    ended = threading.Event()
    writer.endings.take(ended.set)
    settled()
    assert ended.is_set()
    assert not writer.disk.flush(0.01)
    go_on.set()
    assert writer.disk.flush(30)


def test_where_no_thread_can_be_started_whoever_waits_does_the_work(monkeypatch):
    def cannot(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", cannot)
    worker, done = Worker("test"), []
    worker.take(lambda: done.append(threading.current_thread()))
    assert worker.flush()
    assert done == [threading.current_thread()]


def test_a_job_may_wait_for_those_behind_it():
    worker, order = Worker("test"), []

    def first():
        worker.take(lambda: order.append("second"))
        assert worker.flush(30)
        order.append("first")

    worker.take(first)
    assert worker.flush(30)
    assert order == ["second", "first"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_its_own_jobs_and_none_of_its_parents():
    worker, go_on = Worker("test"), threading.Event()
    worker.take(lambda: go_on.wait(30))
    worker.take(lambda: ran_in.append(os.getpid()))
    ran_in = []

    def child():
        worker.take(lambda: ran_in.append(os.getpid()))
        assert worker.flush(30)
        assert ran_in == [os.getpid()]

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    go_on.set()
    assert worker.flush(30)
    assert ran_in == [os.getpid()]
