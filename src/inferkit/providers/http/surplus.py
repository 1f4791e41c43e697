"""Bytes that came behind a reply that was at its end: the connection that holds any must carry no other call.

A server that counts its own reply short leaves them, or one that means harm; httpx would read them as the next call's
reply. What comes after the connection is idle, httpx notices by itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["holds_surplus"]

_WRAPPERS = ("_stream", "_httpcore_stream", "_connection")  # from httpx's response to httpcore's connection
_MOST_WRAPPERS = 8


def holds_surplus(response: Any, *, tls: bool) -> bool:
    """Say whether the connection that this whole response came over holds more, of all that httpx and httpx2 make."""
    at = response.stream
    for _ in range(_MOST_WRAPPERS):
        parser = getattr(at, "_h11_state", None)
        if parser is not None:
            return bool(parser.trailing_data[0]) or _holds(at._network_stream, tls=tls)  # noqa: SLF001 - no other way
        at = next((inner for name in _WRAPPERS if (inner := getattr(at, name, None)) is not None), None)
    return False  # HTTP/2, which tells its calls apart, or a transport of another kind


def _holds(network: Any, *, tls: bool) -> bool:
    """Say whether something was received that the HTTP parser has not seen."""
    stream = getattr(network, "_stream", None)  # anyio's or trio's; a blocking one takes no more than it was asked for
    if tls:
        if _has_decrypted(network.get_extra_info("ssl_object")):
            return True
        stream = getattr(stream, "transport_stream", None)
    protocol = getattr(stream, "_protocol", None)
    return bool(getattr(protocol, "read_queue", None))


def _has_decrypted(session: Any) -> bool:
    import ssl

    if not isinstance(session, ssl.SSLObject):
        return bool(session is not None and session.pending())
    try:
        return bool(session.read(1))  # from memory: it never waits
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True  # it was closed, or is broken
