"""Which model files this machine has: the embedded one, those of installed packages, those from Hugging Face."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from inferkit.core.errors import LocalModelError
from inferkit.local.adapter import EMBEDDED
from inferkit.local.hub.cache import cached_files
from inferkit.local.inspection import inspect_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.local.inspection import Inspection

__all__ = ["Shelved", "look_at", "models_here"]

_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class Shelved:
    """A model file that is here. `name` is what stands for it in `models=`, `size` is in bytes.

    `inspection` is what it is; where it is no sound GGUF file, `problem` says why.
    """

    name: str
    path: Path
    size: int
    inspection: Inspection | None
    problem: str | None


def models_here(*folders: Path) -> Iterator[Shelved]:
    """Give every model that has a name, and every GGUF file below `folders`; what is found twice is given once."""
    seen: set[Path] = set()
    for name, path in _named(folders):
        place = path.resolve()
        if place not in seen and path.is_file():
            seen.add(place)
            yield look_at(name, path)


def _named(folders: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    yield "local", EMBEDDED
    yield from _packaged()
    for cached in cached_files():
        yield f"local:{cached.name}", cached.path
    for folder in folders:
        for path in [folder] if folder.is_file() else sorted(folder.rglob(f"*{_SUFFIX}")):
            yield f"local:{path}", path


def _packaged() -> Iterator[tuple[str, Path]]:
    """Give the files that installed packages list. A package with one file of its own stands for that."""
    for distribution in importlib.metadata.distributions():
        listed = distribution.read_text("RECORD") or ""
        if _SUFFIX not in listed:
            continue
        places = [PurePosixPath(line.rsplit(",", 2)[0].strip('"')) for line in listed.splitlines()]
        files = [place for place in places if place.suffix == _SUFFIX]
        for file in files:
            package = file.parts[0]
            alone = sum(other.parts[0] == package for other in files) == 1
            path = Path(str(distribution.locate_file(str(file))))
            yield f"local:{package if alone else path}", path


def look_at(name: str, path: Path) -> Shelved:
    """Say of a file under its name what it is."""
    size = path.stat().st_size
    try:
        found = inspect_file(path)
    except LocalModelError as error:
        return Shelved(name, path, size, None, str(error).removeprefix(f"{path}: "))
    return Shelved(name, path, size, found, found.problem)
