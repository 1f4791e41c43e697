"""The worker among its parents: how it is started, and that it never outlives the last of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_calls import SECONDS, ask, wait_until_dead

TESTS = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from local_calls import ask, frames
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.worker.supervisor import WorkerSupervisor
supervisor = WorkerSupervisor(EngineSettings(sys.argv[1], context_length=100_000))
call = supervisor.open({"prompt": "a"})
while not any("text" in frame for frame in frames(call)):
    pass
os.write(1, f"{supervisor.pid}\\n".encode())  # in one piece: two processes write here
"""


def program(body: str, path: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(TESTS)])}
    command = [sys.executable, "-W", "error", "-c", PROGRAM + body, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_a_killed_application_takes_its_worker_along(endless_path):
    with program("signal.pause()", endless_path) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
        wait_until_dead(worker)


@pytest.mark.parametrize("body", ["call.close()", "call.close(); sys.exit(3)", "os._exit(0)"])
def test_an_application_that_ends_leaves_no_worker_and_no_words(endless_path, body):
    with program(body, endless_path) as parent:
        out, err = parent.communicate(timeout=SECONDS)
        wait_until_dead(int(out))
        assert err == b""


def test_a_worker_that_hangs_does_not_outlive_its_application(endless_path):
    body = """
from inferkit.local.worker import process
process._EXIT_SECONDS = 0.1
os.kill(supervisor.pid, signal.SIGSTOP)
"""
    with program(body, endless_path) as parent:
        out, err = parent.communicate(timeout=SECONDS)
        wait_until_dead(int(out))
        assert err == b""


def test_a_fork_uses_the_same_worker_and_mixes_nothing_up(endless_path):
    body = """
call.close()
child = os.fork()
text = ask(supervisor, "a", max_tokens=50).text
assert text == "b" + "c" * 49, text
os.write(1, f"{supervisor.pid}\\n".encode())  # in one piece: two processes write here
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(ask(supervisor, "a", max_tokens=3).text)
    supervisor.close()
    assert not os.path.exists(f"/proc/{supervisor.pid}")
"""
    with program(body, endless_path) as parent:
        out, err = parent.communicate(timeout=SECONDS)
        assert err == b""
        lines = out.decode().split()
        assert lines[0] == lines[1] == lines[2]
        assert lines[3] == "bcc"
        wait_until_dead(int(lines[0]))


def test_hanging_up_counts_even_while_a_fork_holds_the_call(endless_path):
    body = """
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.close(writer)
    os._exit(len(os.read(reader, 1)))
call.close()
print(ask(supervisor, "a", max_tokens=3).text)
os.close(writer)
assert os.waitpid(child, 0)[1] == 0
"""
    with program(body, endless_path) as parent:
        out, err = parent.communicate(timeout=SECONDS)
        assert (out.decode().split()[1], err) == ("bcc", b"")


def test_a_fork_that_outlives_its_parent_keeps_the_worker(endless_path):
    body = """
call.close()
reader, writer = os.pipe()
if os.fork():
    os._exit(0)
os.close(writer)
assert os.read(reader, 1) == b""
print(ask(supervisor, "a", max_tokens=3).text, supervisor.pid, flush=True)
"""
    with program(body, endless_path) as parent:
        out, err = parent.communicate(timeout=SECONDS)
        assert err == b""
        first, text, second = out.decode().split()
        assert (text, second) == ("bcc", first)
        wait_until_dead(int(first))


def test_the_worker_is_started_without_the_applications_secrets(start, endless_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-secret")
    supervisor = start(endless_path)
    ask(supervisor, "a", max_tokens=1)
    seen = Path(f"/proc/{supervisor.pid}/environ").read_bytes() + Path(f"/proc/{supervisor.pid}/cmdline").read_bytes()
    assert b"sk-secret" not in seen
    assert b"PATH" in seen


def test_the_worker_imports_nothing_heavy():
    code = "import sys, inferkit.local.worker.__main__; print(*sorted(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    heavy = {"httpx", "pydantic", "anyio", "opentelemetry", "asyncio", "ctransformers", "numpy", "diskcache"}
    assert not heavy & {name.partition(".")[0] for name in run.stdout.split()}
