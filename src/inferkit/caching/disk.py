"""The cache's second tier: a store on disk, shared by processes and kept between runs, whose writes are gathered.

A lone write is done at once. Those that follow within a quarter of a second wait for the end of it in memory, where
look-ups find them; a thread of its own then writes them together, at a third of the cost. What a killed process had
not yet written is lost, as a cache may lose anything: no failure of the store is worth a call.

It is longer than other modules: what waits, what is being written and what is forgotten meanwhile share one lock.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.caching.choice import Chosen, label_of
from inferkit.caching.notices import Notices
from inferkit.caching.rest import Rest, explain
from inferkit.caching.stored import decode, encode
from inferkit.core.errors import ConfigurationError
from inferkit.runtime import clock, exits, imports, writer
from inferkit.runtime.forks import hold_across_fork, renew_after_fork
from inferkit.runtime.gathering import Gathering

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    from inferkit.caching.bytes_disk import BytesStore
    from inferkit.caching.entry import CachedReply
    from inferkit.runtime.protocol import Runtime

__all__ = ["DiskStore", "DiskTier"]

_BUSY_SECONDS = 0.05  # how long a write may wait for another process; on an event loop, everybody waits with it
_BUSY_OPENING_SECONDS = 0.5  # opening never happens on an event loop, and every process of a fleet opens at once
_SELECT = (
    "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1 AND (expire_time IS NULL OR expire_time > ?)"
)
_RAW = 1  # how diskcache marks plain bytes
_DATABASE = "cache.db"  # diskcache's name for it
_GATHER_SECONDS = 0.25
_MOST_WAITING = 500


class DiskStore:
    """Keeps entries in an SQLite database in `folder`, up to about `size_limit` bytes; the oldest go first.

    Safe for threads, forks and several processes on one folder. The folder is made readable to its owner alone:
    replies are stored as they are.
    """

    def __init__(self, folder: str | os.PathLike[str], *, size_limit: int = 512 * 2**20) -> None:
        if size_limit < 2**20:
            raise ConfigurationError(f"size_limit is in bytes and at least {2**20} (1 MiB); got {size_limit}")
        self.folder = Path(folder).expanduser().absolute()
        self._size_limit = size_limit
        self._store: BytesStore | None = None
        self._inherited: list[BytesStore] = []
        self._reading = threading.RLock()  # a signal's handler may come to read while its thread does
        self._writing = threading.RLock()
        self._rest = Rest(self.folder)
        self._making_room = False
        hold_across_fork(self)

    @property
    def is_open(self) -> bool:
        """Whether the first use, which takes some milliseconds, is over; also true while the store rests."""
        return self._store is not None or self._rest.lasts

    def open(self) -> None:
        """Open or make the database. May be called at any time, from any thread; failures are logged."""
        self._attempt(self._opened)

    def get(self, key: bytes) -> CachedReply | None:
        """Look an entry up; None also where it is damaged or the store rests."""
        if self._rest.until > 0.0 and self._rest.lasts:
            return None
        try:
            store = self._store
            if store is None:  # not by its truth: it has a length, and counts its rows for that
                store = self._opened()
            with self._reading:
                rows = (store.reader or store.open_reader()).execute(_SELECT, (key, clock.time())).fetchall()
            if not rows:
                return None
            ((mode, filename, value),) = rows
            sound = mode == _RAW and filename is None and type(value) is bytes
            data = value if sound else store.value(mode, filename, value)
        except Exception as error:
            self._pass_by(error)
            return None
        return decode(data, key)

    def put(self, key: bytes, entry: CachedReply, *, ttl: float | None = None) -> None:
        """Keep an entry, for `ttl` seconds where given, unless it holds what is no JSON."""
        self._attempt(lambda: self._write([(key, encode(entry, key), ttl, label_of(entry))]))

    def put_all(self, entries: Iterable[tuple[bytes, CachedReply, float | None]]) -> None:
        """Keep several entries, each with its key and `ttl`, in one transaction."""
        self._attempt(
            lambda: self._write([(key, encode(entry, key), ttl, label_of(entry)) for key, entry, ttl in entries])
        )

    def clear(self, chosen: Chosen, step: Callable[[int], object] = lambda _: None) -> int:
        """Forget the entries that are meant; say how many there were. Others read and write meanwhile.

        `step` is told how many are forgotten so far. Raises `CacheError` where some of them may be left.
        """
        if self._store is None and not (self.folder / _DATABASE).exists():
            return 0
        try:
            imports.load("inferkit.caching.clearing")
            from inferkit.caching.clearing import clear, note

            store = self._opened()
            try:
                count = clear(store, chosen, self._writing, step)
            finally:  # also of what was forgotten until somebody ended it: others have it in memory
                note(self.folder, chosen)
        except Exception as error:
            raise explain(self.folder, error) from error
        return count

    def close(self) -> None:
        """Close the database. Using the store again opens it again."""
        store, self._store = self._store, None
        if store is not None:
            with self._reading:
                store.close_reader()
            with self._writing:
                store.close()

    def hold(self) -> None:
        """Close the connections before a fork: SQLite's locks do not survive it, and a child's would not know."""
        self._reading.acquire()
        self._writing.acquire()
        if self._store is not None:
            self._store.close_reader()
            self._store.close()

    def release(self) -> None:
        """Let the parent's threads go on; the connections are opened again by their next use."""
        self._writing.release()
        self._reading.release()

    def renew(self) -> None:
        """Start afresh in a forked child. What a fork behind Python's back left open is neither used nor closed."""
        if self._store is not None:
            self._inherited.append(self._store)
        self._store = None
        self._making_room = False
        self._reading = threading.RLock()
        self._writing = threading.RLock()

    def _write(self, rows: list[tuple[bytes, bytes | None, float | None, str]]) -> None:
        sound = [(key, data, ttl, label) for key, data, ttl, label in rows if data is not None]
        if not sound:
            return
        store = self._opened()
        with self._writing:
            if not self._rest.lasts:  # the thread before this one may have waited for another process in vain
                store.write(sound)
        if store.is_due and not self._making_room:
            self._making_room = True
            writer.disk.take(self._make_room)

    def _make_room(self) -> None:
        """Remove a little, and the rest when others have had their turn: nobody waits while much is removed."""
        self._more_to_remove = False
        self._attempt(self._remove_some)
        self._making_room = self._more_to_remove
        if self._making_room:
            writer.disk.take(self._make_room)

    def _remove_some(self) -> None:
        store = self._store
        if store is not None and not exits.begun:
            with self._writing:
                self._more_to_remove = self._store is store and store.make_room()

    def _opened(self) -> BytesStore:
        store = self._store
        if store is None:
            imports.load("inferkit.caching.bytes_disk")  # before: a fork waits for both, in this order
            with self._writing:
                store = self._store
                if store is None:
                    store = self._store = self._make()
        return store

    def _make(self) -> BytesStore:
        from inferkit.caching.bytes_disk import BytesStore

        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._probe()
        return BytesStore(self.folder, size_limit=self._size_limit, timeout=_BUSY_SECONDS)

    def _probe(self) -> None:
        """See that the database can be written to: diskcache would wait a minute for one that is locked."""
        connection = sqlite3.connect(self.folder / _DATABASE, timeout=_BUSY_OPENING_SECONDS, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def _attempt(self, step: Callable[[], object]) -> None:
        if self._rest.lasts:
            return
        try:
            step()
        except Exception as error:
            self._pass_by(error)

    def _pass_by(self, error: Exception) -> None:
        if self._rest.after(error):
            with contextlib.suppress(Exception):
                self.close()  # the next try opens it anew


class DiskTier:
    """Keeps entries in an SQLite database in `folder`, up to about `size_limit` bytes; the oldest go first.

    Safe for threads, forks and several processes on one folder. The folder is made readable to its owner alone:
    replies are stored as they are. A forked child leaves to its parent what waits to be written.
    """

    name = "disk"

    def __init__(self, folder: str | os.PathLike[str], *, size_limit: int = 512 * 2**20) -> None:
        self._store = DiskStore(folder, size_limit=size_limit)
        self._waiting: dict[bytes, tuple[CachedReply, float | None]] = {}
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._notices = Notices(self._store.folder)
        self._gathering = Gathering(self._write, name="inferkit-cache-writer", seconds=_GATHER_SECONDS)
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"DiskTier({str(self._store.folder)!r})"

    async def get(self, runtime: Runtime, key: bytes, /) -> CachedReply | None:
        """Look an entry up, whether it was written yet or not."""
        if not self._store.is_open:
            await runtime.run_blocking(self._store.open)
        waiting = self._waiting.get(key)
        return self._store.get(key) if waiting is None else waiting[0]

    async def put(self, _: Runtime, key: bytes, entry: CachedReply, /, *, ttl: float | None = None) -> None:
        """Keep an entry, for `ttl` seconds where given."""
        now = clock.now()
        with self._lock:
            others = len(self._waiting)
            at_once = not others and now >= self._next_at
            self._next_at = now + _GATHER_SECONDS
            if not at_once:
                self._waiting[key] = (entry, ttl)
        if at_once:
            self._store.put(key, entry, ttl=ttl)
        elif not others:
            self._gathering.more()
        elif others + 1 >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._gathering.flush()

    def _write(self) -> None:
        with self._lock:
            waiting = dict(self._waiting)
        try:
            self._store.put_all((key, entry, ttl) for key, (entry, ttl) in waiting.items())
        finally:
            with self._lock:
                for key, written in waiting.items():
                    if self._waiting.get(key) is written:
                        del self._waiting[key]
                more = bool(self._waiting)
            if more:
                self._gathering.more()

    def clear(
        self, *, model: str | None = None, tag: str | None = None, step: Callable[[int], object] = lambda _: None
    ) -> int:
        """See `Tier`. What waits to be written is forgotten, too; `step` is told how many are forgotten so far."""
        chosen = Chosen.of(model, tag)
        with self._lock:
            waiting = [key for key, (entry, _) in self._waiting.items() if chosen.fits(entry)]
            for key in waiting:
                del self._waiting[key]
        self._gathering.flush()  # so that nobody is in the middle of writing one of them
        return len(waiting) + self._store.clear(chosen, lambda count: step(len(waiting) + count))

    def news(self) -> Sequence[Chosen]:
        """See `Tier`."""
        return self._notices.read()

    def open(self) -> None:
        """Open or make the database, which takes some milliseconds."""
        self._store.open()

    def close(self) -> None:
        """Write what waits, and close the database. Using the tier again opens it again."""
        self._gathering.close()
        self._store.close()

    def renew(self) -> None:
        """Leave what waits to the parent."""
        self._waiting = {}
        self._lock = threading.Lock()
