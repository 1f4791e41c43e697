"""Streams of HTTP/2 that are left before their end: the server is told, as a closed connection tells it otherwise.

httpx and httpx2 forget such a stream and say nothing. The server would write all of it, and bill it, and what nobody
reads would use up what the connection may carry, until the calls that share it wait for ever.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["leave", "left_unsaid"]

_WRAPPERS = ("_stream", "_httpcore_stream")  # from httpx's response to httpcore's stream
_MOST_WRAPPERS = 8
_CANCEL = 8  # RFC 9113, 7
_WRITE_SECONDS = 5.0


class _Writing:
    """What httpcore wants of a request to write by."""

    extensions = {"timeout": {"write": _WRITE_SECONDS}}  # noqa: RUF012 - as httpcore reads it


def leave(response: Any, *, waited_for: bool) -> Callable[[], Any] | None:
    """End the stream that a response comes by; give what sends that, or None where it is no stream of HTTP/2.

    Whoever reads on gets an error, which closes it on this side. Where somebody waits for more of it already
    (`waited_for`), they are woken by the server's answer.
    """
    stream = _stream_of(response)
    if stream is None:
        return None
    connection, number = stream._connection, stream._stream_id  # noqa: SLF001 - no other way
    state, received = connection._h2_state, connection._events.get(number, [])  # noqa: SLF001
    with contextlib.suppress(Exception):  # it has ended by itself
        unread = sum(getattr(event, "flow_controlled_length", None) or 0 for event in received)
        if unread:
            state.acknowledge_received_data(unread, number)
        state.reset_stream(number, _CANCEL)
        if waited_for:
            state.ping(b"inferkit")
    from h2.events import StreamReset

    received[:] = [StreamReset(stream_id=number, error_code=_CANCEL, remote_reset=False)]
    return functools.partial(connection._write_outgoing_data, _Writing)  # noqa: SLF001


def left_unsaid(transport: Any) -> Iterator[Callable[[], Any]]:
    """End the streams of a pool that nobody reads any more, as of calls that were cancelled; give what sends that."""
    for pooled in list(transport._pool.connections):  # noqa: SLF001 - no other way
        connection = getattr(pooled, "_connection", None)
        state = getattr(connection, "_h2_state", None)
        if connection is None or state is None:
            continue
        known = connection._events  # noqa: SLF001
        forgotten = [number for number, stream in state.streams.items() if number not in known and not stream.closed]
        for number in forgotten:
            with contextlib.suppress(Exception):  # it has ended
                state.reset_stream(number, _CANCEL)
        if forgotten:
            yield functools.partial(connection._write_outgoing_data, _Writing)  # noqa: SLF001


def _stream_of(response: Any) -> Any:
    """Give httpcore's stream of HTTP/2; None for HTTP/1.1, and for transports of other kinds."""
    at = response.stream
    for _ in range(_MOST_WRAPPERS):
        if hasattr(at, "_stream_id"):
            return at
        at = next((inner for name in _WRAPPERS if (inner := getattr(at, name, None)) is not None), None)
    return None
