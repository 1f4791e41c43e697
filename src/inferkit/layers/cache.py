"""The exact cache: the same request gets the same reply, without a call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from inferkit.caching.control import CACHE
from inferkit.caching.entry import Entry, condense
from inferkit.caching.keys import cache_key
from inferkit.caching.single_flight import Flights
from inferkit.caching.write_behind import WriteBehind
from inferkit.core.errors import ConfigurationError, InferkitError
from inferkit.core.response import Response
from inferkit.layers.resolve import resolved

if TYPE_CHECKING:
    from inferkit.caching.disk import DiskTier
    from inferkit.caching.memory import MemoryTier
    from inferkit.core.body import End
    from inferkit.core.chunks import Chunk
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Handler, Request

__all__ = ["Cache"]

_log = logging.getLogger("inferkit")

_CLEAN = ("stop", "tool_calls", "length")


class Cache:
    """A layer that answers a request it has seen before from memory or disk, as a stream, at no cost.

    A reply never serves a request of another tenant, or one whose model's name stands for something else: other
    providers, models, base URLs or credentials. `ttl` is in seconds; without it, entries stay until room is needed.
    Identical calls in flight share one stream, also without any tier. Clients may share a cache.

    A reply is kept if its stream was read to the end and ended by itself: with "stop", "tool_calls", or "length" where
    it was the caller who set the length and not a budget. Filtered replies, unknown endings, replies of a fallback
    (which would outlive the outage), those of a smaller model that a budget took the call to (which would outlive the
    exhaustion) and replies over `max_reply_characters` are not kept.

    Every temperature is cached: a repeated request gets its first reply again, and a sampled one no longer varies.
    That is what a cache is for, and guessing from a temperature would surprise where it is left to the provider's
    default. Ask with "bypass" for a new sample, or with "refresh" to replace the kept one; give each wanted sample a
    `seed` of its own to keep several.

    Nothing that goes wrong in here reaches a call; it is logged, and the call is made.
    """

    role = "cache"

    def __init__(
        self,
        memory: MemoryTier | None,
        disk: DiskTier | None = None,
        *,
        ttl: float | None = None,
        max_reply_characters: int = 500_000,
    ) -> None:
        for name, tier in (("memory", memory), ("disk", disk)):
            if tier is not None and not (hasattr(tier, "get") and hasattr(tier, "put")):
                raise ConfigurationError(
                    f"{name} is a tier (MemoryTier or DiskTier) or None; got a {type(tier).__name__}"
                )
        if ttl is not None and not (isinstance(ttl, int | float) and ttl > 0):
            raise ConfigurationError(f"ttl is in seconds and above 0, or None for no limit; got {ttl!r}")
        self._memory = memory
        self._disk = None if disk is None else WriteBehind(disk)
        self._ttl = ttl
        self._max_characters = max_reply_characters
        self._flights = Flights()

    def preload(self) -> None:
        """Open the disk's tier."""
        if self._disk is not None:
            self._disk.tier.open()

    def close(self) -> None:
        """Write what waits for the disk, and close its database. Using the cache again opens it again."""
        if self._disk is not None:
            self._disk.close()

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Answer from the cache, from an identical call in flight, or by calling on."""
        mode, key = CACHE.get(request) or "use", None
        if mode != "bypass":
            request = resolved(request)
            key = self._key(request)
        if key is None:
            request.record.cache = "bypass"
            request.record.note("cache", result="bypass")
            return await call_next(request)
        disk = self._disk
        if disk is not None and not disk.tier.is_open:
            await request.runtime.run_blocking(disk.tier.open)
        if mode == "refresh":
            return await self._call(key, request, call_next)
        landed = self._flights.landed
        found = self._look_up(key, request.record)
        if found is not None:
            return _replay(request, *found)

        async def lead() -> Response:
            if self._flights.landed != landed:  # one like it may have ended since
                found = self._look_up(key, request.record)
                if found is not None:
                    return _replay(request, *found)
            return await self._call(key, request, call_next)

        response, leader = await self._flights.join(key, request, lead)
        if leader is None:
            return response
        return _follow(request.record, response, leader)

    def _key(self, request: Request) -> bytes | None:
        try:
            return cache_key(request)
        except InferkitError:  # a credential that cannot be read, for example: its adapter says so
            return None
        except Exception:
            _log.exception("the cache could not make a key for call %s; it is passed by", request.record.id)
            return None

    def _look_up(self, key: bytes, record: CallRecord) -> tuple[Entry, str] | None:
        try:
            return self._in_memory(key, record) or self._on_disk(key, record)
        except Exception:
            _log.exception("the cache could not be read for call %s; it is passed by", record.id)
            return None

    def _in_memory(self, key: bytes, record: CallRecord) -> tuple[Entry, str] | None:
        entry = None if self._memory is None else self._memory.get(key)
        if entry is None:
            return None
        return None if self._is_over(entry, record) else (entry, "memory")

    def _on_disk(self, key: bytes, record: CallRecord) -> tuple[Entry, str] | None:
        entry = None if self._disk is None else self._disk.get(key)
        if entry is None or self._is_over(entry, record):
            return None
        if self._memory is not None:
            self._memory.put(key, entry)
        return entry, "disk"

    def _is_over(self, entry: Entry, record: CallRecord) -> bool:
        return self._ttl is not None and not 0 <= record.clock.time() - entry.stored_at < self._ttl

    async def _call(self, key: bytes, request: Request, call_next: Handler) -> Response:
        request.record.cache = "miss"
        request.record.note("cache", result="miss")
        response = await call_next(request)
        recording = _Recording(self._max_characters)

        def commit(end: End) -> None:
            if end.outcome == "completed":
                self._keep(key, recording, request.record, response)

        return response.map(recording.add, on_close=commit)

    def _keep(self, key: bytes, recording: _Recording, record: CallRecord, response: Response) -> None:
        try:
            if not recording.is_clean(clamped=record.clamped) or record.degraded or _is_by_fallback(record):
                return
            entry = Entry(
                condense(recording.chunks),
                stored_at=record.clock.time(),
                cost_nanos=record.cost_nanos or 0,
                provider=record.provider,
                model=record.model,
                response_model=response.model,
                response_id=response.id,
            )
            if self._memory is not None:
                self._memory.put(key, entry)
            if self._disk is not None:
                self._disk.put(key, entry, ttl=self._ttl)
        except Exception:
            _log.exception("the reply to call %s could not be kept in the cache", record.id)


class _Recording:
    """Keeps the chunks that pass, until they are too many."""

    __slots__ = ("_room", "chunks")

    def __init__(self, room: int) -> None:
        self.chunks: list[Chunk] = []
        self._room = room

    def add(self, chunk: Chunk) -> Chunk:
        if self._room >= 0:
            self._room -= chunk.size
            self.chunks.append(chunk)
            if self._room < 0:
                self.chunks = []
        return chunk

    def is_clean(self, *, clamped: bool) -> bool:
        reason = next((chunk.finish_reason for chunk in reversed(self.chunks) if chunk.finish_reason), None)
        return reason in _CLEAN and not (clamped and reason == "length")


def _is_by_fallback(record: CallRecord) -> bool:
    return record.served is not None and record.served.kind == "fallback"


def _replay(request: Request, entry: Entry, tier: str) -> Response:
    record = request.record
    record.cache = "hit"
    record.cache_tier = tier
    record.provider, record.model = entry.provider, entry.model
    record.saved_nanos = entry.cost_nanos
    record.note("cache", result="hit", tier=tier, age=request.runtime.time() - entry.stored_at)
    return Response.of(entry.chunks, runtime=request.runtime, model=entry.response_model, id=entry.response_id)


def _follow(record: CallRecord, response: Response, leader: CallRecord) -> Response:
    record.cache = "coalesced"
    record.provider, record.model, record.degraded = leader.provider, leader.model, leader.degraded
    record.note("cache", result="coalesced", leader=leader.id)

    def note_saving(end: End) -> None:
        if end.outcome == "completed":
            record.saved_nanos = leader.cost_nanos or 0

    return response.map(on_close=note_saving)
