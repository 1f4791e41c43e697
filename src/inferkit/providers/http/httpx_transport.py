"""The transport over httpx, or over a client with its interface that the application made.

Written once, as coroutines: under a blocking runtime nothing here suspends.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import DeadlineExceeded, mark_never_written
from inferkit.providers.http import real_calls
from inferkit.providers.http.connection import Connection, let_go
from inferkit.providers.http.httpcore_pools import is_plain, load, make_pool
from inferkit.providers.http.httpx_exchange import HttpxExchange
from inferkit.providers.http.httpx_pools import GivenClient, HttpxPool, Sender, until
from inferkit.providers.http.network_errors import cause_of
from inferkit.providers.http.pools import Pools
from inferkit.providers.http.proxies import environment_proxies, proxy_for
from inferkit.providers.http.settings import Http, check_timeouts
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.providers.http.transport import Timeouts
    from inferkit.runtime.protocol import Runtime

__all__ = ["HttpxTransport"]

_HEADER_GRACE_SECONDS = 0.1  # a server that sends nothing ends by the read timeout, which hurts no other call
_MOST_ADDRESSES = 1024


class HttpxTransport:
    """Sends requests; see `Transport`.

    `http_client` is the application's own client, of httpx's interface; it is not closed here. Without `timeouts`, a
    given client's own are used (where they are not those that httpx gives every client), or else those of `http`.
    """

    def __init__(self, *, http_client: Any = None, timeouts: Timeouts | None = None, http: Http | None = None) -> None:
        if timeouts is not None:
            check_timeouts(timeouts)
        self._http = http or Http()
        self._idle: dict[Any, int] = {}
        self._given = None if http_client is None else GivenClient(http_client)
        self._timeouts = timeouts or (self._http.timeouts if self._given is None else self._given.timeouts)
        self._pools: dict[tuple[bool, str | None, bool], Pools[HttpxPool]] = {}
        self._proxies: Mapping[str, str] | None = None
        self._by_url: dict[str, Pools[HttpxPool]] = {}
        if self._given is None:
            renew_after_fork(self)

    def renew(self) -> None:
        """Let go, in a forked child, of the connections of its parent."""
        let_go(self._idle)

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        provider: str,
        runtime: Runtime,
        deadline: float | None = None,
    ) -> HttpxExchange:
        """See `Transport`."""
        if real_calls.forbidden and (self._given is None or self._given.is_real):
            real_calls.check(url, provider, body)
        pool = await (self._given or self._by_url.get(url) or self._pools_for(url)).here(runtime)
        remaining = _remaining(deadline, runtime)
        connection = Connection(runtime, deadline, self._idle)
        extensions: dict[str, Any] = {"timeout": until(self._timeouts, remaining)}
        request: Any = None
        try:
            if runtime.blocking and deadline is not None:
                extensions["trace"] = connection.learn
                connection.watch(deadline + _HEADER_GRACE_SECONDS)
            request = pool.build(url, headers, body, extensions)
            sent = pool.send(request)
            response = sent if runtime.blocking else await runtime.within(deadline, sent)
        except Exception as error:
            connection.unwatch()
            await _end_what_was_left(pool, runtime)
            meaning = connection.explain(error, provider)
            if not _is_begun(request):
                mark_never_written(meaning)
            raise meaning from cause_of(error)
        except BaseException as error:
            connection.unwatch()
            if not _is_begun(request):
                mark_never_written(error)
            if self._http.http2:
                with contextlib.suppress(BaseException):  # it is the first one that is told
                    await runtime.conclude(functools.partial(_end_what_was_left, pool))
            raise
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            waits = request.extensions.get("timeout")
            if waits:  # httpcore looks at them when the body is first read
                waits["read"] = min(waits["read"] or self._timeouts.read, self._timeouts.between)
        return HttpxExchange(
            response, connection, provider=provider, most=self._http.max_reply_bytes, tls=url.startswith("https:")
        )

    def preload(self, url: str) -> None:
        """Import what a first request to `url` needs, and load its certificates, without opening a connection."""
        if self._given is None:
            load(self._http, *_kind(url, environment_proxies()))

    async def aclose(self, runtime: Runtime) -> None:
        """Close the connections opened here."""
        for pools in list(self._pools.values()):
            await pools.aclose(runtime)

    def _pools_for(self, url: str) -> Pools[HttpxPool]:
        """Find the pools for a URL's scheme, proxy and form. The environment is read at the first call."""
        if self._proxies is None:
            self._proxies = environment_proxies()
        kind = _kind(url, self._proxies)
        pools = self._pools.get(kind)
        if pools is None:
            made = Pools(functools.partial(make_pool, self._http, *kind))
            pools = self._pools.setdefault(kind, made)
        if len(self._by_url) < _MOST_ADDRESSES:
            self._by_url[url] = pools
        return pools


def _kind(url: str, proxies: Mapping[str, str]) -> tuple[bool, str | None, bool]:
    """Say which pool a URL takes: over TLS or not, through which proxy, and whether it is plain."""
    return url.startswith("https:"), proxy_for(url, proxies), is_plain(url)


def _remaining(deadline: float | None, runtime: Runtime) -> float | None:
    """Say how many seconds there are. Raises `DeadlineExceeded` where there are none."""
    remaining = None if deadline is None else deadline - runtime.now()
    if remaining is not None and remaining <= 0:
        late = DeadlineExceeded()
        mark_never_written(late)
        raise late
    return remaining


async def _end_what_was_left(pool: Sender, runtime: Runtime) -> None:
    for say in pool.left():
        with contextlib.suppress(Exception):  # the connection is gone either way
            said = say()
            if not runtime.blocking:
                await said


def _is_begun(request: Any) -> bool:
    """Whether some of a request's body may have been written; only bodies of our own tell."""
    return request is not None and getattr(request.stream, "begun", True)
