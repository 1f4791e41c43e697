"""Reads the head of a file forward, never past its end and never more than a model's head can be."""

from __future__ import annotations

import array
import stat
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from inferkit.core.errors import ModelFileError

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = ["METADATA_LIMIT", "Head", "check_place"]

METADATA_LIMIT = 64 << 20
"""Bytes of metadata that are read at most; the largest vocabularies in use take a tenth of it."""

_CHUNK = 1 << 20
_BEGINNING = 256


def check_place(path: Path) -> os.stat_result:
    """Make sure that a path leads to a regular file. Raises `ModelFileError`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}; give the path of a .gguf file") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    except ValueError as error:
        raise ModelFileError(f"{str(path)!r} is no path; give the path of a .gguf file") from error
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError(f"{path} is a directory; give the path of the .gguf file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path} is not a regular file; give the path of a .gguf file on disk")
    return status


class Head:
    """The beginning of an open file, taken piece by piece. `size` is the whole file's; what it lacks is an error."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file = file
        self._path = path
        self._buffer = bytearray()
        self.size = size
        self.position = 0

    def damaged(self, problem: str) -> ModelFileError:
        """Make the error for a file that is not what it should be."""
        return ModelFileError(
            f"{self._path}: {problem}; the file is damaged or was cut short: download or convert it again"
        )

    def take(self, count: int, what: str) -> int:
        """Make sure that `count` more bytes are in the buffer; return where they start and move past them."""
        start, end = self.position, self.position + count
        if end > self.size:
            raise self.damaged(f"{what} at byte {start} needs {count} bytes, and {self.size - start} are left")
        if end > METADATA_LIMIT:
            raise ModelFileError(
                f"{self._path}: the metadata is over {METADATA_LIMIT >> 20} MiB; that is no model the engine runs"
            )
        while len(self._buffer) < end:
            more = self._file.read(max(_CHUNK, end - len(self._buffer)))
            if not more:
                raise self.damaged(f"{what} at byte {start} could not be read")
            self._buffer += more
        self.position = end
        return start

    def number(self, code: str, what: str) -> Any:
        """Take a number, of a kind that `struct` names."""
        form = f"<{code}"
        return struct.unpack_from(form, self._buffer, self.take(struct.calcsize(form), what))[0]

    def string(self, what: str) -> bytes:
        """Take a string: its length in eight bytes, and its bytes."""
        length = self.number("Q", what)
        start = self.take(length, what)
        return bytes(self._buffer[start : start + length])

    def array(self, code: str, length: int, what: str) -> array.array[Any]:
        """Take `length` numbers of one kind."""
        size = struct.calcsize(f"<{code}") * length
        start = self.take(size, what)
        return array.array(code, bytes(self._buffer[start : start + size]))

    def beginning(self) -> bytes:
        """Give the first bytes of the file, as far as they were read."""
        return bytes(self._buffer[:_BEGINNING])

    def taken(self) -> bytes:
        """Give all bytes taken so far."""
        return bytes(self._buffer[: self.position])
