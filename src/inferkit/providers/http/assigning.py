"""Pools that give a connection to one call at a time, and look at few of them for that.

httpcore's pools look every connection over for every other one, whenever a call begins or ends: with fifty calls at
once that took more time than all else. They offer an idle one to each call that waits until one of them has begun to
send, and the others, which find it taken, ask again. And they close connections which a call was given a moment before:
that would fail although the provider has answered it, and bills it, and be made once more.

Here a connection is a call's from the moment at which it is given to it. Whether the server has closed one is looked at
before a call gets it, and once a second for the others. Pools that speak HTTP/2, where calls share connections, do all
that as httpcore does, but close none that is in use.
"""

from __future__ import annotations

import functools
from typing import Any

from inferkit.runtime import clock

__all__ = ["assign_each_to_one"]

_LOOK_SECONDS = 1.0


def assign_each_to_one(pool: Any) -> None:
    """Have one of httpcore's pools give connections to calls in this way."""
    if hasattr(pool, "_assign_requests_to_connections"):
        pool.__class__ = _careful(pool.__class__)
        pool.look_over_at = 0.0


@functools.cache
def _careful(kind: Any) -> Any:
    """Give a kind of pool that chooses in this way."""

    def assign(self: Any) -> list[Any]:
        if not self._http2:
            return _Choice(self).made()
        closing: list[Any] = kind._assign_requests_to_connections(self)  # noqa: SLF001 - no other way
        taken = {request.connection for request in self._requests} if closing else set()
        self._connections += [each for each in closing if each in taken]  # their turn comes when those calls are over
        return [each for each in closing if each not in taken]

    return type(kind.__name__, (kind,), {"_assign_requests_to_connections": assign})


class _Choice:
    """What becomes of connections and of calls that wait for one, as a call begins or ends.

    The pool's lock is held, or on a loop, nothing else runs.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._taken = set()
        self._waiting = []
        for request in pool._requests:  # noqa: SLF001 - here and below: what a subclass of httpcore's pool is given
            if request.connection is None:
                self._waiting.append(request)
            else:
                self._taken.add(request.connection)
        self._gone: set[Any] = set()
        self._closing: list[Any] = []

    def made(self) -> list[Any]:
        """Choose; give the connections that are to be closed."""
        pool, now = self._pool, clock.now()
        is_due = now >= pool.look_over_at
        most = pool._max_keepalive_connections  # noqa: SLF001
        if not (self._waiting or is_due or len(pool._connections) - len(self._taken) > most):  # noqa: SLF001
            return []
        free = [each for each in pool._connections if each not in self._taken]  # noqa: SLF001
        if is_due or len(free) > most:
            pool.look_over_at = now + _LOOK_SECONDS
            free = [each for each in free if self._is_sound(each)]
        for request in self._waiting:
            if not self._serve(request, free):
                break
        while len(free) > most:
            self._let_go(free.pop(0))
        if self._gone:
            pool._connections[:] = [each for each in pool._connections if each not in self._gone]  # noqa: SLF001
        return self._closing

    def _serve(self, request: Any, free: list[Any]) -> bool:
        """Give a call one of the connections that are free, or a new one; False where there can be none now."""
        pool, origin = self._pool, request.request.url.origin
        for connection in tuple(free):
            if not connection.can_handle_request(origin):
                continue
            free.remove(connection)
            if self._is_sound(connection):
                request.assign_to_connection(connection)
                return True
        if len(pool._connections) - len(self._gone) >= pool._max_connections:  # noqa: SLF001
            if not free:
                return False
            self._let_go(free.pop(0))
        connection = pool.create_connection(origin)
        pool._connections.append(connection)  # noqa: SLF001
        request.assign_to_connection(connection)
        return True

    def _is_sound(self, connection: Any) -> bool:
        """Say whether a connection that is free can serve a call; let go of it if not."""
        if connection.is_closed():
            self._gone.add(connection)
        elif connection.has_expired() or not connection.is_available():
            self._let_go(connection)
        else:
            return True
        return False

    def _let_go(self, connection: Any) -> None:
        self._gone.add(connection)
        self._closing.append(connection)
