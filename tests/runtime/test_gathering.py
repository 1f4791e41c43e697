"""What is written a little later is written, whatever happens meanwhile."""

from __future__ import annotations

import logging
import multiprocessing
import subprocess
import sys
import threading

import pytest

from inferkit.runtime import gathering
from inferkit.runtime.gathering import Gathering


class Book:
    """Keeps what was put in, and what was written of it, each time."""

    def __init__(self, seconds=0.0, name="test-writer"):
        self.waiting = []
        self.written = []
        self.reached = threading.Condition()
        self.gathering = Gathering(self.write, name=name, seconds=seconds)

    def put(self, item):
        self.waiting.append(item)
        self.gathering.more()

    def write(self):
        taken, self.waiting = self.waiting, []
        with self.reached:
            self.written.append(taken)
            self.reached.notify_all()

    def wait_for(self, item):
        with self.reached:
            assert self.reached.wait_for(lambda: any(item in taken for taken in self.written), 10), "never written"


@pytest.fixture(autouse=True)
def _no_thread_stays():
    known = set(gathering._all)
    yield
    for each in set(gathering._all) - known:
        each._write = list
        each.close()


def writers(name="test-writer"):
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_what_comes_is_written_by_itself_and_the_thread_ends():
    book = Book()
    book.put("a")
    book.wait_for("a")
    for thread in writers():
        thread.join(10)
    assert book.gathering.idle
    book.put("b")
    book.wait_for("b")


def test_what_comes_meanwhile_is_written_together():
    book = Book(seconds=3600, name="patient")
    for item in "abc":
        book.put(item)
    assert len(writers("patient")) == 1
    assert book.written == []
    book.gathering.flush()
    assert book.written == [["a", "b", "c"]]


def test_closing_writes_what_waits_and_leaves_no_thread():
    book = Book(seconds=3600, name="closed")
    book.put("a")
    book.gathering.close()
    assert book.written[0] == ["a"]
    assert writers("closed") == []
    book.put("b")
    assert len(writers("closed")) == 1, "it may be used again"
    book.gathering.close()


def test_nothing_is_forgotten_when_it_comes_just_as_the_thread_ends():
    book = Book()
    book.gathering._thread = threading.current_thread()  # a writer that has looked, and will not look again
    with book.gathering._lock:
        putting = threading.Thread(target=book.put, args=("a",))
        putting.start()
        putting.join(0.2)
        book.gathering._thread = None
    putting.join(10)
    book.wait_for("a")


def test_a_write_that_fails_is_logged_and_the_next_one_is_made(caplog):
    book = Book()
    write, book.gathering._write = book.gathering._write, lambda: 1 // 0
    with caplog.at_level(logging.ERROR, "inferkit"):
        book.put("a")
        for thread in writers():
            thread.join(10)
    assert "test-writer failed" in caplog.text
    book.gathering._write = write
    book.put("b")
    book.wait_for("b")


def test_who_flushes_waits_for_what_another_thread_is_writing():
    begun, go_on = threading.Event(), threading.Event()
    order = []

    def write():
        if not begun.is_set():
            begun.set()
            assert go_on.wait(10)
        order.append("written")

    gathering = Gathering(write, name="slow-writer", seconds=0)
    gathering.more()
    assert begun.wait(10)

    def flush():
        gathering.flush()
        order.append("flushed")

    thread = threading.Thread(target=flush)
    thread.start()
    thread.join(0.1)
    go_on.set()
    thread.join(10)
    assert order == ["written", "written", "flushed"]


def test_where_no_thread_can_be_started_it_is_written_at_once(monkeypatch):
    def cannot(self):
        raise RuntimeError("can't start new thread")

    book = Book(seconds=3600, name="late")
    monkeypatch.setattr(threading.Thread, "start", cannot)
    book.put("a")
    assert book.written == [["a"]]
    monkeypatch.undo()
    book.put("b")
    assert len(writers("late")) == 1
    book.gathering.flush()


def test_what_comes_after_the_exit_has_begun_is_written_at_once(monkeypatch):
    monkeypatch.setattr(gathering, "_exiting", True)
    book = Book(seconds=3600)
    book.put("a")
    assert book.written == [["a"]]


def test_the_exit_writes_what_waits_and_one_that_fails_does_not_keep_others_from_it():
    program = """
import atexit

def late():
    kept[0].more()

atexit.register(late)  # runs after the exit's own writing

from inferkit.runtime.gathering import Gathering

kept = [Gathering(lambda name=name: print("wrote", name), name=name, seconds=3600) for name in "abc"]
bad = Gathering(lambda: 1 // 0, name="bad", seconds=3600)
for each in (*kept, bad):
    each.more()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.split()) == ["a", "a", "b", "c"] + ["wrote"] * 4
    assert "bad failed" in done.stderr


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_a_thread_of_its_own():
    book = Book(seconds=3600)
    book.put("a")

    def child():
        assert book.gathering.idle
        book.gathering._seconds = 0
        book.put("b")
        book.wait_for("b")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
