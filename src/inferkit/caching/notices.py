"""How processes that share a cache on disk hear of what one of them has cleared: a few lines in a file beside it.

The tiers in front of the disk are in the memory of each process. The file is looked at about once a second, which takes
microseconds, and read when it has changed. It is written without locks, and begun anew when it has grown: where it
cannot be told what is new, everything is taken for cleared, since a cache may lose anything.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from inferkit.caching.choice import Chosen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Notices", "note"]

_FILE = "cleared"
_MOST_BYTES = 16_384


class Notices:
    """What others have cleared in a folder, since this was made or last asked."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._seen = self._state()

    def read(self) -> Sequence[Chosen]:
        """Give it; everything, where what is new cannot be told from what was known."""
        state = self._state()
        if state == self._seen:
            return ()
        (inode, before, _), self._seen = self._seen, state
        same = inode == state[0] and state[1] >= before
        with contextlib.suppress(OSError, ValueError, TypeError), self._path.open("rb") as file:
            file.seek(before if same else 0)
            return [Chosen(*json.loads(line)) for line in file.read(_MOST_BYTES * 2).splitlines()]
        return [Chosen()]

    def _state(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_size, found.st_mtime_ns)


def note(folder: Path, chosen: Chosen) -> None:
    """Tell the others. Raises `OSError` where that cannot be written."""
    path = folder / _FILE
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _MOST_BYTES:
            path.unlink()
    with path.open("a", encoding="ascii") as file:
        file.write(json.dumps(chosen) + "\n")
