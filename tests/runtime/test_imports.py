"""A fork waits for what a first call imports, and a server that preloads leaves nothing to import to its children."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferkit.runtime import imports
from worlds import WORLDS

FIRST_CALLS = Path(__file__).parent / "first_calls.py"


@pytest.mark.parametrize("preload", [(), ("preload",)], ids=["", "preload"])
@pytest.mark.parametrize("world", WORLDS)
def test_first_calls_import_under_the_lock_and_preloaded_ones_nothing(world, preload):
    command = [sys.executable, str(FIRST_CALLS), world, *preload]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


FORKING = """
import os, signal, sys, threading, time
from importlib.abc import MetaPathFinder

from inferkit import Client, OpenAIChat, Unavailable

importing, forking = threading.Event(), threading.Event()


class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1] and not importing.is_set():
            importing.set()
            forking.wait(20)
            time.sleep(0.3)  # so that a fork that does not wait comes now
        return None


def call():
    try:
        llm.complete("hi", timeout=20)
    except Unavailable:
        pass


sys.meta_path.insert(0, Slow())
os.register_at_fork(before=forking.set)  # runs before those that were registered earlier
llm = Client(providers={"p": OpenAIChat(base_url=sys.argv[2], api_key="k", name="p")}, models={"m": "p:m"},
             prices={}, ledger=False, cache=False, max_retries=0)
thread = threading.Thread(target=call)
thread.start()
assert importing.wait(20)
child = os.fork()
if child == 0:
    signal.alarm(15)
    call()
    os._exit(0)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


PLAIN, OVER_HTTPX = "http://127.0.0.1:1", "http://[::1]:1"  # an address that httpx writes


@pytest.mark.parametrize(
    ("module", "url"),
    [("pydantic_core", PLAIN), ("httpx", OVER_HTTPX), ("httpcore", PLAIN), ("encodings.idna", PLAIN)],
)
def test_a_child_forked_while_another_thread_makes_its_first_call_makes_calls_too(module, url):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, module, url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("0\n", "")


def test_what_was_loaded_is_not_waited_for():
    imports.load("json")
    with imports.lock:
        loading = threading.Thread(target=imports.load, args=("json",))
        loading.start()
        loading.join(20)
        assert not loading.is_alive()
