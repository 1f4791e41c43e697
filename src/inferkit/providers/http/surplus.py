"""Bytes that have come, and that nobody has read: of a reply that is read, or behind one that is at its end.

The connection that holds any behind a reply must carry no other call. A server that counts its own reply short leaves
them, or one that means harm; httpx would read them as the next call's reply. What comes after the connection is idle,
httpx notices by itself.
"""

from __future__ import annotations

import selectors
from typing import Any

__all__ = ["can_be_read", "holds_more", "holds_surplus"]

_WRAPPERS = ("_stream", "_httpcore_stream", "_connection")  # from httpx's response to httpcore's connection
_MOST_WRAPPERS = 8
_AFTER_A_CHUNK = 2  # bytes, which the parser takes with what comes next


def holds_surplus(response: Any, *, tls: bool) -> bool:
    """Say whether the connection that this whole response came over holds more, of all that httpx and httpx2 make."""
    connection = _connection_of(response)
    if connection is None:
        return False
    return bool(connection._h11_state.trailing_data[0]) or _holds(connection._network_stream, tls=tls)  # noqa: SLF001


def holds_more(response: Any) -> bool:
    """Say whether more of this reply has come, to its connection or to this machine."""
    connection = _connection_of(response)
    if connection is None:
        return False
    network = connection._network_stream  # noqa: SLF001 - no other way
    received = connection._h11_state.trailing_data[0]  # noqa: SLF001
    if len(received) > _AFTER_A_CHUNK or _holds(network, tls=False):
        return True
    session = network.get_extra_info("ssl_object")
    return bool(session is not None and session.pending()) or can_be_read(network.get_extra_info("socket"))


def can_be_read(sock: Any) -> bool:
    """Say whether something was received that nobody has asked for, or the connection was ended."""
    if sock is None or sock.fileno() == -1:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(sock.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def _connection_of(response: Any) -> Any:
    """Give httpcore's connection; None for HTTP/2, which tells its calls apart, and for transports of other kinds."""
    at = response.stream
    for _ in range(_MOST_WRAPPERS):
        if hasattr(at, "_h11_state"):
            return at
        at = next((inner for name in _WRAPPERS if (inner := getattr(at, name, None)) is not None), None)
    return None


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
