"""What a transport is: it sends one request, and hands its answer out piece by piece.

A transport moves bytes and knows nothing of what they mean. It never follows a redirect (the prompt would go along),
bounds what it holds, and keeps the deadline whatever the server does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.runtime.protocol import Runtime

__all__ = ["Exchange", "Timeouts", "Transport"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    `connect` is for a connection, `write` for a part of the request to be taken, `pool` for a free connection. `read`
    is for the reply to begin, and for more of one that comes whole: models that think may be silent for minutes.
    `between` is for the next bytes of a stream, where it is less than `read`.
    """

    connect: float = 5.0
    read: float = 600.0
    write: float = 30.0
    pool: float = 10.0
    between: float = 300.0


class Exchange(Protocol):
    """An answer whose status and headers came. Headers are looked up in any case. Whoever holds it closes it."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """Give the next piece of the body, unpacked, or nothing at its end.

        Raises `Unavailable` where the connection breaks, `DeadlineExceeded` when the call's time is over, and
        `StreamError` when the exchange was closed meanwhile.
        """

    async def read_error(self) -> bytes:
        """Give the beginning of what a body says about an error, and close. Takes seconds at most, and never fails."""

    def end_within(self, seconds: float) -> None:
        """Have the body end within that time, and be cut where it does not."""

    def holds_more(self) -> bool:
        """Whether more of the body has come, and was not read; False where that is not known."""

    async def finish(self) -> None:
        """Read the little that follows what was wanted, so that the connection can be used again, and close."""

    async def aclose(self) -> None:
        """Close, from any task or thread, any number of times; a read that waits is woken."""


class Transport(Protocol):
    """Sends requests. Written as coroutines, which under a blocking runtime never suspend."""

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        provider: str,
        runtime: Runtime,
        deadline: float | None = None,
    ) -> Exchange:
        """Send `body`, and return when the status and the headers came.

        `deadline` is an instant of `runtime.now()`, `provider` the name that errors are told under. Raises
        `DeadlineExceeded` when the time is over, `Unavailable` where the network fails, and `ConfigurationError` where
        the transport does not fit the caller.
        """

    async def aclose(self, runtime: Runtime) -> None:
        """Close the connections that were opened for where this runs."""
