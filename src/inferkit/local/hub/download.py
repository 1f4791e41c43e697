"""Fetches a model into the cache that other tools share: resumed where it was cut, and verified before it gets a name.

What has come lies in `<checksum>.incomplete` until all of it is there and its checksum is right. Another process that
fetches the same file is waited for.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from inferkit.local.errors import DownloadFailed
from inferkit.local.hub import checksum
from inferkit.local.hub.cache import RepoCache
from inferkit.local.hub.remote import Hub, RemoteFile
from inferkit.runtime import clock
from inferkit.runtime.posix import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from inferkit.local.hub.name import HubName

__all__ = ["Fetched", "Progress", "fetch"]

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Is told what is done ("wait", "fetch", "verify"), how many bytes of it, and of how many."""

_TRIES = 5
_OK, _PARTIAL, _RANGE = 200, 206, 416
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model that is here now, and verified. `name` has the commit; `fetched` of its `size` bytes came just now."""

    name: HubName
    path: Path
    size: int
    checksum: str
    fetched: int


def fetch(name: HubName, progress: Progress) -> Fetched:
    """Fetch a file unless it is here, and verify it in both cases. Raises `DownloadFailed`."""
    here = _here(name, progress)
    if here is not None:
        return here
    if fcntl is None:
        raise DownloadFailed(
            f"a model is fetched under a file lock of POSIX, which {sys.platform} does not have; fetch {name} with a "
            "browser, and give the file's path"
        )
    with Hub() as hub:
        file = hub.describe(name)
        cache = RepoCache(name.repo)
        try:
            with _locked(cache.lock(file.etag), progress):
                fetched = _fill(hub, file, cache, progress)
                path = cache.link(file.name, file.etag)
                if not name.is_commit:
                    ref = cache.ref(name.revision or "main")
                    ref.parent.mkdir(parents=True, exist_ok=True)
                    ref.write_text(file.name.revision or "", encoding="ascii")
        except OSError as error:
            raise _not_written(cache.folder, error) from error
    return Fetched(file.name, path, file.size, file.etag, fetched)


def _here(name: HubName, progress: Progress) -> Fetched | None:
    """Give a file that is in the cache already, if its bytes are those that its commit has; nobody is asked."""
    if not name.is_commit:
        return None
    pointer = RepoCache(name.repo).pointer(name)
    etag = pointer.resolve().name
    with contextlib.suppress(OSError, DownloadFailed):
        checksum.check_named(etag, "")
        size = pointer.stat().st_size
        if checksum.of_file(pointer, etag, lambda done: progress("verify", done, size)) == etag:
            return Fetched(name, pointer, size, etag, 0)
    return None


@contextlib.contextmanager
def _locked(place: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock that `huggingface_hub` takes for this file, too."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress("wait", 0, 0)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(hub: Hub, file: RemoteFile, cache: RepoCache, progress: Progress) -> int:
    """Have the file's bytes in the cache, under their checksum; return how many came over the network."""
    blob = cache.blob(file.etag)
    blob.parent.mkdir(parents=True, exist_ok=True)
    partial = blob.with_name(blob.name + ".incomplete")
    if blob.is_file():
        if _is_right(blob, file, progress):
            return 0
        blob.unlink()
    earlier = _size(partial)
    if earlier > file.size:
        partial.unlink()
        earlier = 0
    came = _transfer(hub, file, partial, progress)
    if earlier and not _is_right(partial, file, progress):
        partial.unlink()  # what lay there was not the beginning of this file
        earlier = 0
        came += _transfer(hub, file, partial, progress)
    if not earlier and not _is_right(partial, file, progress):
        partial.unlink()
        raise DownloadFailed(
            f"{file.name}: what came is not what the hub says it is (its checksum is another); nothing of it was kept. "
            "Try again, and if that does not help, look what stands between this machine and the hub"
        )
    partial.replace(blob)
    return came


def _is_right(path: Path, file: RemoteFile, progress: Progress) -> bool:
    if path.stat().st_size != file.size:
        return False
    return checksum.of_file(path, file.etag, lambda done: progress("verify", done, file.size)) == file.etag


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _transfer(hub: Hub, file: RemoteFile, partial: Path, progress: Progress) -> int:
    """Fetch what is missing of a file, going on where a connection is cut; return how many bytes came."""
    import httpx

    came = 0
    fruitless = 0
    while (start := _size(partial)) < file.size:
        _check_room(partial.parent, file, file.size - start)
        before = came
        try:
            for data in _bytes(hub, file, start, partial):
                came += data
                progress("fetch", _size(partial), file.size)
        except httpx.TransportError as error:
            cut = error
        else:
            if _size(partial) >= file.size:
                break
            cut = httpx.ReadError("the connection was closed")
        fruitless = 0 if came > before else fruitless + 1
        if fruitless == _TRIES:
            if not came:
                raise hub.unreachable(cut) from cut
            raise DownloadFailed(
                f"{file.name}: the connection was cut again and again, at {_size(partial):,} of {file.size:,} bytes; "
                "they were kept, and the same command goes on from there"
            ) from cut
        if fruitless:
            clock.sleep(2.0 ** (fruitless - 1))
    return came


def _bytes(hub: Hub, file: RemoteFile, start: int, partial: Path) -> Iterator[int]:
    """Append what a server sends to the file, and give the size of each piece."""
    with hub.stream(file, start) as response:
        if response.status_code == _RANGE:
            partial.unlink(missing_ok=True)
            return
        if response.status_code not in (_OK, _PARTIAL):
            raise hub.refusal(response, file.name)
        anew = response.status_code == _OK  # a server that knows no ranges sends all of it
        with partial.open("wb" if anew else "ab") as out:
            left = file.size - (0 if anew else start)
            for data in response.iter_raw():
                if len(data) > left:
                    raise DownloadFailed(
                        f"{file.name}: more came than the {file.size:,} bytes that the hub says it has; try again"
                    )
                out.write(data)
                out.flush()
                left -= len(data)
                yield len(data)


def _check_room(folder: Path, file: RemoteFile, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadFailed(
            f"{file.name} needs {needed / 1e6:,.0f} MB more in {folder}, and {free / 1e6:,.0f} MB are free there; "
            "remove models (inferkit models list, inferkit models remove), or set HF_HUB_CACHE to another disk"
        )


def _not_written(folder: Path, error: OSError) -> DownloadFailed:
    if error.errno in _FULL:
        return DownloadFailed(
            f"{folder}: the disk is full; what came was kept. Remove models (inferkit models list, inferkit models "
            "remove) and run the same command again, or set HF_HUB_CACHE to another disk"
        )
    return DownloadFailed(f"{folder} cannot be written ({error.strerror}); set HF_HUB_CACHE to a folder of yours")
