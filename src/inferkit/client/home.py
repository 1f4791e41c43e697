"""Where inferkit keeps its ledger and its cache: the user's data and cache folders, or `INFERKIT_HOME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.runtime.variables import read_variable

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from inferkit.layers.cache import Cache

__all__ = ["cache_folder", "ledger_file", "open_cache"]


def ledger_file(home: str | os.PathLike[str] | None = None) -> Path:
    """Give the default ledger's path."""
    return _folder(home, "user_data_path") / "ledger.sqlite3"


def cache_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """Give the default cache's folder."""
    return _folder(home, "user_cache_path") / "replies"


def open_cache(given: bool | Cache, home: str | os.PathLike[str] | None = None) -> Cache | None:
    """Give the cache that a client was set up with: None, its caller's own, or one in memory and in the folder."""
    from inferkit.caching.disk import DiskTier
    from inferkit.caching.memory import MemoryTier
    from inferkit.layers.cache import Cache

    if given is False:
        return None
    return Cache(MemoryTier(), DiskTier(cache_folder(home))) if given is True else given


def _folder(home: str | os.PathLike[str] | None, kind: str) -> Path:
    from pathlib import Path

    chosen = home or read_variable("HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    folder: Path = getattr(platformdirs, kind)("inferkit")
    return folder
