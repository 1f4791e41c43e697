"""Systems without what POSIX has, as Windows: inferkit is imported, serves what it can, and refuses the rest by name.

There is no such machine among the checks: what is missing there is taken away from a Python here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from chat_wire import HELLO
from wire import Wire, sse

WITHOUT = """
import asyncio, getpass, importlib.abc, multiprocessing, os, shutil, socket, subprocess, sys, tarfile
GONE = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone())
for name in GONE:
    sys.modules.pop(name, None)
for module, names in (
    (os, "fork forkpty register_at_fork getuid geteuid getgid pread pwrite sched_getaffinity fchmod fchown chown "
         "killpg setsid posix_fallocate posix_fadvise fdatasync sysconf O_NOFOLLOW O_CLOEXEC O_DIRECTORY"),
    (socket, "send_fds recv_fds"),
):
    for name in names.split():
        module.__dict__.pop(name, None)
"""
EVERY_MODULE = """
import importlib, json, pathlib
import inferkit
root = pathlib.Path(inferkit.__file__).parent
others = {"__main__", "langchain", "pydantic_ai"}  # a worker, which is refused earlier, and other people's packages
failed = []
for file in sorted(root.rglob("*.py")):
    parts = file.relative_to(root).with_suffix("").parts
    if not others.intersection(parts):
        try:
            importlib.import_module(".".join(["inferkit", *(part for part in parts if part != "__init__")]))
        except Exception as error:
            failed.append(f"{parts}: {error!r}")
print(json.dumps(failed))
"""
A_CALL = """
from inferkit import Client, OpenAIChat
with Client(providers={"s": OpenAIChat(base_url=sys.argv[1])}, ledger=False) as llm:
    print(llm.complete("s:m", "Hi").text)
    print(llm.complete("s:m", "Hi").cache)
"""
COMMAND = "from inferkit.cli import main\nmain()\n"


def without(program, *arguments, home, code=0, **env):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT + program, *map(str, arguments)],
        env={**os.environ, "INFERKIT_HOME": str(home), "COLUMNS": "300", "NO_COLOR": "1", **env},
        cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_every_module_can_be_imported(tmp_path):
    assert json.loads(without(EVERY_MODULE, home=tmp_path)) == []


def test_a_client_without_a_ledger_serves(tmp_path):
    with Wire(lambda _: sse(HELLO)) as wire:
        assert without(A_CALL, wire.url, home=tmp_path).split() == ["Hello", "hit"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ask", "hi"], 1, "ConfigurationError: the ledger's file needs the file locks of POSIX"),
        (["doctor", "--offline"], 1, "wrong file: the ledger's file needs the file locks of POSIX"),
        (["models", "add", "hf:inferkit/none/model.gguf"], 1, "is fetched under a file lock of POSIX"),
    ],
)
def test_a_command_serves_or_is_refused_in_a_line(tmp_path, arguments, code, said):
    assert said in " ".join(without(COMMAND, *arguments, home=tmp_path, code=code).split())
