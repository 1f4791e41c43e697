"""Starts the recipes as their users do, in processes of their own, and a server that answers their models' calls."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import four_wires
from inferkit import SqliteLedger
from wire import Wire

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
SECONDS = 90


def shop(text="It is on its way, and comes tomorrow.", *calls):
    """Make the server that answers what the recipes ask."""
    return Wire(lambda received: four_wires.answer("chat", received, text, *calls))


def environment(wire, home, **more):
    """Give the environment of a recipe: its model is the server, and its ledger in a folder of the test's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INFERKIT", "SHOP"))}
    url = {} if wire is None else {"SHOP_SERVER": wire.url}
    return {**kept, **url, "INFERKIT_HOME": str(home), "PYTHONPATH": str(RECIPES), "PYTHONWARNINGS": "error", **more}


def run(*command, env, **options):
    """Run a command of Python's to its end, and give what it said."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=env, capture_output=True, text=True, timeout=SECONDS, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def running(*command, env, until, stop=signal.SIGINT, **options):
    """Run a command of Python's beside the block, from when it has said all of `until` on.

    Those are patterns; gives what the first of them found.
    """
    process = subprocess.Popen(
        [sys.executable, "-u", *map(str, command)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **options,
    )  # fmt: skip
    said, left, matches = [], list(until), {}
    found = threading.Event()

    def read():
        for line in process.stdout:
            said.append(line)
            match = next(filter(None, (re.search(each, line) for each in left)), None)
            if match:
                left.remove(match.re.pattern)
                matches[match.re.pattern] = match
            if not left:
                found.set()
        found.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert found.wait(SECONDS), "".join(said)
        assert not left, "".join(said)
        yield matches[until[0]]
        process.send_signal(stop)
        process.wait(SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(SECONDS)
        process.stdout.close()
    assert "Traceback" not in "".join(said), "".join(said)


def uvicorn(app, env, *, workers=1):
    """Run a web application of the recipes; give the port that it listens at."""
    return running(
        "-m", "uvicorn", "--app-dir", RECIPES, "--port", "0", "--workers", workers, app,
        env=env, until=[r"running on http://127.0.0.1:(\d+)", *["Application startup complete"] * workers],
    )  # fmt: skip


@contextlib.contextmanager
def connected(port):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)) as connection:
        yield connection


def ask(connection, method, path, body=None, **headers):
    """Ask over a connection that stays open; give the status and what came."""
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response.status, response.read().decode()


def booked(home):
    """Give what the ledger of a recipe has of each call."""
    with contextlib.closing(SqliteLedger(Path(home) / "ledger.sqlite3")) as ledger:
        return [entry.charge for entry in ledger.entries()]
