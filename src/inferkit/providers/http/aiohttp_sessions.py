"""aiohttp's sessions as they are used here: no cookies, no redirects, and no connection that was not looked at.

Imported when a first connection is made, since aiohttp takes 40 ms. The names with an underscore are aiohttp's private
ones; `aiohttp_versions` lets pass only releases with which the tests of all this have passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from contextvars import Context
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.resolver import ThreadedResolver

from inferkit.providers.http.certificates import tls_context
from inferkit.providers.http.network_errors import ReplyTooLong

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from inferkit.providers.http.settings import Http

__all__ = ["AiohttpPool", "make_session"]

_HEADER_BYTES = 16 * 1024  # for a line; there are at most 128
_BUFFER_BYTES = 64 * 1024
_FRAMING_BYTES = 1024 * 1024  # a reply's head, and what little its chunks take


class AiohttpPool:
    """A `Pool` of an asyncio loop."""

    __slots__ = ("_client", "request")

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self.request = client.request

    def close(self) -> Awaitable[None]:
        """See `Pool`."""
        return self._client.close()


class _Protocol(ResponseHandler):
    """Receives replies, and no more bytes for one than it may have, however little they come to."""

    most = 0
    _received = 0

    def set_response_params(self, **params: Any) -> None:
        self._received = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= self.most:
            super().data_received(data)
        else:
            assert self.transport is not None  # it brought them
            self.transport.abort()
            error = ReplyTooLong()
            if self._payload is not None:
                self._payload.set_exception(error)
            self.set_exception(error)


class _Connector(aiohttp.TCPConnector):
    """Keeps connections; never uses one again that holds bytes of nobody's, and never touches an inherited one."""

    def __init__(self, *, most_idle: int, most_bytes: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._owner = os.getpid()
        self._most_idle = most_idle

        def protocol() -> _Protocol:
            made = _Protocol(loop=loop)
            made.most = most_bytes
            return made

        loop = self._loop
        self._factory = protocol  # type: ignore[assignment]

    @property
    def closed(self) -> bool:
        """Whether there is nothing left to close here, so that the session does not complain."""
        return self._closed or self._loop.is_closed() or os.getpid() != self._owner

    async def _get(self, key: Any, traces: Any) -> Any:
        while (connection := await super()._get(key, traces)) is not None:
            if not _is_polluted(connection.protocol):
                return connection
            connection.close()
        return None

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        if os.getpid() != self._owner:
            return
        if should_close or protocol.should_close or len(self._conns.get(key, ())) >= self._most_idle:
            should_close = True
            protocol.abort()  # over TLS, saying good-bye could take as long as the server likes
        super()._release(key, protocol, should_close=should_close)

    async def _create_connection(self, *args: Any) -> Any:
        # in an empty context, since a connection outlives the call, its budget and whatever else the caller has set
        coroutine = super()._create_connection(*args)
        return await asyncio.get_running_loop().create_task(coroutine, context=Context())

    def __del__(self, *_: object) -> None:
        """Do nothing: who is not closed is a forked child's, or its event loop is gone."""


def _is_polluted(protocol: Any) -> bool:
    """Say whether an idle connection holds, or is about to bring, bytes that no call asked for, or its end."""
    if protocol.should_close or protocol._parser is None:
        return True
    between = False
    with contextlib.suppress(Exception):  # as in the midst of a message
        between = protocol._parser.feed_eof() is None  # not at the beginning of one; the next call gets another parser
    if not between:
        return True
    sock = protocol.transport.get_extra_info("socket")
    return sock is not None and _is_readable(sock.fileno())


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def make_session(http: Http, most_idle: int) -> AiohttpPool:
    """Open a session for the loop that runs here."""
    timeouts = http.timeouts
    connector = _Connector(
        most_idle=most_idle,
        most_bytes=http.max_reply_bytes + _FRAMING_BYTES,
        limit=http.max_connections,
        keepalive_timeout=http.idle_seconds,
        resolver=ThreadedResolver(),  # as every other library here looks names up
        ssl=tls_context(http.ca, http2=False),
    )
    client = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=("accept-encoding",),
        timeout=aiohttp.ClientTimeout(
            connect=_finite(timeouts.pool + timeouts.connect),
            sock_connect=_finite(timeouts.connect),
            sock_read=_finite(timeouts.read),
        ),
        read_bufsize=_BUFFER_BYTES,
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
    )
    return AiohttpPool(client)


def _finite(seconds: float) -> float | None:
    return None if seconds == float("inf") else seconds
