"""How large an image is, from the first bytes of its file: PNG, JPEG, GIF and WebP. Nothing is decoded or unpacked.

https://www.w3.org/TR/png-3/, ITU-T T.81 (JPEG), https://www.w3.org/Graphics/GIF/spec-gif89a.txt,
https://www.rfc-editor.org/rfc/rfc9649 (WebP)
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.core.messages import ImagePart

__all__ = ["Size", "size_in", "size_of"]

Size = tuple[int, int]
"""Width and height in pixels."""

_LEAST = 30  # bytes: where the head of the longest kind ends
_HEAD = 256 * 1024  # bytes; a photograph may begin with long notes of its camera
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # the marks of JPEG that say how large it is
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # those that nothing follows
_START_OF_SCAN = 0xDA


def size_of(part: ImagePart) -> Size | None:
    """Give the size of an image that is in the request; None where it is elsewhere, or of another kind."""
    if part.data is not None:
        return size_in(part.data[:_HEAD])
    head, comma, data = (part.url or "").partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        return size_in(base64.b64decode(data[: _HEAD * 4 // 3 // 4 * 4]))
    except (binascii.Error, ValueError):
        return None


def size_in(data: bytes) -> Size | None:
    """Give the size that a file's first bytes say; None where they do not."""
    if len(data) < _LEAST:
        return None
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        found = _big(data[16:20]), _big(data[20:24])
    elif data.startswith((b"GIF87a", b"GIF89a")):
        found = _little(data[6:8]), _little(data[8:10])
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        found = _webp(data)
    elif data.startswith(b"\xff\xd8"):
        found = _jpeg(data)
    else:
        return None
    return found if min(found) > 0 else None


def _webp(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if kind == b"VP8L":
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    return 0, 0


def _jpeg(data: bytes) -> Size:
    """Go from mark to mark up to the one of the frame."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:  # noqa: PLR2004 - every mark begins so
        mark = data[place + 1]
        if mark == 0xFF:  # noqa: PLR2004 - filling
            place += 1
        elif mark in _BARE:
            place += 2
        elif mark in _FRAMES:
            return _big(data[place + 7 : place + 9]), _big(data[place + 5 : place + 7])
        elif mark == _START_OF_SCAN:
            break
        else:
            place += 2 + _big(data[place + 2 : place + 4])
    return 0, 0


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
