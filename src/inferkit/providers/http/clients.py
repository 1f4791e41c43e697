"""Where connections come from: made when first needed, one pool for threads and one for each event loop.

A connection belongs to the loop it was opened on, and to the process: a second `asyncio.run` and a forked child get
pools of their own. Unless proxies are set in the environment, the pools are httpx's transports used directly, which
do all that is needed here (one POST, no redirects, no cookies) at two thirds of the cost of a client.

Nobody has to close them: a pool is closed where it belongs when its owner is dropped, its loop ends or the interpreter
exits. Closing is for those who want it done at once.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.http.transport import Timeouts
from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from ssl import SSLContext

    from inferkit.runtime.protocol import Lock, Runtime

__all__ = ["Clients", "GivenClient", "Sender", "until"]

_MAX_CONNECTIONS = 1000
# httpcore looks every idle connection over at each call, in the square of their number; a TLS handshake costs more
_MAX_IDLE_CONNECTIONS = {"https": 100, "http": 20}
_KEEP_IDLE_SECONDS = 30.0
_MODULES = ("httpx", "httpcore", "urllib.request", "encodings.idna", "pydantic_core")


@dataclass(frozen=True, slots=True)
class Sender:
    """How a request is made and sent: `send` returns the response, or an awaitable of it, once its headers came."""

    build: Callable[[str, Mapping[str, str], bytes, dict[str, Any]], Any]
    send: Callable[[Any], Any]
    close: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Pool:
    """A pool, and what has it closed when nobody holds its owner any more."""

    sender: Sender
    end: weakref.finalize[..., Any]


@dataclass(frozen=True, slots=True)
class _LoopPool(_Pool):
    """The pool of an event loop; closing the keeper closes it."""

    keeper: AsyncGenerator[None]


class GivenClient:
    """A client that the application made and keeps: used as it is, and never closed here."""

    def __init__(self, client: Any) -> None:
        for name in ("build_request", "send"):
            if not callable(getattr(client, name, None)):
                raise ConfigurationError(
                    "http_client= takes an httpx.Client or httpx.AsyncClient (or httpx2's); "
                    f"got {type(client).__name__}"
                )
        self._blocking = not inspect.iscoroutinefunction(client.send)
        self._sender = Sender(
            functools.partial(_build_with, client),
            functools.partial(client.send, stream=True, follow_redirects=False),
            _nothing,
        )
        self.timeouts = _timeouts_of(getattr(client, "timeout", None))

    async def sender(self, runtime: Runtime) -> Sender:
        """Give the client, if it is of the kind that the caller can wait for."""
        if runtime.blocking is not self._blocking:
            have, want, caller = ("a blocking", "httpx.AsyncClient", "AsyncClient")
            if not self._blocking:
                have, want, caller = ("an async", "httpx.Client", "Client")
            raise ConfigurationError(
                f"http_client= is {have} HTTP client, and this call came through inferkit's {caller}; pass an {want}"
            )
        return self._sender

    def preload(self) -> None:
        """Do nothing: whoever made the client has imported what it takes."""

    async def aclose(self, runtime: Runtime) -> None:
        """Leave the client to whoever made it."""


class Clients:
    """The pools made here, for one URL scheme."""

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._blocking: _Pool | None = None
        self._of_loops: dict[Any, _LoopPool] = {}
        renew_after_fork(self)

    async def sender(self, runtime: Runtime) -> Sender:
        """Give the pool for where the call runs."""
        if runtime.blocking:
            if self._blocking is None:
                with self._lock:
                    self._blocking = self._blocking or self._pool(runtime)
            return self._blocking.sender
        known = self._of_loops.get(runtime.place)
        if known is None:
            for place in [place for place in self._of_loops if _is_over(place)]:
                self._of_loops.pop(place).end.detach()
            known = self._of_loops[runtime.place] = self._pool_of_a_loop(runtime)
            await anext(known.keeper)
        return known.sender

    def _pool(self, runtime: Runtime) -> _Pool:
        sender = self._open(runtime)
        return _Pool(sender, weakref.finalize(self, _unless_inherited, os.getpid(), sender.close))

    def _pool_of_a_loop(self, runtime: Runtime) -> _LoopPool:
        sender = self._open(runtime)
        lock = runtime.lock()
        keeper = _while_the_loop_lives(sender, lock, self._of_loops, runtime.place)
        close = functools.partial(_close_early, keeper, sender, lock)
        end = weakref.finalize(self, _unless_inherited, os.getpid(), runtime.call_later_from_anywhere, close)
        end.atexit = False  # what still runs then is not waited for
        return _LoopPool(sender, end, keeper)

    async def aclose(self, runtime: Runtime) -> None:
        """Close the pool for where this runs; those of other event loops close when their loops end."""
        if runtime.blocking:
            pool, self._blocking = self._blocking, None
            if pool is not None:
                pool.end()
        else:
            known = self._of_loops.get(runtime.place)
            if known is not None:
                await known.keeper.aclose()

    def preload(self) -> None:
        """Import what a pool is made of, and load the certificates."""
        imports.load(*_MODULES)
        if self._tls:
            _certificates()

    def _open(self, runtime: Runtime) -> Sender:
        imports.load(*_MODULES)
        with imports.lock:  # the HTTP library imports more while a pool is made
            return self._make(runtime)

    def _make(self, runtime: Runtime) -> Sender:
        from urllib.request import getproxies

        import httpx

        settings: dict[str, Any] = {
            # a certificate store takes 40 ms to load, and plain HTTP (where no redirect is followed) needs none
            "verify": _certificates() if self._tls else False,
            "limits": httpx.Limits(
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_IDLE_CONNECTIONS["https" if self._tls else "http"],
                keepalive_expiry=_KEEP_IDLE_SECONDS,
            ),
        }
        if {"http", "https", "all"} & getproxies().keys():
            if runtime.blocking:
                client = httpx.Client(**settings)
                return Sender(_build, functools.partial(client.send, stream=True), client.close)
            other = httpx.AsyncClient(**settings)
            return Sender(_build, functools.partial(other.send, stream=True), other.aclose)
        if runtime.blocking:
            transport = httpx.HTTPTransport(**settings)
            return Sender(_build, transport.handle_request, transport.close)
        loop_transport = httpx.AsyncHTTPTransport(**settings)
        return Sender(_build, loop_transport.handle_async_request, loop_transport.aclose)

    def renew(self) -> None:
        """Forget the pools after a fork: their connections are the parent's, and closing TLS would end them there."""
        self._lock = threading.Lock()
        self._blocking = None
        for pool in self._of_loops.values():
            _keep_for_good(pool)
        self._of_loops = {}


def until(timeouts: Timeouts, remaining: float | None) -> dict[str, float]:
    """Give httpx's form of the timeouts, none longer than the time that remains."""
    limit = float("inf") if remaining is None else max(0.001, remaining)
    return {
        "connect": min(timeouts.connect, limit),
        "read": min(timeouts.read, limit),
        "write": min(timeouts.write, limit),
        "pool": min(timeouts.pool, limit),
    }


async def _while_the_loop_lives(
    sender: Sender, lock: Lock, pools: dict[Any, _LoopPool], place: Any
) -> AsyncGenerator[None]:
    """Close the pool when its loop ends: event loops close the async generators they know before they go."""
    try:
        yield
    finally:
        known = pools.pop(place, None)
        if known is not None:
            known.end.detach()
        await _close(sender, lock)


async def _close_early(keeper: Any, sender: Sender, lock: Lock) -> None:
    """Close a pool that was dropped, unless its loop is at its end and does so; if the end comes now, it waits."""
    if not keeper.ag_running:
        await _close(sender, lock)
        if not keeper.ag_running:
            await keeper.aclose()


async def _close(sender: Sender, lock: Lock) -> None:
    await lock.acquire()
    try:
        await sender.close()
    finally:
        lock.release()


def _unless_inherited(owner: int, close: Callable[..., Any], *args: Any) -> None:
    if os.getpid() == owner:
        close(*args)


def _keep_for_good(pool: _LoopPool) -> None:
    """Keep what an event loop of the parent owns from ever being dropped in a child.

    Dropped, it would be warned of, and would reach for the loop, whose selector the parent goes on using.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(pool))


def _build(url: str, headers: Mapping[str, str], body: bytes, extensions: dict[str, Any]) -> Any:
    import httpx

    parsed, host = _parsed(url)
    # httpx would find these two by itself, in three times the time that the rest of the request takes
    named = {"host": host, **headers, "content-length": str(len(body))}
    return httpx.Request("POST", parsed, headers=named, stream=httpx.ByteStream(body), extensions=extensions)


def _build_with(client: Any, url: str, headers: Mapping[str, str], body: bytes, extensions: dict[str, Any]) -> Any:
    timeouts = extensions.pop("timeout")
    waits = tuple(None if timeouts[name] == float("inf") else timeouts[name] for name in _TIMEOUT_ORDER)
    return client.build_request("POST", url, content=body, headers=headers, timeout=waits, extensions=extensions)


def _timeouts_of(timeout: Any) -> Timeouts:
    """Read httpx's form of the timeouts, in which None is without end."""
    if timeout is None:
        return Timeouts()
    waits = [getattr(timeout, name, None) for name in _TIMEOUT_ORDER]
    return Timeouts(*(float("inf") if wait is None else wait for wait in waits))


_TIMEOUT_ORDER = ("connect", "read", "write", "pool")


@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> tuple[Any, str]:
    """Give a URL in httpx's form, and the host header that goes with it."""
    import httpx

    parsed = httpx.URL(url)
    return parsed, parsed.netloc.decode("ascii")


@functools.lru_cache(maxsize=1)
def _certificates() -> SSLContext:
    import httpx

    return httpx.create_ssl_context()


def _is_over(place: Any) -> bool:
    is_closed = getattr(place, "is_closed", None)
    return is_closed is not None and bool(is_closed())


def _nothing() -> None:
    pass
