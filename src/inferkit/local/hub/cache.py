"""The folder in which every tool keeps what it fetched from Hugging Face, as `huggingface_hub` lays it out.

A repository's folder holds `blobs` (each file once, named by its checksum), `snapshots/<commit>` (links to them, named
as in the repository) and `refs` (the commit that a branch stood for). Nothing here asks the network.
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.core.errors import ModelFileError
from inferkit.local.hub.name import HubName

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CachedFile", "RepoCache", "cache_folder", "cached_files", "find", "home_folder", "remove"]

_REPO_PREFIX = "models--"


def home_folder() -> Path:
    """Give the folder that Hugging Face's tools call their home."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _path(os.environ.get("HF_HOME") or f"{caches}/huggingface")


def cache_folder() -> Path:
    """Give the folder that tools share: `HF_HUB_CACHE`, or else `hub` in their home."""
    stated = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _path(stated) if stated else home_folder() / "hub"


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser().absolute()


class RepoCache:
    """Where the files of one repository lie."""

    def __init__(self, repo: str, folder: Path | None = None) -> None:
        self._root = folder or cache_folder()
        self._name = _REPO_PREFIX + repo.replace("/", "--")
        self.folder = self._root / self._name

    def blob(self, etag: str) -> Path:
        """Give the place of a file by its checksum."""
        return self.folder / "blobs" / etag

    def pointer(self, name: HubName) -> Path:
        """Give the place of a file by its commit and its name."""
        assert name.revision is not None
        return self.folder / "snapshots" / name.revision / name.file

    def ref(self, revision: str) -> Path:
        """Give the file that holds the commit a branch stood for."""
        return self.folder / "refs" / revision

    def lock(self, etag: str) -> Path:
        """Give the file that is locked by whoever writes this blob."""
        return self._root / ".locks" / self._name / f"{etag}.lock"

    def commits(self) -> list[str]:
        """Give the commits of which there are files."""
        with contextlib.suppress(OSError):
            return sorted(each.name for each in (self.folder / "snapshots").iterdir() if each.is_dir())
        return []

    def commit_of(self, revision: str) -> str | None:
        """Give the commit that a branch stood for when it was last looked at; None where nobody has."""
        with contextlib.suppress(OSError, ValueError):
            return self.ref(revision).read_text(encoding="ascii").strip() or None
        return None

    def link(self, name: HubName, etag: str) -> Path:
        """Make a file of a commit that is a blob which is there; return its place."""
        pointer = self.pointer(name)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(os.path.relpath(self.blob(etag), pointer.parent))
        return pointer


def find(name: HubName) -> Path:
    """Give the file that a pinned name stands for, if it is on this machine. Raises `ModelFileError` otherwise."""
    if not name.file.endswith(".gguf"):
        raise ModelFileError(f"{name} names no GGUF file; see which there are: inferkit models add hf:{name.repo}")
    cache = RepoCache(name.repo)
    if not name.is_pinned:
        branch = name.revision or "main"
        commit = cache.commit_of(branch)
        if commit is not None and cache.pointer(name.at(commit)).is_file():
            raise ModelFileError(
                f"{name} is pinned to no commit, and a branch may be another model tomorrow; on this machine "
                f"{branch} is {name.at(commit)}"
            )
        raise ModelFileError(
            f"{name} is pinned to no commit, and not on this machine; to fetch it and see its commit, run: "
            f"inferkit models add {name}"
        )
    revision = name.revision or ""
    found = [one for one in map(name.at, cache.commits()) if (one.revision or "").startswith(revision)]
    there = [pointer for one in found if (pointer := cache.pointer(one)).is_file()]
    if len(there) > 1:
        raise ModelFileError(f"{name} stands for {len(there)} commits on this machine; write more of its digits")
    if not there:
        raise ModelFileError(f"{name} is not on this machine; to fetch it, run: inferkit models add {name}")
    return there[0]


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A GGUF file of the cache, with the name that stands for it. `size` is in bytes."""

    name: HubName
    path: Path
    size: int


def cached_files() -> Iterator[CachedFile]:
    """Give every GGUF file in the cache that is whole, repository after repository."""
    with contextlib.suppress(OSError):
        for folder in sorted(cache_folder().glob(f"{_REPO_PREFIX}*--*")):
            repo = folder.name.removeprefix(_REPO_PREFIX).replace("--", "/", 1)
            for snapshot in sorted((folder / "snapshots").glob("*")):
                for file in sorted(snapshot.rglob("*.gguf")):
                    if file.is_file():
                        name = HubName(repo, file.relative_to(snapshot).as_posix(), snapshot.name)
                        yield CachedFile(name, file, file.stat().st_size)


def remove(name: HubName) -> int:
    """Remove a file from the cache, and its bytes where no other commit has them; return how many bytes that freed.

    What is left empty, and branches that stood for nothing else, go too. Raises `ModelFileError` where it is not there.
    """
    pointer = find(name)
    folder = RepoCache(name.repo).folder
    blob = pointer.resolve()
    pointer.unlink()
    freed = 0
    inside = folder.resolve() in blob.parents
    if inside and not any(other.resolve() == blob for other in (folder / "snapshots").rglob("*") if other.is_file()):
        freed = blob.stat().st_size
        blob.unlink()
    _tidy(folder, pointer)
    return freed


def _tidy(folder: Path, pointer: Path) -> None:
    """Remove the folders that are empty now, and what names a commit of which nothing is left."""
    snapshots = folder / "snapshots"
    place = pointer.parent
    while place not in (snapshots, folder) and not any(place.iterdir()):
        place.rmdir()
        place = place.parent
    commits = {each.name for each in snapshots.iterdir()}
    refs = [each for each in (folder / "refs").rglob("*") if each.is_file()]
    for ref in refs:
        if ref.read_text(encoding="ascii", errors="replace").strip() not in commits:
            ref.unlink()
    if not commits:
        for empty in ("snapshots", "blobs", "refs", "."):
            with contextlib.suppress(OSError):
                (folder / empty).rmdir()
