"""The connection that one call runs over, as far as it is known: what a deadline or a close has to cut."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import DeadlineExceeded, StreamError
from inferkit.providers.http.network_errors import network_error
from inferkit.runtime.scheduler import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from inferkit.runtime.protocol import Runtime

__all__ = ["Connection", "let_go", "shut_down"]

_OPENED = {"connection.connect_tcp.complete", "connection.start_tls.complete"}
_MANY = 256


class Connection:
    """Where a call's bytes flow. `cut` releases it on its event loop; a blocking one is cut by shutting its socket."""

    __slots__ = ("_answered", "_idle", "_sock", "_watch", "closed", "cut", "deadline", "expired", "process", "runtime")

    def __init__(self, runtime: Runtime, deadline: float | None, idle: dict[Any, int]) -> None:
        self.runtime = runtime
        self.deadline = deadline
        self._idle = idle
        self._answered = False
        self._sock: Any = None
        self.cut: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.closed = False
        self.expired = False  # cut because its time was over
        self.process = os.getpid()
        self._watch: Timer | None = None

    def learn(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket of a connection that is being opened. Called by httpcore, as its `trace` extension."""
        if event in _OPENED:
            self._sock = info["return_value"].get_extra_info("socket")

    def answered(self, extensions: Mapping[str, Any]) -> None:
        """Note the socket that the answer comes over. One of HTTP/2 is other calls' too, and is not to be cut."""
        if not self.runtime.blocking:
            return  # `cut` is what ends it, and asking for the socket takes as long as two layers
        network = extensions.get("network_stream")
        shared = extensions.get("http_version") == b"HTTP/2"
        self._sock = None if network is None or shared else network.get_extra_info("socket")
        self._answered = True
        if self._sock is not None:
            self._idle.pop(self._sock, None)

    def give_back(self) -> None:
        """Note that the socket is idle again, in its pool, and whose process's it is."""
        if self._sock is not None and self._sock.fileno() != -1:
            self._idle[self._sock] = self.process
            if len(self._idle) > _MANY:
                for sock in [sock for sock in list(self._idle) if sock.fileno() == -1]:
                    self._idle.pop(sock, None)

    def watch(self, deadline: float | None) -> None:
        """Have the connection cut at `deadline`, and at no earlier call's."""
        self.unwatch()
        if deadline is not None:
            self._watch = Timer(deadline, self._end)
            self._watch.start()

    def unwatch(self) -> None:
        """Have it cut no more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def _end(self) -> None:
        self.expired = True
        if not self.runtime.blocking:
            if self.cut is not None:
                self.runtime.call_later_from_anywhere(self.cut)
        elif self._sock is None and not self._answered:
            # A server that trickles its headers over a connection used before: it is one of those that were idle.
            for sock, process in list(self._idle.items()):
                shut_down(sock, process)
        else:
            self.wake()

    def wake(self) -> None:
        """Wake a thread that reads from the connection."""
        if self._sock is not None:
            shut_down(self._sock, self.process)

    def part(self, sock: Any) -> None:
        """Hang up on a connection that is at its end, so that its pool does not use it again."""
        shut_down(sock, self.process)

    @property
    def is_over(self) -> bool:
        """Whether it was closed or cut."""
        return self.closed or self.expired

    def check(self) -> None:
        """Raise if it was closed or cut."""
        if self.is_over:
            raise ConnectionResetError

    def within(self, seconds: float) -> float:
        """Give the instant that many seconds ahead, or the deadline if that is sooner."""
        instant = self.runtime.now() + seconds
        return instant if self.deadline is None else min(instant, self.deadline)

    def explain(self, error: Exception, provider: str) -> Exception:
        """Say what an error on the way means to the caller."""
        if self.closed:
            return StreamError("the stream was closed while it was being read")
        if self.expired or (self.deadline is not None and self.runtime.now() >= self.deadline):
            return DeadlineExceeded()
        return network_error(error, provider) or error


def let_go(idle: dict[Any, int]) -> None:
    """Close a forked child's copies of the sockets that were idle in its parent, which uses them on.

    Nothing is said to whoever is at the other end. Left open, they would be warned of when the child exits.
    """
    while idle:
        sock, _ = idle.popitem()
        with contextlib.suppress(OSError):
            os.close(sock.detach())


def shut_down(sock: Any, process: int) -> None:
    """Wake whoever reads from a socket, unless it was inherited: then it is `process` that uses it."""
    if process != os.getpid():
        return
    with contextlib.suppress(OSError):
        # an SSLSocket's own shutdown takes the TLS state away from under the reader
        (socket.socket.shutdown if isinstance(sock, socket.socket) else type(sock).shutdown)(sock, socket.SHUT_RDWR)
