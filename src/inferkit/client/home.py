"""Where inferkit keeps its ledger and its cache: the user's data and cache folders, or `INFERKIT_HOME`."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "ledger_file"]


def ledger_file(home: str | os.PathLike[str] | None = None) -> Path:
    """Give the default ledger's path."""
    return _folder(home, "user_data_path") / "ledger.sqlite3"


def cache_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """Give the default cache's folder."""
    return _folder(home, "user_cache_path") / "replies"


def _folder(home: str | os.PathLike[str] | None, kind: str) -> Path:
    chosen = home or os.environ.get("INFERKIT_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    folder: Path = getattr(platformdirs, kind)("inferkit")
    return folder
