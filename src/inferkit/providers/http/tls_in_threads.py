"""A connection of TLS that one thread reads from while others write to it, as those of HTTP/2 are used.

OpenSSL's connections are not safe from threads, and Python does not make them so: a read and a write at once break the
encryption, and the server hangs up. Here each is done only when it need not wait, one at a time.
"""

from __future__ import annotations

import select
import ssl
import threading
from typing import TYPE_CHECKING, Any

import httpcore

from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ThreadedStream"]

_POLLS = hasattr(select, "poll")  # Windows has none, and no limit to the numbers that `select` takes
_MOST_SECONDS = 1e6  # what `poll` takes


class ThreadedStream(httpcore.NetworkStream):
    """Does what a stream of httpcore's over a socket does, from any thread."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._sock: Any = stream.get_extra_info("socket")
        self._one_at_a_time = threading.Lock()
        self._sock.setblocking(False)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See httpcore's `NetworkStream`."""
        read: bytes = self._step(self._sock.recv, max_bytes, timeout, httpcore.ReadTimeout, httpcore.ReadError)
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See httpcore's `NetworkStream`."""
        left = memoryview(buffer)
        while left:
            left = left[self._step(self._sock.send, left, timeout, httpcore.WriteTimeout, httpcore.WriteError) :]

    def close(self) -> None:
        """See httpcore's `NetworkStream`."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """See httpcore's `NetworkStream`."""
        return self._stream.get_extra_info(info)

    def _step(
        self,
        do: Callable[[Any], Any],
        given: Any,
        timeout: float | None,
        late: Callable[[str], Exception],
        broken: Callable[[str], Exception],
    ) -> Any:
        until = None if timeout is None else clock.now() + timeout
        while True:
            try:
                with self._one_at_a_time:
                    return do(given)
            except ssl.SSLWantReadError:
                writes = False
            except ssl.SSLWantWriteError:
                writes = True
            except (OSError, ValueError) as error:
                raise broken(str(error)) from error
            left = _MOST_SECONDS if until is None else min(until - clock.now(), _MOST_SECONDS)
            try:
                is_ready = left > 0 and self._wait(left, writes=writes)
            except (OSError, ValueError) as error:
                raise broken(str(error)) from error
            if not is_ready and until is not None and clock.now() >= until:
                raise late("timed out")

    def _wait(self, seconds: float, *, writes: bool) -> bool:
        """Wait until the socket can be read, or written to; say whether it can."""
        if not _POLLS:
            this = [self._sock]
            return any(select.select([] if writes else this, this if writes else [], this, seconds))
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT if writes else select.POLLIN)
        return bool(poll.poll(seconds * 1000))
