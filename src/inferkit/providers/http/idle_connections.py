"""Pools that close no connection over which a call has begun to ask.

httpcore's pools choose which connections to close (those that are idle for too long, or too many, and those that the
server has closed, as it seems where there is something to read), and close them a moment later. Meanwhile a call that
was given one of them may have sent its request: in another thread, or on a loop while another connection is closed.
It would fail although the provider has answered it, and bills it, and be made once more.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

__all__ = ["close_idle_ones_alone"]


def close_idle_ones_alone(pool: Any) -> None:
    """Have one of httpcore's pools close connections only where no call is on its way over them."""
    if hasattr(pool, "_assign_requests_to_connections"):
        pool.__class__ = _careful(pool.__class__)


@functools.cache
def _careful(kind: Any) -> Any:
    """Give a kind of pool that looks once more at what it is about to close, and keeps what is in use by then."""

    def assign(self: Any) -> list[Any]:
        chosen: list[Any] = kind._assign_requests_to_connections(self)  # noqa: SLF001 - no other way
        if not chosen:
            return chosen
        closing = []
        for connection in chosen:
            if _is_shut(connection):
                closing.append(connection)
            else:
                self._connections.append(connection)  # its turn comes when that call is over
        return closing

    return type(kind.__name__, (kind,), {"_assign_requests_to_connections": assign})


def _is_shut(connection: Any) -> bool:
    """Have a connection take no request any more, which whoever was given it then asks elsewhere; False where it did.

    The lock is that under which a connection takes a request; on a loop, taking one is a single step.
    """
    while "_state" not in vars(connection):
        connection = vars(connection).get("_connection")
        if connection is None:  # it was never opened
            return True
    lock = connection._state_lock  # noqa: SLF001 - nothing else can say it
    with lock if hasattr(lock, "__enter__") else contextlib.nullcontext():
        if connection.is_idle():
            connection._state = type(connection._state).CLOSED  # noqa: SLF001 - as `close` does
        return bool(connection.is_closed())
