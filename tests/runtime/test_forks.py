"""A fork finds everything standing still, and a child starts afresh, whatever other threads were doing."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

import inferkit
from inferkit import Client
from inferkit.runtime import forks
from inferkit.testing import FakeProvider

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def in_a_child(body):
    """Run a body in a forked child; say whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            body()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Part:
    def __init__(self, log, name, fails=False):
        self.log = log
        self.name = name
        self.fails = fails

    def note(self, what):
        self.log.append(f"{what} {self.name}")
        if self.fails:
            raise RuntimeError("it cannot")

    def hold(self):
        self.note("hold")

    def release(self):
        self.note("release")

    def renew(self):
        self.note("renew")


def test_what_is_held_is_held_in_order_and_released_in_the_other():
    log = []
    parts = [Part(log, name) for name in "abc"]
    for part in parts:
        forks.hold_across_fork(part)
    held = ["hold a", "hold b", "hold c"]

    def child():
        assert log[:3] == held
        assert sorted(log[3:]) == ["renew a", "renew b", "renew c"]

    assert in_a_child(child)
    assert log == [*held, "release c", "release b", "release a"]


def test_one_part_that_fails_does_not_keep_others_from_going_on():
    log = []
    parts = [Part(log, "a", fails=True), Part(log, "b")]
    for part in parts:
        forks.renew_after_fork(part)

    def child():
        assert sorted(log) == ["renew a", "renew b"]

    assert in_a_child(child)


def test_what_is_gone_is_not_renewed():
    log = []
    forks.renew_after_fork(Part(log, "a"))
    assert in_a_child(lambda: log.append("nothing but this"))


def test_generations_are_told_apart_and_children_counted():
    generation, children = forks.generation, forks.children

    def child():
        assert (forks.generation, forks.children) == (generation + 1, 0)

    assert in_a_child(child)
    assert (forks.generation, forks.children) == (generation, children + 1)


def test_a_child_forked_while_another_thread_makes_an_adapter_makes_calls():
    with Client(providers={"p": FakeProvider("Hi")}, models={"a": "p:m"}, ledger=False, cache=False) as llm:
        catalog = llm._engine.catalog
        holding, go_on = threading.Event(), threading.Event()

        def hold():
            with catalog._lock:  # as whoever makes an adapter does
                holding.set()
                go_on.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        holding.wait(10)
        try:
            assert in_a_child(lambda: llm.complete("a", "Hello"))
        finally:
            go_on.set()
            thread.join(10)


def test_every_module_that_makes_locks_renews_them_in_a_forked_child():
    root = Path(inferkit.__file__).parent
    not_shared = {  # what they belong to renews them, is forgotten in a child, or lives as long as one call
        "layers/budget/reservation.py",
        "ledger/sqlite/checkpoints.py",
        "ledger/sqlite/group_commit.py",
        "providers/http/shared_http2.py",
        "providers/http/tls_in_threads.py",
        "resilience/trouble.py",
        "runtime/direct.py",
        "runtime/forks.py",
        "runtime/racing.py",
        "testing/tape/programme.py",
    }
    found = set()
    for path in root.rglob("*.py"):
        text = path.read_text()
        if re.search(r"threading\.(R?Lock|Condition|Semaphore)\(", text) and not re.search(
            r"renew_after_fork\(|in_child\(|hold_across_fork\(", text
        ):
            found.add(str(path.relative_to(root)))
    assert found - not_shared == set()
