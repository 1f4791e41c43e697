"""Turns what an HTTP library raises into inferkit's errors, whichever library with httpx's interface raised it."""

from __future__ import annotations

from inferkit.core.errors import ConfigurationError, InferkitError, Unavailable

__all__ = ["cause_of", "network_error"]

_NOT_SENT = "connect"  # the meter reads it: what never left cannot have been billed
_REMEDY = "the network or the provider may be down; try again, or add a fallback model"


def network_error(error: Exception, provider: str) -> InferkitError | None:
    """Name what went wrong on the way, or None if it has nothing to do with the network.

    Libraries are told apart by the names of their exceptions, which httpx and its forks share.
    """
    if isinstance(error, InferkitError):
        return error
    names = {kind.__name__ for kind in type(error).__mro__}
    if "TimeoutException" in names:
        what = {
            "ConnectTimeout": "no connection could be made in time",
            "PoolTimeout": "no connection became free in time; allow more connections or fewer calls at once",
            "WriteTimeout": "it did not take the request in time",
        }.get(type(error).__name__, "nothing came from it in time")
        sent = type(error).__name__ not in {"ConnectTimeout", "PoolTimeout"}
        return Unavailable(f"{provider}: {what}", provider=provider, code=None if sent else _NOT_SENT)
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}:
        return ConfigurationError(f"{provider}: the request could not be written as HTTP; check base_url= and headers=")
    if "ConnectError" in names:
        what = f"cannot connect; check base_url=, or {_REMEDY}"
        return Unavailable(f"{provider}: {what}", provider=provider, code=_NOT_SENT)
    if names & {"TransportError", "HTTPError", "StreamError", "OSError"} or "ResourceError" in type(error).__name__:
        return Unavailable(f"{provider}: the connection broke ({type(error).__name__}); {_REMEDY}", provider=provider)
    return None


def cause_of(error: Exception) -> Exception | None:
    """Give the error to name as the cause, or None where its words may quote a header or the reply."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return None if names & {"ProtocolError", "LocalProtocolError", "RemoteProtocolError"} else error
