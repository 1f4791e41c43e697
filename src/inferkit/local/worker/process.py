"""Starts the worker process, hands calls to it, and sees that it ends.

One socket pair controls it. A call's own socket is passed through that pair, so a call can be opened from any thread,
task or fork of the application, nobody else can connect, and the end of the process is the end of every socket.
"""

from __future__ import annotations

import contextlib
import os
import signal
import site
import socket
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inferkit.local.engines.machine import killed_for_memory, tells_of_memory
from inferkit.local.errors import EngineUnavailable
from inferkit.local.worker.protocol import encode
from inferkit.local.worker.pulse import Pulse
from inferkit.runtime import forks

if TYPE_CHECKING:
    from inferkit.local.errors import DeathCause

__all__ = ["WorkerProcess", "exit_story", "memory_file", "worker_environment"]

_EXIT_SECONDS = 2.0
_TAIL_BYTES = 600
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
_ROOT = Path(__file__).resolve().parents[3]
"""Where the package lies that the worker must find too."""

_NEEDED = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "TZ", "VIRTUAL_ENV"})
_NEEDED_PREFIXES = ("PYTHON", "LC_", "LD_", "OMP_", "GOMP_", "CUDA_", "NVIDIA_", "COVERAGE_")
_unreaped: list[subprocess.Popen[bytes]] = []


class WorkerProcess:
    """A running worker. `settings` is its first frame."""

    def __init__(self, settings: dict[str, Any]) -> None:
        if not hasattr(socket, "send_fds"):
            raise EngineUnavailable("the local engine needs Linux; on this system use another provider")
        with contextlib.ExitStack() as undo:
            self._errors = undo.enter_context(memory_file())
            ours, theirs = socket.socketpair()
            undo.enter_context(ours)
            with theirs, memory_file() as shared:
                self.pulse = Pulse.on(shared)
                self._process = _start(theirs, self._errors, shared)
            undo.pop_all()
        self._killed_before = killed_for_memory()
        self._verdict: tuple[DeathCause, str] | None = None
        self._control = ours
        self._owner = os.getpid()
        self.pid = self._process.pid
        self.proven = False
        self.close = weakref.finalize(self, _stop, self._process, ours, self._errors, (self._owner, forks.children))
        with contextlib.suppress(OSError):  # a process that died already is noticed by its first call
            ours.sendall(encode(settings))

    def hand_over(self, sock: socket.socket) -> bool:
        """Pass a call's socket to the worker; False if the worker is gone."""
        try:
            socket.send_fds(self._control, [b"c"], [sock.fileno()])
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Take no more calls: a worker that could not load its model answers those it has, and ends."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def kill(self, cause: DeathCause, story: str) -> None:
        """End it at once, whatever it does, for the reason that all of its callers shall be told."""
        self._verdict = (cause, story)
        with contextlib.suppress(OSError):
            if os.getpid() == self._owner:
                self._process.kill()
            else:
                os.kill(self.pid, signal.SIGKILL)  # of a fork: it holds a socket that only the living hold open

    def obituary(self) -> tuple[DeathCause, str]:
        """Say how the process ended, with the last it wrote. Waits a moment for a process that is just ending."""
        cause: DeathCause = "exited"
        story = "it ended"
        tail = self._tail()
        if os.getpid() == self._owner:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_EXIT_SECONDS)
                tail = self._tail()
                cause, story = self._cause(code, tail), exit_story(code)
        if self._verdict is not None:
            return self._verdict
        if cause == "out_of_memory":
            story += " for want of memory"
        return cause, f"{story}; its last words: {tail}" if tail else story

    def _cause(self, code: int, tail: str) -> DeathCause:
        if code == -signal.SIGKILL:
            return "out_of_memory" if killed_for_memory() > self._killed_before else "killed"
        if tells_of_memory(tail):
            return "out_of_memory"
        if code >= 0:
            return "exited"
        if code == -signal.SIGABRT:
            return "aborted"
        return "crashed" if -code in _FAULTS else "killed"

    def _tail(self) -> str:
        try:
            descriptor = self._errors.fileno()
            size = os.fstat(descriptor).st_size
            raw = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        except (OSError, ValueError):
            return ""
        return " | ".join(line.strip() for line in raw.decode("utf-8", "replace").splitlines() if line.strip())


def memory_file() -> IO[bytes]:
    """Make a file for what the worker leaves, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("inferkit-worker"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _start(theirs: socket.socket, errors: IO[bytes], shared: IO[bytes]) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise EngineUnavailable("the local engine starts a Python process, and sys.executable does not name one")
    try:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "inferkit.local.worker", str(theirs.fileno()), str(shared.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(theirs.fileno(), shared.fileno()),
            env=worker_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise EngineUnavailable(f"the local engine cannot start {sys.executable} ({error.strerror})") from error


def worker_environment() -> dict[str, str]:
    """Give the worker what Python and the engine read, and none of the application's keys and secrets."""
    environment = {k: v for k, v in os.environ.items() if k in _NEEDED or k.startswith(_NEEDED_PREFIXES)}
    root = str(_ROOT)
    if root not in (*site.getsitepackages(), site.getusersitepackages()):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    return environment


def _stop(process: subprocess.Popen[bytes], control: socket.socket, errors: Any, origin: tuple[int, int]) -> None:
    """Let go of the worker, which ends when nobody holds it, and collect it if it is this process's child."""
    control.close()
    errors.close()
    owner, children = origin
    if os.getpid() != owner:
        process.returncode = 0  # another process's child: that one collects it
        return
    try:
        process.wait(_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        if children == forks.children:
            process.kill()
            process.wait()
        else:
            _unreaped.append(process)  # a fork of the application may still use it


def exit_story(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"it exited with status {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
