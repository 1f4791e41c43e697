"""Ends connections whose time is over, from one thread for the whole process.

A blocking read cannot be cancelled and its timeout is fixed when the request is sent, so a server that trickles
keep-alive comments would hold it for ever. The thread looks at the running calls a few times a second and shuts the
sockets of the overdue ones down, which wakes whoever reads from them. It ends when nothing has run for a while.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Watch", "shut_down"]

_TICK_SECONDS = 0.05
_IDLE_TICKS = 40

_lock = threading.Lock()
_running: set[Watch] = set()
_thread: threading.Thread | None = None


class Watch:
    """One connection's time limit: `end` is called once when `deadline`, on the monotonic clock, has passed.

    `end` must be quick and watch nothing itself.
    """

    __slots__ = ("deadline", "end")

    def __init__(self, deadline: float, end: Callable[[], object]) -> None:
        self.deadline = deadline
        self.end = end

    def start(self) -> None:
        """Begin to watch."""
        global _thread  # noqa: PLW0603 - one thread a process
        with _lock:
            _running.add(self)
            if _thread is None:
                thread = threading.Thread(target=_run, name="inferkit-deadlines", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
                    thread.start()
                    _thread = thread

    def stop(self) -> None:
        """Watch no longer: `end` is not called once this has returned. Does nothing the second time."""
        with _lock:
            _running.discard(self)


def _run() -> None:
    global _thread  # noqa: PLW0603 - see above
    idle = 0
    while True:
        time.sleep(_TICK_SECONDS)
        now = time.monotonic()
        with _lock:
            overdue = [watch for watch in _running if watch.deadline <= now]
            _running.difference_update(overdue)
            for watch in overdue:  # holding the lock: once stopped, a connection may be another call's
                with contextlib.suppress(Exception):  # the connection ended by itself meanwhile
                    watch.end()
            idle = 0 if _running or overdue else idle + 1
            if idle > _IDLE_TICKS:
                _thread = None
                return


def shut_down(sock: Any, process: int) -> None:
    """Wake whoever reads from a socket, unless it was inherited: then it is `process` that uses it."""
    if process != os.getpid():
        return
    with contextlib.suppress(OSError):
        # an SSLSocket's own shutdown takes the TLS state away from under the reader
        (socket.socket.shutdown if isinstance(sock, socket.socket) else type(sock).shutdown)(sock, socket.SHUT_RDWR)


def _after_fork() -> None:
    global _lock, _thread  # noqa: PLW0603 - a fork has no other threads, and the running calls are the parent's
    _lock = threading.Lock()
    _running.clear()
    _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
