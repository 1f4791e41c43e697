"""What is written a little later is written, whatever happens meanwhile."""

from __future__ import annotations

import logging
import multiprocessing
import subprocess
import sys
import threading

import pytest

from inferkit.runtime import exits, gathering, scheduler, writer
from inferkit.runtime.gathering import Gathering

BOOKS = []


class Book:
    """Keeps what was put in, and what was written of it, each time. While `broken`, it cannot be written to."""

    def __init__(self, seconds=0.0, *, kept=None, **options):
        self.waiting = []
        self.written = []
        self.broken = False
        self.tries = 0
        self.meanwhile = None
        self.reached = threading.Condition()
        if kept is not None:
            options["keep"] = lambda: kept.extend(self.take())
        BOOKS.append(self)
        self.gathering = Gathering(self.write, name="the test's book", seconds=seconds, **options)

    def put(self, item):
        self.waiting.append(item)
        self.gathering.more()

    def take(self):
        taken, self.waiting = self.waiting, []
        return taken

    def write(self):
        with self.reached:
            self.tries += 1
            self.reached.notify_all()
            if self.broken and self.waiting:
                raise OSError("no room")
            self.written.append(self.take())
        if self.meanwhile:
            self.put(self.meanwhile.pop())

    def wait_until(self, condition):
        with self.reached:
            assert self.reached.wait_for(condition, 30), "it never happened"

    def wait_for(self, item):
        self.wait_until(lambda: any(item in taken for taken in self.written))


@pytest.fixture(autouse=True)
def _nothing_stays_behind(undisturbed):
    yield
    for book in BOOKS:
        book.broken = False
        book.gathering.close()
    BOOKS.clear()


def test_what_comes_is_written_by_itself_every_time():
    book = Book()
    book.put("a")
    book.wait_for("a")
    assert writer.disk.flush(30)
    assert book.gathering.idle
    book.put("b")
    book.wait_for("b")


def test_what_comes_meanwhile_is_written_together():
    book = Book(seconds=3600)
    for item in "abc":
        book.put(item)
    assert book.written == []
    assert not book.gathering.idle
    book.gathering.flush()
    assert book.written == [["a", "b", "c"]]


def test_closing_writes_what_waits_and_it_may_be_used_again():
    book = Book(seconds=3600)
    for item in "ab":
        book.put(item)
        book.gathering.close()
        assert book.gathering.idle
    assert book.written == [["a"], ["b"]]


def test_nothing_is_forgotten_when_it_comes_while_the_rest_is_written():
    book = Book()
    book.meanwhile = ["b"]
    book.put("a")
    book.wait_for("b")


def test_a_write_that_fails_is_logged_and_the_next_one_is_made(caplog):
    book = Book()
    book.broken = True
    with caplog.at_level(logging.ERROR, "inferkit"):
        book.put("a")
        book.wait_until(lambda: book.tries)
        assert writer.disk.flush(30)
    assert "the test's book failed" in caplog.text
    book.broken = False
    book.put("b")
    book.wait_for("b")


def test_what_must_not_be_lost_is_written_as_soon_as_it_can_be(monkeypatch, caplog):
    monkeypatch.setattr(gathering, "_PAUSES", (0.001, 0.001))
    kept = []
    book = Book(kept=kept)
    book.broken = True
    book.put("a")
    book.wait_until(lambda: book.tries > 3)
    assert (book.written, kept) == ([], [])
    book.broken = False
    book.wait_for("a")
    assert caplog.text == ""


def test_the_tries_become_fewer_the_longer_it_fails(monkeypatch):
    waits = []

    class Timer(scheduler.Timer):
        def __init__(self, at, due):
            waits.append(at)
            super().__init__(0.0, due)  # at once

    monkeypatch.setattr(gathering, "Timer", Timer)
    monkeypatch.setattr(gathering.clock, "now", lambda: 0.0)
    book = Book(kept=[])
    book.broken = True
    book.put("a")
    book.wait_until(lambda: len(waits) > 7)
    book.broken = False
    book.wait_for("a")
    assert waits[:8] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize("exiting", [False, True])
def test_what_cannot_be_written_is_kept_at_the_closing_and_at_the_exit(exiting, monkeypatch):
    kept = []
    book = Book(seconds=3600, kept=kept)
    book.broken = True
    book.put("a")
    if exiting:
        gathering._keep_all(0.0)  # as the exit does
    else:
        book.gathering.close()
    assert (kept, book.written) == (["a"], [])


def test_who_flushes_waits_for_what_another_thread_is_writing():
    begun, go_on = threading.Event(), threading.Event()
    order = []

    def write():
        if not begun.is_set():
            begun.set()
            assert go_on.wait(30)
        order.append("written")

    slow = Gathering(write, name="slow", seconds=0)
    slow.more()
    assert begun.wait(30)

    def flush():
        slow.flush()
        order.append("flushed")

    thread = threading.Thread(target=flush)
    thread.start()
    thread.join(0.1)
    go_on.set()
    thread.join(30)
    assert order == ["written", "written", "flushed"]


def test_where_no_thread_can_be_started_it_is_written_at_once(monkeypatch):
    def cannot(self):
        raise RuntimeError("can't start new thread")

    with scheduler._lock, monkeypatch.context() as patch:  # which a thread that is there needs to come to its end
        patch.setattr(scheduler, "_thread", None)
        patch.setattr(threading.Thread, "start", cannot)
        book = Book(seconds=3600)
        book.put("a")
        assert book.written == [["a"]]
    book.put("b")
    assert not book.gathering.idle


def test_what_comes_after_the_exit_has_begun_is_written_at_once_or_kept(monkeypatch):
    monkeypatch.setattr(exits, "begun", True)
    book = Book(seconds=3600)
    book.put("a")
    assert book.written == [["a"]]
    kept = []
    book = Book(seconds=3600, kept=kept)
    book.broken = True
    book.put("b")
    assert kept == []
    monkeypatch.setattr(exits, "over", True)
    book.put("c")
    assert kept == ["b", "c"]


def test_the_exit_writes_what_waits_and_one_that_fails_does_not_keep_others_from_it():
    program = """
import atexit

def late():
    plain[0].more()

atexit.register(late)  # runs after the exit's own writing

from inferkit.runtime.gathering import Gathering

plain = [Gathering(lambda name=name: print("wrote", name), name=name, seconds=3600) for name in "abc"]
bad = Gathering(lambda: 1 // 0, name="bad", seconds=3600)
kept = Gathering(lambda: 1 // 0, name="kept", seconds=3600, keep=lambda: print("kept it"))
for each in (*plain, bad, kept):
    each.more()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.splitlines()) == ["kept it", "wrote a", "wrote a", "wrote b", "wrote c"]
    assert "bad failed" in done.stderr
    assert "kept" not in done.stderr


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_to_its_parent_what_waits_and_writes_its_own():
    book = Book(seconds=3600)
    book.put("a")

    def child():
        assert book.gathering.idle
        book.waiting.clear()
        book.put("b")
        book.gathering.close()
        own = Book()
        own.put("c")
        own.wait_for("c")
        assert book.written == [["b"]]

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert not book.gathering.idle
