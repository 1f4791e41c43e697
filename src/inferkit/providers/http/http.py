"""The HTTP leaf under every adapter: sends one POST and hands its answer out piece by piece.

Written once, as coroutines: under a blocking runtime nothing here suspends. Redirects are never followed (the prompt
would go along), what is held of an answer is bounded, and a deadline holds whatever the server does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, DeadlineExceeded
from inferkit.providers.http.clients import Clients, GivenClient, Timeouts
from inferkit.providers.http.exchange import Exchange
from inferkit.providers.http.line import Line
from inferkit.providers.http.network_errors import cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.runtime.protocol import Runtime

__all__ = ["Exchange", "Http", "Timeouts"]

_MAX_BODY_BYTES = 32 * 1024 * 1024
_HEADER_GRACE_SECONDS = 0.1  # a server that sends nothing ends by the read timeout, which hurts no other call


class Http:
    """Sends requests to one URL.

    `http_client` is the application's own client, of httpx's interface; it is not closed here. Without `timeouts`, a
    given client's own are used. `max_body_bytes` bounds an answer that is read whole.
    """

    def __init__(
        self,
        url: str,
        *,
        provider: str,
        http_client: Any = None,
        timeouts: Timeouts | None = None,
        max_body_bytes: int = _MAX_BODY_BYTES,
    ) -> None:
        self._url = url
        self._provider = provider
        self._max_body_bytes = max_body_bytes
        self._idle: dict[Any, int] = {}
        tls = url.startswith("https:")
        self._clients: Clients | GivenClient = Clients(tls=tls) if http_client is None else GivenClient(http_client)
        if timeouts is not None and not isinstance(timeouts, Timeouts):
            raise ConfigurationError("timeouts= is a Timeouts: Timeouts(connect=5, read=60), in seconds")
        self._timeouts = timeouts or self._clients.timeouts

    async def post(
        self, body: bytes, headers: Mapping[str, str], *, runtime: Runtime, deadline: float | None = None
    ) -> Exchange:
        """Send `body`, and return when the status and the headers came.

        `deadline` is an instant of `runtime.now()`. Raises `DeadlineExceeded` when it passes, `Unavailable` where the
        network fails, and `ConfigurationError` where a given client does not fit.
        """
        sender = await self._clients.sender(runtime)
        remaining = None if deadline is None else deadline - runtime.now()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded
        line = Line(runtime, deadline, self._idle)
        extensions: dict[str, Any] = {"timeout": self._timeouts.until(remaining)}
        try:
            if runtime.blocking:
                if deadline is not None:
                    extensions["trace"] = line.learn
                    line.watch(deadline + _HEADER_GRACE_SECONDS)
                response = sender.send(sender.build(self._url, headers, body, extensions))
            else:
                request = sender.build(self._url, headers, body, extensions)
                response = await runtime.within(deadline, sender.send(request))
        except Exception as error:
            line.unwatch()
            raise line.explain(error, self._provider) from cause_of(error)
        except BaseException:
            line.unwatch()
            raise
        return Exchange(response, line, provider=self._provider, max_body_bytes=self._max_body_bytes)

    def preload(self) -> None:
        """Make ready for a first request, without opening a connection."""
        self._clients.preload()

    async def aclose(self, runtime: Runtime) -> None:
        """Close the connections opened here."""
        await self._clients.aclose(runtime)
