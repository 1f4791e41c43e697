"""The transport over httpx, or over a client with its interface that the application made.

Written once, as coroutines: under a blocking runtime nothing here suspends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, DeadlineExceeded
from inferkit.providers.http.clients import Clients, GivenClient, until
from inferkit.providers.http.connection import Connection, let_go
from inferkit.providers.http.httpx_exchange import HttpxExchange
from inferkit.providers.http.network_errors import cause_of
from inferkit.providers.http.transport import Timeouts
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.runtime.protocol import Runtime

__all__ = ["HttpxTransport"]

_HEADER_GRACE_SECONDS = 0.1  # a server that sends nothing ends by the read timeout, which hurts no other call


class HttpxTransport:
    """Sends requests; see `Transport`.

    `http_client` is the application's own client, of httpx's interface; it is not closed here. Without `timeouts`, a
    given client's own are used.
    """

    def __init__(self, *, http_client: Any = None, timeouts: Timeouts | None = None) -> None:
        if timeouts is not None and not isinstance(timeouts, Timeouts):
            raise ConfigurationError("timeouts= is a Timeouts: Timeouts(connect=5, read=60), in seconds")
        self._idle: dict[Any, int] = {}
        given = None if http_client is None else GivenClient(http_client)
        self._https: Clients | GivenClient = given or Clients(tls=True)
        self._http: Clients | GivenClient = given or Clients(tls=False)
        self._timeouts = timeouts or (Timeouts() if given is None else given.timeouts)
        if given is None:
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
        clients = self._https if url.startswith("https:") else self._http
        sender = await clients.sender(runtime)
        remaining = None if deadline is None else deadline - runtime.now()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded
        connection = Connection(runtime, deadline, self._idle)
        extensions: dict[str, Any] = {"timeout": until(self._timeouts, remaining)}
        try:
            if runtime.blocking:
                if deadline is not None:
                    extensions["trace"] = connection.learn
                    connection.watch(deadline + _HEADER_GRACE_SECONDS)
                response = sender.send(sender.build(url, headers, body, extensions))
            else:
                request = sender.build(url, headers, body, extensions)
                response = await runtime.within(deadline, sender.send(request))
        except Exception as error:
            connection.unwatch()
            raise connection.explain(error, provider) from cause_of(error)
        except BaseException:
            connection.unwatch()
            raise
        return HttpxExchange(response, connection, provider=provider)

    def preload(self, *, tls: bool) -> None:
        """Import what a first request needs, and load the certificates for `tls`, without opening a connection."""
        (self._https if tls else self._http).preload()

    async def aclose(self, runtime: Runtime) -> None:
        """Close the connections opened here."""
        await self._https.aclose(runtime)
        await self._http.aclose(runtime)
