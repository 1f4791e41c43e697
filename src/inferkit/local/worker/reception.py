"""Takes calls in while the model computes: a thread of the worker that reads sockets and never waits for one."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any

from inferkit.local.worker.protocol import FrameDecoder, encode
from inferkit.runtime import clock

if TYPE_CHECKING:
    from inferkit.local.worker.pulse import Pulse

__all__ = ["IncomingCall", "Reception"]

_READ = 1 << 16
_TOGETHER_SECONDS = 0.002
_WHOLE_SECONDS = 0.02
_TEXT, _ALL_BUT_THE_END = frozenset({"text"}), frozenset({"start", "text"})
_GONE = (BrokenPipeError, ConnectionResetError)


class IncomingCall:
    """One caller's socket. Nothing here waits for the caller: what it does not read yet is kept.

    The model asks before each step whether the caller is still there, so that is where steps are counted. Waking the
    caller takes longer than a small model takes for a token: texts that come sooner after one another than two
    milliseconds are sent together, the first at once. Who waits for the whole reply reads nothing before its end: there
    it is all that comes within twenty milliseconds, from the question on, and as one text.
    """

    def __init__(self, sock: socket.socket, pulse: Pulse) -> None:
        self._sock = sock
        self._pulse = pulse
        self._unsent = bytearray()
        self._sent_at = -math.inf
        self._together = _TOGETHER_SECONDS
        self._kept = _TEXT
        self._is_whole = False
        self._texts: list[str] = []
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
            if self.request.get("whole"):
                self._is_whole = True
                self._together, self._kept, self._sent_at = _WHOLE_SECONDS, _ALL_BUT_THE_END, clock.now()
            return True
        return False if data else None

    def gone(self) -> bool:
        """Say whether the caller closed its end."""
        self._pulse.beat()
        if (self._unsent or self._texts) and clock.now() - self._sent_at >= self._together:
            self.flush()
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame as far as the caller's buffer takes it; a text perhaps with those that come next."""
        if self._is_whole and frame.keys() == _TEXT:
            self._texts.append(frame["text"])
        else:
            self._write_texts()
            self._unsent += encode(frame)
        if self._kept.isdisjoint(frame) or clock.now() - self._sent_at >= self._together:
            self.flush()

    def flush(self) -> None:
        """Send what is kept, as far as the caller's buffer takes it."""
        self._sent_at = clock.now()
        self._write_texts()
        with contextlib.suppress(BlockingIOError, *_GONE):
            sent = self._sock.send(self._unsent)
            del self._unsent[:sent]

    def _write_texts(self) -> None:
        if self._texts:
            self._unsent += encode({"text": "".join(self._texts)})
            self._texts.clear()

    def close(self) -> None:
        """Close once everything is sent, in a thread of its own where the caller reads slowly."""
        if self._unsent or self._texts:
            self.flush()
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
