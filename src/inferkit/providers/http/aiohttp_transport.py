"""The transport over aiohttp, used directly: faster than httpx on asyncio, above all with many calls at once."""

from __future__ import annotations

import asyncio
import functools
import io
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, DeadlineExceeded, Unavailable
from inferkit.providers.http import real_calls
from inferkit.providers.http.aiohttp_exchange import AiohttpExchange
from inferkit.providers.http.aiohttp_versions import check_aiohttp
from inferkit.providers.http.certificates import tls_context
from inferkit.providers.http.connection import Connection
from inferkit.providers.http.network_errors import NOT_SENT, cause_of
from inferkit.providers.http.pools import Pools
from inferkit.providers.http.proxies import environment_proxies, proxy_for
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.providers.http.aiohttp_sessions import AiohttpPool
    from inferkit.providers.http.settings import Http
    from inferkit.providers.http.transport import Exchange, Transport
    from inferkit.runtime.protocol import Runtime

__all__ = ["AiohttpTransport"]

_MODULES = ("aiohttp", "inferkit.providers.http.aiohttp_sessions")
_LARGE_BYTES = 32 * 1024  # what is smaller is taken by the socket's buffer, whatever the server does
_MOST_ADDRESSES = 1024


class AiohttpTransport:
    """Sends requests; see `Transport`.

    It serves asyncio. Calls from elsewhere (trio, or without a loop) go to `elsewhere`, and without one are refused.
    """

    def __init__(self, http: Http, *, elsewhere: Transport | None = None) -> None:
        check_aiohttp()
        self._http = http
        self._elsewhere = elsewhere
        self._sessions: Pools[AiohttpPool] = Pools(functools.partial(_make_session, http))
        self._proxies: Mapping[str, str] | None = None
        self._addresses: dict[str, tuple[Any, str | None]] = {}

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
        """See `Transport`."""
        if real_calls.forbidden:
            real_calls.check(url, provider, body)
        if runtime.blocking or not isinstance(runtime.place, asyncio.AbstractEventLoop):
            return await self._from_elsewhere(runtime).post(
                url, headers, body, provider=provider, runtime=runtime, deadline=deadline
            )
        session = await self._sessions.here(runtime)
        if deadline is not None and deadline <= runtime.now():
            raise DeadlineExceeded
        address, proxy = self._addresses.get(url) or self._address(url)
        connection = Connection(runtime, deadline, {})
        send = functools.partial(session.request, "POST", address, headers=headers, allow_redirects=False, proxy=proxy)
        try:
            if len(body) > _LARGE_BYTES:
                response = await runtime.within(deadline, self._send_watched(send, body, provider))
            else:
                response = await runtime.within(deadline, send(data=body))
        except Exception as error:
            raise connection.explain(error, provider) from cause_of(error)
        exchange = AiohttpExchange(response, connection, provider=provider, most=self._http.max_reply_bytes)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            exchange.wait_at_most(self._http.timeouts.between)
        return exchange

    async def _send_watched(self, send: Callable[..., Any], body: bytes, provider: str) -> Any:
        """Send a body that the server may stop taking in the middle, for which aiohttp itself would wait for ever."""
        limit = asyncio.timeout(None)
        try:
            async with limit:
                return await send(data=_Sending(body, self._http.timeouts.write, limit))
        except TimeoutError:
            if not limit.expired():
                raise
            late = f"{provider}: it did not take the request in time"
            raise Unavailable(late, provider=provider, code=NOT_SENT) from None

    def preload(self, url: str) -> None:
        """Import what a first request to `url` needs, and load its certificates, without opening a connection."""
        imports.load(*_MODULES)
        if url.startswith("https:"):
            tls_context(self._http.ca, http2=False)

    async def aclose(self, runtime: Runtime) -> None:
        """Close the connections opened here."""
        await self._sessions.aclose(runtime)
        if self._elsewhere is not None:
            await self._elsewhere.aclose(runtime)

    def _from_elsewhere(self, runtime: Runtime) -> Transport:
        if self._elsewhere is not None:
            return self._elsewhere
        where, instead = "trio", "asyncio"
        if runtime.blocking:
            where, instead = "Client", "AsyncClient on asyncio, or Client(portal=True)"
        raise ConfigurationError(
            f'transport="aiohttp" needs asyncio, and this call comes from {where}: use {instead}, or leave transport= '
            'at "httpx", which serves both'
        )

    def _address(self, url: str) -> tuple[Any, str | None]:
        """Give a URL in aiohttp's form, and the proxy. The environment is read at the first call."""
        from yarl import URL

        if self._proxies is None:
            self._proxies = environment_proxies()
        proxy = proxy_for(url, self._proxies)
        if proxy is not None and proxy.startswith("socks"):
            raise ConfigurationError(
                'a proxy of the environment speaks SOCKS, which aiohttp does not; leave transport= at "httpx"'
            )
        found = URL(url, encoded=url.isascii()), proxy
        if len(self._addresses) < _MOST_ADDRESSES:
            self._addresses[url] = found
        return found


class _Sending(io.BytesIO):
    """A body that is read as the server takes it: each part of it has `seconds`."""

    def __init__(self, body: bytes, seconds: float, limit: asyncio.Timeout) -> None:
        super().__init__(body)
        self._seconds = seconds
        self._limit = limit

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        over = not part or self._seconds == float("inf")  # then it is the reply that is waited for
        self._limit.reschedule(None if over else asyncio.get_running_loop().time() + self._seconds)
        return part


def _make_session(http: Http, _: Runtime) -> AiohttpPool:
    imports.load(*_MODULES)
    from inferkit.providers.http.aiohttp_sessions import make_session

    return make_session(http, http.max_idle_connections)
