"""Turns what an HTTP library raises into inferkit's errors, whichever library it is."""

from __future__ import annotations

from inferkit.core.errors import ConfigurationError, InferkitError, Unavailable

__all__ = ["NOT_SENT", "ReplyTooLong", "cause_of", "network_error"]

_BROKEN = {"TransportError", "HTTPError", "StreamError", "NetworkError", "ProtocolError", "ClientError", "OSError"}
_WITH_WORDS = {
    "ProtocolError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "ClientResponseError",
    "ClientPayloadError",
}
NOT_SENT = "connect"  # the meter reads it: what never left cannot have been billed
_REMEDY = "the network or the provider may be down; try again, or add a fallback model"


class ReplyTooLong(Exception):
    """More has come than a reply may have."""


def network_error(error: Exception, provider: str) -> InferkitError | None:  # noqa: PLR0911 - one for each kind
    """Name what went wrong on the way, or None if it has nothing to do with the network.

    What happened is told by the names of exceptions, which httpx, what it
    sends by, and its forks share, and aiohttp has others for.
    """
    if isinstance(error, InferkitError):
        return error
    if isinstance(error, ReplyTooLong):
        return Unavailable(
            f"{provider}: its reply is longer than a reply may be; if you want it, raise Http(max_reply_bytes=...)",
            provider=provider,
            code="reply_too_long",
            retryable=False,
        )
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"TimeoutException", "ServerTimeoutError"}:
        what = {
            "ConnectTimeout": "no connection could be made in time",
            "ConnectionTimeoutError": "no connection could be made, or became free, in time",
            "PoolTimeout": "no connection became free in time; allow more connections or fewer calls at once",
            "WriteTimeout": "it did not take the request in time",
        }.get(type(error).__name__, "nothing came from it in time")
        sent = type(error).__name__ not in {"ConnectTimeout", "ConnectionTimeoutError", "PoolTimeout", "WriteTimeout"}
        return Unavailable(f"{provider}: {what}", provider=provider, code=None if sent else NOT_SENT)
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}:
        return ConfigurationError(f"{provider}: the request could not be written as HTTP; check base_url= and headers=")
    if names & {"ConnectError", "ClientConnectorError"}:
        what = f"cannot connect; check base_url=, or {_REMEDY}"
        return Unavailable(f"{provider}: {what}", provider=provider, code=NOT_SENT)
    if names & _BROKEN or "ResourceError" in type(error).__name__:
        return Unavailable(f"{provider}: the connection broke ({type(error).__name__}); {_REMEDY}", provider=provider)
    return None


def cause_of(error: Exception) -> Exception | None:
    """Give the error to name as the cause, or None where its words may quote a header or the reply."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return None if names & _WITH_WORDS else error
