"""The event stream of Amazon's services (`application/vnd.amazon.eventstream`), as bytes in and messages out, and back.

A message is a prelude (its length, that of its headers, and a CRC of both), headers with typed values, a payload, and a
CRC of all that. However the bytes are cut, the messages are the same.
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DamagedStream", "EventStreamMessage", "EventStreamParser", "write_message"]

MAX_MESSAGE_BYTES = 24 * 1024 * 1024  # what Amazon's services send at most
_MAX_HEADER_BYTES = 128 * 1024
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_AROUND = _PRELUDE.size + _CRC.size
_FIXED = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_BYTES, _TEXT, _TIME, _UUID = 6, 7, 8, 9


class DamagedStream(ValueError):
    """What comes is not what was sent, or no event stream. Nothing after that can be read."""


class EventStreamMessage(NamedTuple):
    """One message. A header is a bool, an int (a time in milliseconds), bytes, a text or a UUID; not to be changed."""

    headers: Mapping[str, Any]
    payload: bytes

    def __repr__(self) -> str:
        """Name the headers, without the payload, which is the model's reply."""
        return f"EventStreamMessage({sorted(self.headers)}, {len(self.payload)} bytes)"


class EventStreamParser:
    """Collects bytes and gives the messages that they complete.

    No more than one message is held, and none that says it is longer than `max_message_bytes`.
    """

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max = max_message_bytes
        self._held = bytearray()
        self._size = 0  # of the message that is coming, once its prelude is there
        self._damage: str | None = None
        self._headers: tuple[bytes, dict[str, Any]] = (b"", {})  # of the last message, which most are like

    def feed(self, data: bytes) -> Iterator[EventStreamMessage]:
        """Take the next bytes, and give the messages that end in them one by one.

        Raises `DamagedStream` in the place of the first one that is not whole, and from then on.
        """
        if self._damage is None:
            self._held += data
        return self._messages()

    @property
    def between(self) -> bool:
        """Whether nothing is held of a message that has not ended."""
        return not self._held

    def _messages(self) -> Iterator[EventStreamMessage]:
        while True:
            if self._damage is not None:
                raise DamagedStream(self._damage)
            try:
                found = self._next()
            except DamagedStream as damaged:
                self._damage = str(damaged)
                self._held.clear()
                raise
            if found is None:
                return
            yield found

    def _next(self) -> EventStreamMessage | None:
        held = self._held
        if not self._size:
            if len(held) < _PRELUDE.size:
                return None
            self._size = self._meet(held)
        if len(held) < self._size:
            return None
        message = bytes(held[: self._size])
        del held[: self._size]
        self._size = 0
        return self._read(message)

    def _read(self, message: bytes) -> EventStreamMessage:
        if crc32(message[: -_CRC.size]) != _CRC.unpack_from(message, len(message) - _CRC.size)[0]:
            raise DamagedStream("a message is damaged")
        end = _PRELUDE.size + _PRELUDE.unpack_from(message)[1]
        raw = message[_PRELUDE.size : end]
        if raw != self._headers[0]:
            try:
                self._headers = raw, dict(_headers(raw))
            except (struct.error, IndexError, KeyError, ValueError):
                raise DamagedStream("the headers of a message cannot be read") from None
        return EventStreamMessage(self._headers[1], message[end : -_CRC.size])

    def _meet(self, held: bytearray) -> int:
        size, header_size, crc = _PRELUDE.unpack_from(held)
        if crc32(held[:8]) != crc:
            raise DamagedStream("the beginning of a message is damaged, or it is no event stream")
        if size > self._max:
            raise DamagedStream(f"a message is longer than {self._max} bytes")
        if header_size > _MAX_HEADER_BYTES or size < header_size + _AROUND:
            raise DamagedStream("the lengths of a message do not fit each other")
        return int(size)


def _headers(raw: bytes) -> Iterator[tuple[str, Any]]:
    at = 0
    while at < len(raw):
        name_end = at + 1 + raw[at]
        name, kind = raw[at + 1 : name_end].decode(), raw[name_end]
        value, at = _value(raw, kind, name_end + 1)
        if at > len(raw):
            raise IndexError
        yield name, value


def _value(raw: bytes, kind: int, at: int) -> tuple[Any, int]:
    """Give a header's value, and where it ends."""
    if kind in (0, 1):
        return kind == 0, at
    if kind in (_BYTES, _TEXT):
        begin = at + _LENGTH.size
        end = begin + _LENGTH.unpack_from(raw, at)[0]
        value = raw[begin:end]
        return (value if kind == _BYTES else value.decode()), end
    if kind == _UUID:
        return UUID(bytes=raw[at : at + 16]), at + 16
    number = _FIXED[5 if kind == _TIME else kind]
    return number.unpack_from(raw, at)[0], at + number.size


def write_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Write a message whose headers are texts."""
    written = b"".join(_written(name.encode(), value.encode()) for name, value in headers.items())
    size = len(written) + len(payload) + _AROUND
    lengths = struct.pack(">II", size, len(written))
    message = lengths + _CRC.pack(crc32(lengths)) + written + payload
    return message + _CRC.pack(crc32(message))


def _written(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([_TEXT]) + _LENGTH.pack(len(value)) + value
