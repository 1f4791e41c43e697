"""What is in a cache on disk, for somebody who looks: nothing is written to it, and no reply is read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from inferkit.caching.rest import explain
from inferkit.core.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["KeptReplies", "Survey", "survey"]

_DATABASE = "cache.db"  # diskcache's name for it
_WAIT_SECONDS = 10.0
_TOTAL = (
    "SELECT count(*), coalesce(sum(length(value)), 0), min(store_time), max(store_time), "
    "count(*) FILTER (WHERE expire_time <= ?), count(*) FILTER (WHERE tag IS NULL) FROM Cache"
)
_BY_LABEL = (
    "SELECT tag, count(*), sum(length(value)), min(store_time), max(store_time) FROM Cache "
    "WHERE tag IS NOT NULL GROUP BY tag"
)
_LIMIT = "SELECT value FROM Settings WHERE key = 'size_limit'"


class KeptReplies(NamedTuple):
    """Entries that have something in common. Sizes are in bytes, instants in seconds since the epoch."""

    name: str
    entries: int
    size: int
    oldest: float
    newest: float


class Survey(NamedTuple):
    """What is kept. `size` is that of the entries, `file_size` of the files that hold them, both in bytes.

    `expired` entries have passed their `ttl` and give way. `unlabelled` ones are of an older version, which did not
    note models beside them. `oldest` and `newest` are seconds since the epoch, None where there are none.
    """

    entries: int
    size: int
    file_size: int
    size_limit: int | None
    oldest: float | None
    newest: float | None
    expired: int
    unlabelled: int
    models: Sequence[KeptReplies]
    tags: Sequence[KeptReplies]


def survey(folder: Path, now: float) -> Survey:
    """Look into the cache in a folder. Raises `CacheError` for one that is not there or cannot be read."""
    path = folder / _DATABASE
    if not path.is_file():
        raise CacheError(f"there is no cache at {folder}; name the one that your application uses: --cache")
    try:
        with closing(_open(path)) as connection:
            total = connection.execute(_TOTAL, (now,)).fetchone()
            labelled = connection.execute(_BY_LABEL).fetchall()
            limit = connection.execute(_LIMIT).fetchone()
    except sqlite3.Error as error:
        raise explain(folder, error) from error
    entries, size, oldest, newest, expired, unlabelled = total
    models: dict[str, KeptReplies] = {}
    tags: dict[str, KeptReplies] = {}
    for label, *figures in labelled:
        model, *names = str(label).splitlines() or [""]
        _add(models, model, figures)
        for name in names:
            _add(tags, name, figures)
    files = sum(file.stat().st_size for file in folder.glob(f"{_DATABASE}*") if file.is_file())
    return Survey(
        entries, size, files, limit[0] if limit and isinstance(limit[0], int) else None, oldest, newest, expired,
        unlabelled, _largest_first(models), _largest_first(tags),
    )  # fmt: skip


def _open(path: Path) -> sqlite3.Connection:
    """Open it to read; where not even that is allowed without writing, as a file that stays as it is."""
    for how in ("mode=ro", "mode=ro&immutable=1"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=_WAIT_SECONDS)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            if how != "mode=ro":
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError


def _add(kept: dict[str, KeptReplies], name: str, figures: Sequence[float]) -> None:
    entries, size, oldest, newest = figures
    known = kept.get(name, KeptReplies(name, 0, 0, oldest, newest))
    kept[name] = KeptReplies(
        name,
        known.entries + int(entries),
        known.size + int(size),
        min(known.oldest, oldest),
        max(known.newest, newest),
    )


def _largest_first(kept: dict[str, KeptReplies]) -> Sequence[KeptReplies]:
    return sorted(kept.values(), key=lambda each: (-each.size, each.name))
