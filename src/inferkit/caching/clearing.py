"""Removes replies from the cache on disk, some at a time, so that calls come in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from inferkit.caching.choice import EVERY_REPLY
from inferkit.caching.notices import note
from inferkit.caching.rest import is_busy
from inferkit.caching.stored import decode
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from inferkit.caching.bytes_disk import BytesStore
    from inferkit.caching.choice import Chosen

__all__ = ["clear", "note"]

T = TypeVar("T")
_PATIENCE = 10.0  # seconds, for whoever keeps the database locked
_PAUSE = 0.01
_GIVE_WAY = 0.001  # between two transactions


def clear(store: BytesStore, chosen: Chosen, lock: RLock, step: Callable[[int], object] = lambda _: None) -> int:
    """Remove the entries that are meant, and say how many there were. The `lock` is that of the store's writers.

    `step` is told how many are removed, after each time that some are.
    """
    condition, values = chosen.condition()
    count = after = 0
    while True:
        removed, after = _patiently(lock, lambda after=after: store.remove_some(condition, values, after))  # type: ignore[misc]
        if not removed:
            break
        count += removed
        step(count)
        clock.sleep(_GIVE_WAY)
    if chosen != EVERY_REPLY:
        count += _clear_unlabelled(store, chosen, lock, lambda more: step(count + more))
    _patiently(lock, store.tidy)
    return count


def _clear_unlabelled(store: BytesStore, chosen: Chosen, lock: RLock, step: Callable[[int], object]) -> int:
    """Remove those that an older version wrote, which are read for that; so are damaged ones, which are of no use."""
    count = after = 0
    while True:
        rows = _patiently(lock, lambda after=after: store.unlabelled(after))  # type: ignore[misc]
        if not rows:
            return count
        after = rows[-1][0]
        meant = [row for row, key, *columns in rows if _is_meant(store, key, columns, chosen)]
        if meant:
            _patiently(lock, lambda meant=meant: store.remove_rows(meant))  # type: ignore[misc]
        count += len(meant)
        step(count)


def _is_meant(store: BytesStore, key: object, columns: list[object], chosen: Chosen) -> bool:
    try:
        entry = decode(store.value(*columns), key) if isinstance(key, bytes) else None
    except Exception:  # whatever stands there is no reply
        return True
    return entry is None or chosen.fits(entry)


def _patiently(lock: RLock, step: Callable[[], T]) -> T:
    """Do a step again as long as another process keeps the database locked, within reason."""
    until = clock.now() + _PATIENCE
    while True:
        try:
            with lock:
                return step()
        except Exception as error:
            if not is_busy(error) or clock.now() >= until:
                raise
        clock.sleep(_PAUSE)
