"""Unpacks a compressed body in small pieces, so that a few kilobytes cannot become gigabytes in one step."""

from __future__ import annotations

import zlib

__all__ = ["Inflater"]

_PIECE_BYTES = 64 * 1024
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class Inflater:
    """Unpacks gzip and deflate. Raises `zlib.error` for anything else."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return at most 64 KiB of what they hold; `more` gives the rest."""
        if not self._begun:
            self._begun = True
            if data[:1] != b"\x1f" and data[0] & 0x0F != zlib.DEFLATED:  # "deflate" without its header, as some send
                self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inner.decompress(data, _PIECE_BYTES)

    def more(self) -> bytes:
        """Return the next piece of what was fed, or nothing if it is used up."""
        if not self._inner.unconsumed_tail:
            return b""
        return self._inner.decompress(self._inner.unconsumed_tail, _PIECE_BYTES)

    @property
    def complete(self) -> bool:
        """Whether the end of the compressed data was seen."""
        return self._inner.eof or not self._begun
