"""The worker process: owns the model, and answers calls in turn, each over a socket of its own.

Started by `inferkit.local.process` with one number, the descriptor of its control socket. The first frame there says
what to load; each byte after it brings the socket of a call. When no application holds the other end, the process ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from inferkit.local import capacity
from inferkit.local.errors import to_frame
from inferkit.local.library import find_library, load_cuda
from inferkit.local.llama import Llama
from inferkit.local.preflight import inspect
from inferkit.local.protocol import FrameDecoder, encode
from inferkit.local.session import Session

_READ = 1 << 16
_GONE = (BrokenPipeError, ConnectionResetError)


class Call:
    """One caller's socket. Nothing here waits for the caller: what it does not read yet is kept."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unsent = bytearray()
        self._decoder = FrameDecoder()
        self.request: dict[str, Any] = {}
        sock.setblocking(False)

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self._sock.fileno()

    def receive(self) -> bool | None:
        """Read what is there: True when the request is complete, None when the caller is gone."""
        try:
            data = self._sock.recv(_READ)
            frames = self._decoder.feed(data)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            return None
        if frames:
            self.request = frames[0]
            return True
        return False if data else None

    def gone(self) -> bool:
        """Say whether the caller closed its end."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame as far as the caller's buffer takes it."""
        self._unsent += encode(frame)
        with contextlib.suppress(BlockingIOError, *_GONE):
            sent = self._sock.send(self._unsent)
            del self._unsent[:sent]

    def close(self) -> None:
        """Close once everything is sent, in a thread of its own where the caller reads slowly."""
        if self._unsent and not self.gone():
            threading.Thread(target=self._finish, daemon=True).start()
        else:
            self._sock.close()

    def _finish(self) -> None:
        with contextlib.suppress(OSError), self._sock:
            self._sock.setblocking(True)
            self._sock.sendall(self._unsent)


class Reception:
    """Takes in calls while the model computes, and ends the process when the application is gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self.calls: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def run(self) -> None:
        """Serve the control socket; never returns."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    self._accept()
                else:
                    self._read(key.fileobj)

    def _accept(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            data, descriptors = b"", []
        if not data:
            os._exit(0)  # at once, also out of the middle of a computation
        for descriptor in descriptors:
            self._selector.register(Call(socket.socket(fileno=descriptor)), selectors.EVENT_READ)

    def _read(self, call: Any) -> None:
        complete = call.receive()
        if complete is False:
            return
        self._selector.unregister(call)
        if complete:
            self.calls.put(call)
        else:
            call.close()


def load(settings: dict[str, Any]) -> Session:
    """Check the file, choose the library and the sizes, and load the model."""
    model = inspect(settings["model"])
    gpu_layers = settings["gpu_layers"]
    library = find_library(gpu=gpu_layers > 0)
    if gpu_layers > 0:
        load_cuda()
    sizes = capacity.plan(
        model,
        context_length=settings["context_length"],
        threads=settings["threads"],
        memory=capacity.available_memory(),
    )
    llama = Llama(
        library,
        Path(settings["model"]),
        context_length=sizes.context_length,
        batch=sizes.batch,
        threads=sizes.threads,
        gpu_layers=gpu_layers,
    )
    return Session(model, llama, settings["prompt_format"])


def answer(session: Session | Exception, call: Call) -> None:
    """Answer one call; a failure is told to its caller and ends nothing else."""
    try:
        if call.gone():
            return
        if isinstance(session, Exception):
            call.send({**to_frame(session), "fatal": True})
        else:
            session.serve(call.request, call)
    except Exception as error:
        call.send(to_frame(error))
    finally:
        call.close()


def read_settings(control: socket.socket) -> dict[str, Any]:
    """Read the first frame, byte by byte at its end: what follows it carries descriptors."""
    decoder = FrameDecoder()
    while True:
        data = control.recv(1)
        if not data:
            os._exit(0)
        frames = decoder.feed(data)
        if frames:
            return frames[0]


def main() -> None:
    """Run until the application is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is the application's
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = read_settings(control)
    reception = Reception(control)
    threading.Thread(target=reception.run, daemon=True).start()
    session: Session | Exception
    try:
        session = load(settings)
    except Exception as error:
        session = error
    while True:
        answer(session, reception.calls.get())


if __name__ == "__main__":
    main()
