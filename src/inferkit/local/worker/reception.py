"""Takes calls in while the model computes: a thread of the worker that reads sockets and never waits for one."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any

from inferkit.local.worker.protocol import FrameDecoder, encode

if TYPE_CHECKING:
    from inferkit.local.worker.pulse import Pulse

__all__ = ["IncomingCall", "Reception"]

_READ = 1 << 16
_GONE = (BrokenPipeError, ConnectionResetError)


class IncomingCall:
    """One caller's socket. Nothing here waits for the caller: what it does not read yet is kept.

    The model asks before each step whether the caller is still there, so that is where steps are counted.
    """

    def __init__(self, sock: socket.socket, pulse: Pulse) -> None:
        self._sock = sock
        self._pulse = pulse
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
        self._pulse.beat()
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
    """Takes in calls while the model computes, and ends the process when the application is gone or lets go of it.

    It does so at once, unless `outlives_application` says that there is nothing to compute: then the calls that came
    are answered first, and None after them ends it.
    """

    def __init__(self, control: socket.socket, pulse: Pulse) -> None:
        self._control = control
        self._pulse = pulse
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self.calls: queue.SimpleQueue[IncomingCall | None] = queue.SimpleQueue()
        self.outlives_application = False

    def run(self) -> None:
        """Serve the control socket until its other end is closed."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._read(key.fileobj)
                elif not self._accept():
                    self._take_the_last()
                    return

    def _accept(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            data, descriptors = b"", []
        if not data and not self.outlives_application:
            os._exit(0)  # at once, also out of the middle of a computation
        for descriptor in descriptors:
            self._selector.register(IncomingCall(socket.socket(fileno=descriptor), self._pulse), selectors.EVENT_READ)
        return bool(data)

    def _take_the_last(self) -> None:
        self._selector.unregister(self._control)
        for key in list(self._selector.get_map().values()):
            self._read(key.fileobj)
        self.calls.put(None)

    def _read(self, call: Any) -> None:
        complete = call.receive()
        if complete is False:
            return
        self._selector.unregister(call)
        if complete:
            self.calls.put(call)
        else:
            call.close()
