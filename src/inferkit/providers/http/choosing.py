"""Chooses the transport: over a client that was given, over the library that was asked for, or over httpx."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from inferkit.core.errors import ConfigurationError
from inferkit.providers.http.httpx_transport import HttpxTransport
from inferkit.providers.http.settings import LIBRARIES, Http, check_timeouts
from inferkit.runtime.variables import read_variable

if TYPE_CHECKING:
    from inferkit.providers.http.settings import Library
    from inferkit.providers.http.transport import Timeouts, Transport

__all__ = ["VARIABLE", "make_transport"]

VARIABLE = "INFERKIT_TRANSPORT"


def make_transport(
    asked: Library | Http | Transport | None = None, *, http_client: Any = None, timeouts: Timeouts | None = None
) -> Transport:
    """Make the transport of an adapter, or take the one that is given.

    A library that code asks for serves where it can and is refused elsewhere; one that the environment names is left
    for httpx where it cannot serve. What is merely installed is never taken. Raises `ConfigurationError` for what makes
    no sense, is not installed, or was not tested.
    """
    if timeouts is not None:
        check_timeouts(timeouts)
    if http_client is not None:
        if asked is not None:
            raise ConfigurationError("http_client= is a transport already; pass that, or transport=, not both")
        return HttpxTransport(http_client=http_client, timeouts=timeouts)
    if callable(getattr(asked, "post", None)):
        return cast("Transport", asked)
    http = asked if isinstance(asked, Http) else Http(cast("Library | None", asked))
    if timeouts is not None:
        http = replace(http, timeouts=timeouts)
    if http.library == "httpx" or (http.library is None and _named_by_environment() != "aiohttp"):
        return HttpxTransport(http=http)
    from inferkit.providers.http.aiohttp_transport import AiohttpTransport

    if http.library is not None:
        return AiohttpTransport(http)
    if http.http2:
        raise ConfigurationError(f'aiohttp, which {VARIABLE} names, speaks no HTTP/2; pass Http("httpx", http2=True)')
    return AiohttpTransport(http, elsewhere=HttpxTransport(http=http))


def _named_by_environment() -> str | None:
    named = (read_variable("TRANSPORT") or "").lower()
    if named and named not in LIBRARIES:
        raise ConfigurationError(f"the environment variable {VARIABLE} is one of: {', '.join(LIBRARIES)}")
    return named or None
