"""The application's side of the worker: one at a time, started when needed and replaced when it dies.

Nothing here waits for the model: a call is a socket, and how to wait for it is its reader's business.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inferkit.core.errors import ConfigurationError, InvalidRequest, LocalModelError, ModelFileError, Unavailable
from inferkit.local.errors import PROVIDER, WorkerDied
from inferkit.local.worker.process import WorkerProcess
from inferkit.local.worker.protocol import FRAME_LIMIT, FrameDecoder, encode, from_frame, to_frame
from inferkit.local.worker.pulse import HANG_SECONDS, Watch
from inferkit.runtime import clock
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.local.engines.interface import EngineSettings

__all__ = ["WorkerCall", "WorkerSupervisor"]

_READ = 1 << 16
_DEATHS_LIMIT = 2
_REFUSAL_SECONDS = 30.0


class WorkerCall:
    """One request under way. Wait until the socket is readable, then take what came with `receive`.

    Where nothing came for `interval` seconds, `look` at the worker. Closing it, at any time, stops the model before its
    next token; so does dropping it.
    """

    def __init__(self, sock: socket.socket, worker: WorkerProcess, supervisor: WorkerSupervisor) -> None:
        self.sock = sock
        self._worker = worker
        self._supervisor = supervisor
        self._decoder = FrameDecoder()
        self._watch = Watch(worker.pulse, worker.pid, supervisor.hang_seconds)
        self.interval = self._watch.interval
        self.close = weakref.finalize(self, _hang_up, sock, os.getpid())
        sock.setblocking(False)

    def fileno(self) -> int:
        """Give the socket's descriptor, for whoever waits."""
        return self.sock.fileno()

    def receive(self) -> list[dict[str, Any]]:
        """Take the frames that have come, none if nothing has.

        Raises the worker's error where it reports one, and `WorkerDied` where it ended without a last word. A caller
        stops reading at the frame that ends the request.
        """
        try:
            data = self.sock.recv(_READ)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            raise self._supervisor.bury(self._worker)
        self._worker.proven = True
        frames = self._decoder.feed(data)
        for frame in frames:
            if "error" in frame:
                error = from_frame(frame)
                if frame.get("fatal"):
                    self._supervisor.dismiss(self._worker, error)
                raise error
        return frames

    def look(self) -> None:
        """See whether the worker still computes. Raises `WorkerDied` where it hangs, after ending it."""
        if self._watch.hangs():
            self._supervisor.end(self._worker)
            raise self._supervisor.bury(self._worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WorkerSupervisor:
    """A model file and the worker that runs it. Safe to use from any thread, task and fork."""

    def __init__(self, settings: EngineSettings, *, hang_seconds: float = HANG_SECONDS) -> None:
        self._settings = settings
        self.hang_seconds = hang_seconds
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._leaving: list[WorkerProcess] = []
        self._deaths = 0
        self._dead_file: tuple[int, int] | None = None
        self._refusal: tuple[Exception, tuple[int, int], float] | None = None
        self._closed = False
        renew_after_fork(self)

    def open(self, request: dict[str, Any]) -> WorkerCall:
        """Send a request: `messages` ([role, text] pairs) or `prompt`, and options; see `engines.interface`.

        Raises `ModelFileError` where the file is missing, or killed the worker twice while it was loaded.
        """
        try:
            frame = encode(request)
        except ValueError:
            raise InvalidRequest(f"the prompt is over {FRAME_LIMIT >> 20} MiB", provider=PROVIDER) from None
        for _ in range(_DEATHS_LIMIT):
            try:
                worker = self._running()
                ours, theirs = socket.socketpair()
            except OSError as error:
                raise Unavailable(
                    f"the system gives the local engine no more sockets or memory ({error.strerror}); close some files",
                    provider=PROVIDER,
                ) from error
            if _sent(frame, ours, theirs, worker):
                return WorkerCall(ours, worker, self)
            ours.close()
            death = self.bury(worker)
        raise death

    def close(self) -> None:
        """End the worker. Calls under way get `WorkerDied`; later ones `ConfigurationError`."""
        with self._lock:
            self._closed = True
            workers = [worker for worker in (self._worker, *self._leaving) if worker is not None]
            self._worker, self._leaving = None, []
        for worker in workers:
            worker.close()

    @property
    def pid(self) -> int | None:
        """The worker's process number while there is one."""
        worker = self._worker
        return None if worker is None else worker.pid

    def _running(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise ConfigurationError("this local model was closed; make a new Local")
            if self._worker is None:
                self._check_refusal()
                self._check_file()
                while self._leaving:
                    self._leaving.pop().close()
                self._worker = WorkerProcess(asdict(self._settings))
            return self._worker

    def _check_refusal(self) -> None:
        """Start no process for a file that could not be loaded a moment ago, unless it has changed."""
        if self._refusal is None:
            return
        error, stamp, until = self._refusal
        if clock.now() < until and stamp == self._stamp():
            raise from_frame(to_frame(error))
        self._refusal = None

    def _check_file(self) -> None:
        """Do not feed a file to worker after worker that it kills, unless it has changed."""
        if self._deaths < _DEATHS_LIMIT:
            return
        if self._stamp() == self._dead_file:
            raise ModelFileError(
                f"{self._settings.model} ended the engine's process {self._deaths} times while it was being loaded; "
                "replace the file, or make a new Local with a lower context_length or gpu_layers"
            )
        self._deaths = 0

    def _stamp(self) -> tuple[int, int]:
        with contextlib.suppress(OSError):
            status = Path(self._settings.model).stat()
            return status.st_size, status.st_mtime_ns
        return 0, 0

    def bury(self, worker: WorkerProcess) -> WorkerDied:
        """Let go of a worker that died, and give the error that its callers get."""
        cause, story = worker.obituary()
        with self._lock:
            if self._closed:
                return WorkerDied("the local model was closed during the call", cause="closed", retryable=False)
            if self._worker is worker:
                self._worker = None
                self._deaths = 0 if worker.proven else self._deaths + 1
                self._dead_file = self._stamp()
        return WorkerDied(
            f"the process that runs {self._settings.model} died: {story}; the next call starts another", cause=cause
        )

    def end(self, worker: WorkerProcess) -> None:
        """End a worker that hangs."""
        worker.kill("hung", f"it computed nothing for {self.hang_seconds:g} seconds, and was ended")

    def dismiss(self, worker: WorkerProcess, error: Exception) -> None:
        """Let go of a worker that could not load the file, so that a later call looks at the file again."""
        with self._lock:
            if self._worker is worker:
                self._worker = None
                self._leaving.append(worker)
                worker.release()
                if isinstance(error, LocalModelError):
                    self._refusal = (error, self._stamp(), clock.now() + _REFUSAL_SECONDS)

    def renew(self) -> None:
        """Start with a fresh lock in a fork: another thread of the parent may have held it."""
        self._lock = threading.Lock()


def _hang_up(sock: socket.socket, owner: int) -> None:
    """Close a call. A fork may hold the socket too, so its owner shuts it down, and does not just close it."""
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _sent(frame: bytes, ours: socket.socket, theirs: socket.socket, worker: WorkerProcess) -> bool:
    """Hand a call's socket to the worker and the request after it; False if the worker is gone."""
    with theirs:
        if not worker.hand_over(theirs):
            return False
    try:
        ours.sendall(frame)
    except OSError:
        return False
    return True
