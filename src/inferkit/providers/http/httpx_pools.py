"""How a request is made and sent over httpx: by its transports used directly, or by a client of the application's.

The transports do all that is needed here (one POST, no redirects, no cookies) at two thirds of the cost of a client.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.http.assigning import assign_each_to_one
from inferkit.providers.http.certificates import tls_context
from inferkit.providers.http.handshakes import close_what_is_cancelled
from inferkit.providers.http.left_streams import left_unsaid
from inferkit.providers.http.transport import Timeouts
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inferkit.providers.http.settings import Http
    from inferkit.runtime.protocol import Runtime

__all__ = ["GivenClient", "HttpxPool", "InMemory", "PostedBody", "Sender", "load", "make_pool", "until"]

_MODULES = ("httpx", "httpcore", "encodings.idna", "pydantic_core")
_TIMEOUT_ORDER = ("connect", "read", "write", "pool")
_DEFAULT_SECONDS = 5.0  # httpx's own, which whoever made a client with it did not choose for models


@dataclass(frozen=True, slots=True)
class Sender:
    """Makes requests, and sends them. `send` returns the response, or an awaitable of it, once its headers came.

    `left` ends what calls that were cancelled have left open on connections that they share, and gives what says so.
    """

    build: Callable[[str, Mapping[str, str], bytes, dict[str, Any]], Any]
    send: Callable[[Any], Any]
    left: Callable[[], Iterable[Callable[[], Any]]]


@dataclass(frozen=True, slots=True)
class HttpxPool(Sender):
    """A `Pool`, which is closed here."""

    close: Callable[[], Any]


class InMemory:
    """Bytes that are in memory, as an iterator of both kinds."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        return self._left.pop()

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


_REAL = frozenset({"HTTPTransport", "AsyncHTTPTransport"})


class GivenClient:
    """A client that the application made and keeps: used as it is, and never closed here.

    `is_real` says that it opens connections, as far as that is known: its transport is no fake of a test.
    """

    def __init__(self, client: Any) -> None:
        for name in ("build_request", "send"):
            if not callable(getattr(client, name, None)):
                raise ConfigurationError(
                    "http_client= takes an httpx.Client or httpx.AsyncClient (or httpx2's); "
                    f"got {type(client).__name__}"
                )
        transport = getattr(client, "_transport", None)
        self.is_real = transport is None or type(transport).__name__ in _REAL
        self._blocking = not inspect.iscoroutinefunction(client.send)
        self._sender = Sender(
            functools.partial(_build_with, client),
            functools.partial(client.send, stream=True, follow_redirects=False),
            tuple,
        )
        self.timeouts = _timeouts_of(getattr(client, "timeout", None))

    async def here(self, runtime: Runtime) -> Sender:
        """Give the client, if it is of the kind that the caller can wait for."""
        if runtime.blocking is not self._blocking:
            have, want, caller = ("a blocking", "httpx.AsyncClient", "AsyncClient")
            if not self._blocking:
                have, want, caller = ("an async", "httpx.Client", "Client")
            raise ConfigurationError(
                f"http_client= is {have} HTTP client, and this call came through inferkit's {caller}; pass an {want}"
            )
        return self._sender

    async def aclose(self, runtime: Runtime) -> None:
        """Leave the client to whoever made it."""


def load(http: Http, *, tls: bool) -> None:
    """Import what a pool is made of, and load the certificates."""
    imports.load(*_MODULES)
    if tls:
        tls_context(http.ca, http2=http.http2)


def make_pool(http: Http, tls: bool, proxy: str | None, runtime: Runtime) -> HttpxPool:
    """Open a pool for one scheme of URLs, through a proxy or not. Raises `ConfigurationError` for what is missing."""
    load(http, tls=tls)
    import httpx

    settings: dict[str, Any] = {
        # a certificate store takes 40 ms to load, and plain HTTP (where no redirect is followed) needs none
        "verify": tls_context(http.ca, http2=http.http2) if tls else False,
        "http2": http.http2,
        "limits": httpx.Limits(
            max_connections=http.max_connections,
            max_keepalive_connections=http.max_idle_connections,
            keepalive_expiry=http.idle_seconds,
        ),
    }
    try:
        if http.http2:
            imports.load(
                "h2", "h2.connection"
            )  # httpx would miss it when a server speaks HTTP/2, in the middle of a call
        if proxy is not None:
            secured = proxy.startswith("https:")
            context = tls_context(http.ca, http2=http.http2) if secured else None
            settings["proxy"] = httpx.Proxy(proxy, ssl_context=context)
            settings["http2"] = http.http2 and not (secured and runtime.blocking)  # TLS in TLS is for one thread alone
        if runtime.blocking:
            transport = httpx.HTTPTransport(**settings)
            _share(transport, http)
            return HttpxPool(_build, transport.handle_request, _left_by(transport, http), transport.close)
        of_a_loop = httpx.AsyncHTTPTransport(**settings)
        if tls:
            close_what_is_cancelled(getattr(of_a_loop, "_pool", None))
        _share(of_a_loop, http)
    except ImportError as error:
        if "socksio" in str(error):
            raise ConfigurationError(
                "a proxy of the environment speaks SOCKS, which takes a package more: pip install 'httpx[socks]'"
            ) from None
        raise ConfigurationError("http2=True takes the package h2: pip install 'inferkit[h2]'") from None
    return HttpxPool(_build, of_a_loop.handle_async_request, _left_by(of_a_loop, http), of_a_loop.aclose)


def _share(transport: Any, http: Http) -> None:
    """Make the pool of one of httpx's transports safe for calls that share it."""
    assign_each_to_one(getattr(transport, "_pool", None))
    if http.http2:
        from inferkit.providers.http.shared_http2 import share_safely

        share_safely(transport)


def _left_by(transport: Any, http: Http) -> Callable[[], Iterable[Callable[[], Any]]]:
    return functools.partial(left_unsaid, transport) if http.http2 else tuple


_FOREVER = 1e9  # seconds; a socket takes no infinity


def until(timeouts: Timeouts, remaining: float | None) -> dict[str, float]:
    """Give httpx's form of the timeouts, none longer than the time that remains."""
    limit = _FOREVER if remaining is None else max(0.001, remaining)
    return {
        "connect": min(timeouts.connect, limit),
        "read": min(timeouts.read, limit),
        "write": min(timeouts.write, limit),
        "pool": min(timeouts.pool, limit),
    }


def _build(url: str, headers: Mapping[str, str], body: bytes, extensions: dict[str, Any]) -> Any:
    import httpx

    parsed, host = _parsed(url)
    # httpx would find these two by itself, in three times the time that the rest of the request takes
    named = {"host": host, **headers, "content-length": str(len(body))}
    return httpx.Request("POST", parsed, headers=named, stream=_body_class()(body), extensions=extensions)


def _build_with(client: Any, url: str, headers: Mapping[str, str], body: bytes, extensions: dict[str, Any]) -> Any:
    timeouts = extensions.pop("timeout")
    waits = tuple(None if timeouts[name] >= _FOREVER else timeouts[name] for name in _TIMEOUT_ORDER)
    return client.build_request("POST", url, content=body, headers=headers, timeout=waits, extensions=extensions)


def _timeouts_of(timeout: Any) -> Timeouts:
    """Read httpx's form of the timeouts, in which None is without end. Those that nobody chose give way to ours."""
    if timeout is None:
        return Timeouts()
    waits = [getattr(timeout, name, None) for name in _TIMEOUT_ORDER]
    if waits == [_DEFAULT_SECONDS] * len(waits):
        return Timeouts()
    connect, read, write, pool = (float("inf") if wait is None else wait for wait in waits)
    return Timeouts(connect, read, write, pool, between=read)


class PostedBody:
    """A body without generators: one that is left in the middle waits for the collector."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.begun = False  # to be written

    def __iter__(self) -> Any:
        self.begun = True
        return iter((self._body,))

    def __aiter__(self) -> Any:
        self.begun = True
        return InMemory(self._body)


@functools.lru_cache(maxsize=1)
def _body_class() -> Any:
    """Make a body of the kind that httpx's transports take."""
    import httpx

    class ForHttpx(PostedBody, httpx.SyncByteStream, httpx.AsyncByteStream):
        pass

    return ForHttpx


@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> tuple[Any, str]:
    """Give a URL in httpx's form, and the host header that goes with it."""
    import httpx

    parsed = httpx.URL(url)
    return parsed, parsed.netloc.decode("ascii")
