"""What a hub says of a file's bytes, and whether a file is that."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from inferkit.local.errors import DownloadFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["check_named", "normal", "of_file"]

_CHUNK = 1 << 20
_SHA256, _SHA1 = 64, 40


def normal(etag: str) -> str:
    """Give an entity tag without its quotes and its mark of weakness."""
    return etag.strip().removeprefix("W/").strip('"')


def check_named(etag: str, what: str) -> None:
    """Make sure that a tag is a checksum: of large files SHA-256, of small ones Git's. Raises `DownloadFailed`."""
    if not re.fullmatch(f"[0-9a-f]{{{_SHA256}}}|[0-9a-f]{{{_SHA1}}}", etag):
        raise DownloadFailed(
            f"{what}: the hub names no checksum, so nothing can be verified; look whether HF_ENDPOINT is a real hub"
        )


def of_file(path: Path, etag: str, progress: Callable[[int], None]) -> str:
    """Compute the checksum of a file, of the same kind as `etag`. `progress` is told how many bytes were read."""
    digest = hashlib.sha256() if len(etag) == _SHA256 else hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        if len(etag) == _SHA1:
            digest.update(
                b"blob %d\0" % path.stat().st_size
            )  # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        done = 0
        while data := file.read(_CHUNK):
            digest.update(data)
            done += len(data)
            progress(done)
    return digest.hexdigest()
