"""Pools of httpcore, which is what httpx's transports send by, for requests that need no more than it.

Whoever imports httpx loads its command line with it, where Rich and Click are installed: 5 MB and 60 ms that a call has
no use for. httpx serves as before what it does besides (proxies, HTTP/2, addresses to be written otherwise), and
whoever has put himself into its transports, as instrumentations and mocks do.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from inferkit.providers.http import httpx_pools
from inferkit.providers.http.assigning import assign_each_to_one
from inferkit.providers.http.certificates import tls_context
from inferkit.providers.http.handshakes import close_what_is_cancelled
from inferkit.providers.http.httpx_pools import HttpxPool, PostedBody
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.providers.http.settings import Http
    from inferkit.runtime.protocol import Runtime

__all__ = ["ReceivedHeaders", "is_plain", "load", "make_pool"]

_MODULES = ("httpcore", "encodings.idna", "pydantic_core")
_PLAIN = re.compile(
    r"(https?)://([a-z0-9][a-z0-9._-]*)(?::([1-9][0-9]{0,4}))?"
    r"((?:/(?:[\w!$&'()*+,;=:@~-](?:[\w.!$&'()*+,;=:@~-]|%[0-9A-Fa-f]{2})*)?)*)(\?[\w.=&:/-]+)?",
    re.ASCII,
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_MOST_PORTS = 65536


def is_plain(url: str) -> bool:
    """Say whether httpx would send a URL as it is written: no other host, no dots to follow, nothing to be quoted."""
    found = _PLAIN.fullmatch(url)
    if found is None or int(found[3] or 0) >= _MOST_PORTS:
        return False
    if found[2].replace(".", "").isdigit():
        try:
            ipaddress.IPv4Address(found[2])
        except ValueError:
            return False
    return True


def load(http: Http, tls: bool, proxy: str | None, plain: bool) -> None:
    """Import what a pool is made of, and load the certificates."""
    if _needs_httpx(http, proxy, plain=plain):
        httpx_pools.load(http, tls=tls)
        return
    imports.load(*_MODULES)
    if tls:
        tls_context(http.ca, http2=False)


def make_pool(http: Http, tls: bool, proxy: str | None, plain: bool, runtime: Runtime) -> HttpxPool:
    """Open a pool for one scheme of URLs, through a proxy or not. Raises `ConfigurationError` for what is missing.

    All URLs that a `plain` one is asked for are plain.
    """
    if _needs_httpx(http, proxy, plain=plain) or _is_looked_into(blocking=runtime.blocking):
        return httpx_pools.make_pool(http, tls, proxy, runtime)
    load(http, tls, proxy, plain)
    import httpcore

    context = tls_context(http.ca, http2=False) if tls else None
    settings: dict[str, Any] = {
        "ssl_context": context,
        "max_connections": http.max_connections,
        "max_keepalive_connections": http.max_idle_connections,
        "keepalive_expiry": http.idle_seconds,
    }
    if runtime.blocking:
        pool = httpcore.ConnectionPool(**settings)
        assign_each_to_one(pool)
        return HttpxPool(_build, functools.partial(_send, pool.handle_request), tuple, pool.close)
    of_a_loop = httpcore.AsyncConnectionPool(**settings)
    assign_each_to_one(of_a_loop)
    if tls:
        close_what_is_cancelled(of_a_loop)
    send = functools.partial(_send_async, of_a_loop.handle_async_request)
    return HttpxPool(_build, send, tuple, of_a_loop.aclose)


def _needs_httpx(http: Http, proxy: str | None, *, plain: bool) -> bool:
    return not plain or proxy is not None or http.http2


def _is_looked_into(*, blocking: bool) -> bool:
    """Say whether httpx's transports are not what httpx made them: then somebody wants to see what they send."""
    httpx: Any = sys.modules.get("httpx")
    if httpx is None:
        return False
    name, method = ("HTTPTransport", "handle_request") if blocking else ("AsyncHTTPTransport", "handle_async_request")
    handles = getattr(getattr(httpx, name, None), method, None)
    return type(handles) is not FunctionType or not handles.__globals__["__name__"].endswith("._transports.default")


class ReceivedHeaders(dict[str, str]):
    """The headers of a reply, looked up in any case. Their names are in small letters."""

    def __init__(self, received: list[tuple[bytes, bytes]]) -> None:
        for raw, value in received:
            name, text = raw.lower().decode("latin-1"), _text(value)
            known = dict.get(self, name)
            dict.__setitem__(self, name, text if known is None else f"{known}, {text}")

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """Give a header's value, or the default."""
        return super().get(name.lower(), default)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class _FromHttpcore:
    """httpcore's response under the names that httpx has for the same."""

    __slots__ = ("aclose", "close", "extensions", "headers", "status_code", "stream")
    is_closed = False  # when it comes

    def __init__(self, response: Any) -> None:
        self.status_code = response.status
        self.headers = ReceivedHeaders(response.headers)
        self.stream = response.stream
        self.extensions = response.extensions
        self.close, self.aclose = response.close, response.aclose


def _send(handle: Callable[[Any], Any], request: Any) -> _FromHttpcore:
    return _FromHttpcore(handle(request))


async def _send_async(handle: Callable[[Any], Any], request: Any) -> _FromHttpcore:
    return _FromHttpcore(await handle(request))


def _build(url: str, headers: Mapping[str, str], body: bytes, extensions: dict[str, Any]) -> Any:
    import httpcore

    parsed, host = _parsed(url)
    named = [
        (b"host", host),
        *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()),
        (b"content-length", b"%d" % len(body)),
    ]
    return httpcore.Request(b"POST", parsed, headers=named, content=PostedBody(body), extensions=extensions)


@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> tuple[Any, bytes]:
    """Give a plain URL in httpcore's form, and the host header that goes with it."""
    import httpcore

    found = _PLAIN.fullmatch(url)
    assert found is not None
    scheme, host, port, path, query = found.groups(default="")
    if port == _DEFAULT_PORTS[scheme]:
        port = ""
    named = f"{host}:{port}" if port else host
    target = f"{path or '/'}{query}"
    parsed = httpcore.URL(scheme=scheme, host=host, port=int(port) if port else None, target=target)
    return parsed, named.encode("ascii")
