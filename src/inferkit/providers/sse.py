"""Server-Sent Events, as bytes in and events out, to the letter of WHATWG HTML 9.2.6.

Only CR, LF and CRLF end a line. The text is UTF-8 whatever the headers say. However the bytes are cut, the events are
the same. https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CR", "EventTooLong", "SSEEvent", "SSEParser"]

CR, _LF = b"\r\n"  # as numbers, which are found in bytes five times as fast as bytes are
_BOM = b"\xef\xbb\xbf"
_MAX_EVENT_BYTES = 16 * 1024 * 1024  # an image comes in one event


class EventTooLong(ValueError):
    """A line or an event is longer than the parser was told to hold."""


class SSEEvent(NamedTuple):
    """One event. `raw` is its data as it came; `event` its type; `id` the last id the stream has named so far."""

    raw: bytes
    event: str = "message"
    id: str = ""

    @property
    def data(self) -> str:
        """The data as text; bytes that are not UTF-8 become U+FFFD, as the standard says."""
        return self.raw.decode("utf-8", "replace")

    def __repr__(self) -> str:
        """Name the event without its data, which is the model's reply."""
        return f"SSEEvent({self.event!r}, {len(self.raw)} bytes)"


class SSEParser:
    """Collects bytes and gives the events that they complete.

    `max_event_bytes` bounds what is held of an event that does not end; beyond it, `EventTooLong` is raised. `between`
    says that nothing is held: where what comes is whole events without names and ids, others may read it instead.
    """

    def __init__(self, *, max_event_bytes: int = _MAX_EVENT_BYTES) -> None:
        self.between = False
        self._max = max_event_bytes
        self._partial: list[bytes] = []  # of a line that has not ended
        self._partial_size = 0
        self._after_cr = False
        self._started = False
        self._data: list[bytes] = []
        self._data_size = 0
        self._type = ""
        self._id = ""

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Take the next bytes and return the events that end in them."""
        size = len(data) - 2
        if (
            self.between
            and data.find(b"\n") == size <= self._max
            and data.endswith(b"\n\n")
            and data.startswith(b"data: ")
            and CR not in data
        ):  # one whole event of the plainest kind
            return [SSEEvent(data[6:size], "message", self._id)]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[SSEEvent]:
        self.between = False
        if self._after_cr or CR in data:
            data = self._with_newlines(data)
        if _LF not in data:
            self._keep(data)
            return []
        if self._partial:
            self._partial.append(data)
            data = b"".join(self._partial)
            self._partial.clear()
        if not self._started:
            self._started = True
            data = data.removeprefix(_BOM)
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        events: list[SSEEvent] = []
        for block in blocks:
            if block[:5] == b"data:" and _LF not in block and not self._data and not self._type:
                self._check(len(block))
                events.append(SSEEvent(block[6:] if block[5:6] == b" " else block[5:], "message", self._id))
            else:
                for line in block.split(b"\n"):
                    self._line(line, events)
                self._dispatch(events)
        self._partial_size = 0
        if rest:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                self._line(line, events)
            self._keep(rest)
        self.between = not (self._partial or self._data or self._type or self._after_cr)
        return events

    def close(self) -> SSEEvent | None:
        """End the stream, and return the event that its end cut off, if there is one.

        The standard drops such an event. A reader that can tell a whole payload from a part, as with JSON, may use it.
        """
        events: list[SSEEvent] = []
        rest = b"".join(self._partial)
        self._partial.clear()
        if rest:
            self._line(rest if self._started else rest.removeprefix(_BOM), events)
        self._dispatch(events)
        return events[0] if events else None

    def _with_newlines(self, data: bytes) -> bytes:
        """Turn every line end into LF. A CR ends its line at once; an LF that follows it belongs to it."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if data.endswith(b"\r"):
            self._after_cr = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, partial: bytes) -> None:
        if partial:
            self._partial.append(partial)
            self._partial_size += len(partial)
            self._check(self._partial_size)

    def _check(self, size: int) -> None:
        if size > self._max:
            raise EventTooLong(f"an event of the stream is longer than {self._max} bytes")

    def _line(self, line: bytes, events: list[SSEEvent]) -> None:
        if not line:
            self._dispatch(events)
            return
        self._check(len(line))
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data_size += len(value) + 1
            self._check(self._data_size)
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _dispatch(self, events: list[SSEEvent]) -> None:
        if self._data:
            events.append(SSEEvent(b"\n".join(self._data), self._type or "message", self._id))
            self._data = []
            self._data_size = 0
        self._type = ""
