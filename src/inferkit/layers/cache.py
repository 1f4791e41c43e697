"""The exact cache: the same request gets the same reply, without a call.

It is longer than other modules, since every end that a reply comes to is one where it may be kept, or must not be.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from inferkit.caching.control import CACHE, CACHE_TAGS
from inferkit.caching.entry import CachedReply, Recording, condense
from inferkit.caching.keys import cache_key
from inferkit.caching.single_flight import Flights
from inferkit.core.chunks import since_restart
from inferkit.core.errors import ConfigurationError, InferkitError
from inferkit.core.response import Response
from inferkit.layers.resolve import resolved
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.caching.tier import Tier
    from inferkit.core.body import End
    from inferkit.core.chunks import Chunk
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Handler, Request
    from inferkit.runtime.protocol import Runtime

__all__ = ["Cache"]

_log = logging.getLogger("inferkit")

_CLEAN = ("stop", "tool_calls", "length")
_LISTEN_SECONDS = 1.0
_REPAIRED = 2  # attempts, at least


class Cache:
    """A layer that answers a request it has seen before from one of its tiers, as a stream, at no cost.

    `tiers` are asked in their order, the nearest first, and all of them keep a reply; those that are None are left out.
    A reply never serves a request of another tenant, or one whose model's name stands for something else: other
    providers, models, base URLs or credentials. `ttl` is in seconds; without it, entries stay until room is needed.
    Identical calls in flight share one stream, also without any tier. Clients may share a cache. Of a call for
    embeddings each text is looked up and kept for itself (see `embedding_cache`).

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
        *tiers: Tier | None,
        ttl: float | None = None,
        max_reply_characters: int = 500_000,
    ) -> None:
        for tier in tiers:
            if tier is not None and not (hasattr(tier, "get") and hasattr(tier, "put")):
                raise ConfigurationError(
                    f"a cache's tiers are MemoryTier, DiskTier or one of your own; got a {type(tier).__name__}"
                )
        if ttl is not None and not (isinstance(ttl, int | float) and ttl > 0):
            raise ConfigurationError(f"ttl is in seconds and above 0, or None for no limit; got {ttl!r}")
        self._tiers = tuple([tier for tier in tiers if tier is not None])
        self._ttl = ttl
        self._max_characters = max_reply_characters
        self._flights = Flights()
        self._tellers = [
            (place, tier.news) for place, tier in enumerate(self._tiers) if place and hasattr(tier, "news")
        ]
        self._listen_at = 0.0

    def __repr__(self) -> str:
        tiers = ", ".join(repr(tier) for tier in self._tiers) or "no tier"
        return f"Cache({tiers}{'' if self._ttl is None else f', ttl={self._ttl!r}'})"

    def clear(self, *, model: str | None = None, tag: str | None = None) -> int:
        """Forget the replies of a `model` ("provider:model", "model" or "provider:*") with a `tag`, or all of them.

        Gives how many there were in the tier that had most of them. Other processes that share the tier on disk forget
        theirs within about a second, with their next call. Blocks: on an event loop, `aclear` does the same. Raises
        `ConfigurationError` where a tier cannot do that, and `CacheError` where some may be left.
        """
        for tier in self._tiers:
            if not hasattr(tier, "clear"):
                raise ConfigurationError(
                    f"{type(tier).__name__} has no method clear(*, model, tag), so that it would keep what it has; "
                    "give it one, as inferkit.caching.tier.Tier says"
                )
        return max([tier.clear(model=model, tag=tag) for tier in reversed(self._tiers)], default=0)

    async def aclear(self, *, model: str | None = None, tag: str | None = None) -> int:
        """Do what `clear` does, in a thread, while the event loop goes on."""
        imports.load("inferkit.runtime.loops")
        from inferkit.runtime.loops import current_runtime

        return await current_runtime().run_blocking(lambda: self.clear(model=model, tag=tag))

    def preload(self) -> None:
        """Open the tiers."""
        for tier in self._tiers:
            tier.open()

    def close(self) -> None:
        """Write what waits, and close the tiers. Using the cache again opens them again."""
        for tier in self._tiers:
            tier.close()

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Answer from the cache, from an identical call in flight, or by calling on."""
        if request.operation == "embed":
            return await self._embed(request, call_next)
        mode, key = CACHE.get(request) or "use", None
        if mode != "bypass":
            request = resolved(request)
            key = self.key(request)
        if key is None:
            request.record.cache = "bypass"
            request.record.note("cache", result="bypass")
            return await call_next(request)
        if mode == "refresh":
            return await self._call(key, request, call_next)
        landed = self._flights.landed
        found = await self.look_up(key, request)
        if found is not None:
            return _replay(request, *found)

        async def lead() -> Response:
            if self._flights.landed != landed:  # one like it may have ended since
                found = await self.look_up(key, request)
                if found is not None:
                    return _replay(request, *found)
            return await self._call(key, request, call_next)

        response, leader = await self._flights.join(key, request, lead)
        if leader is None:
            return response
        return _follow(request.record, response, leader)

    async def _embed(self, request: Request, call_next: Handler) -> Response:
        imports.load("inferkit.layers.embedding_cache")
        from inferkit.layers.embedding_cache import EmbeddingCache

        return await EmbeddingCache(self)(request, call_next)

    def key(self, request: Request) -> bytes | None:
        """Give the request's key; None where it has none, or none can be made now."""
        try:
            return cache_key(request)
        except InferkitError:  # a credential that cannot be read, for example: its adapter says so
            return None
        except Exception:
            _log.exception("the cache could not make a key for call %s; it is passed by", request.record.id)
            return None

    async def look_up(self, key: bytes, request: Request) -> tuple[CachedReply, str] | None:
        """Give what the nearest tier has under a key, and that tier's name; a tier that fails is passed by."""
        runtime = request.runtime
        if self._tellers:
            self._listen(runtime.now())
        for place, tier in enumerate(self._tiers):
            try:
                entry = await tier.get(runtime, key)
            except Exception:
                _log.exception("the cache could not be read for call %s; it is passed by", request.record.id)
                continue
            if entry is None or (self._ttl is not None and not 0 <= runtime.time() - entry.stored_at < self._ttl):
                continue
            await self._put(self._tiers[:place], runtime, key, entry, request.record.id)
            return entry, tier.name
        return None

    def _listen(self, now: float) -> None:
        """Have the tiers in front of one that others share forget what others have cleared; seldom."""
        if not self._listen_at - _LISTEN_SECONDS <= now < self._listen_at:  # clocks differ
            self._listen_at = now + _LISTEN_SECONDS
            for place, news in self._tellers:
                try:
                    for model, tag in news():
                        for tier in self._tiers[:place]:
                            tier.clear(model=model, tag=tag)
                except Exception:
                    _log.exception("the cache could not hear what others have cleared")

    async def put(self, runtime: Runtime, key: bytes, entry: CachedReply, call: str) -> None:
        """Keep what a call gave in every tier; one that fails is passed by."""
        await self._put(self._tiers, runtime, key, entry, call)

    async def _put(self, tiers: Sequence[Tier], runtime: Runtime, key: bytes, entry: CachedReply, call: str) -> None:
        for tier in tiers:
            try:
                await tier.put(runtime, key, entry, ttl=self._ttl)
            except Exception:
                _log.exception("the reply to call %s could not be kept in the cache", call)

    async def _call(self, key: bytes, request: Request, call_next: Handler) -> Response:
        request.record.cache = "miss"
        request.record.note("cache", result="miss")
        response = await call_next(request)
        recording = Recording(self._max_characters)

        async def commit(end: End) -> None:
            if end.outcome == "completed":
                await self._keep(key, recording, end.runtime, request, response)

        return response.map(recording.add, change_all=recording.add_all, on_close=commit)

    async def _keep(
        self, key: bytes, recording: Recording, runtime: Runtime, request: Request, response: Response
    ) -> None:
        record, tags = request.record, CACHE_TAGS.get(request) or ()
        if not _is_clean(recording.chunks, clamped=record.clamped) or record.degraded or _is_by_fallback(record):
            return
        try:
            entry = CachedReply(
                condense(recording.chunks, recording.texts, recording.usage)
                if len(record.attempts) < _REPAIRED
                else condense(since_restart(recording.chunks)),
                stored_at=record.clock.time(),
                cost_nanos=record.cost_nanos or 0,
                provider=record.provider,
                model=record.model,
                response_model=response.model,
                response_id=response.id,
                tags=tags,
            )
        except Exception:
            _log.exception("the reply to call %s could not be kept in the cache", record.id)
            return
        await self._put(self._tiers, runtime, key, entry, record.id)


def _is_clean(chunks: Sequence[Chunk], *, clamped: bool) -> bool:
    reason = next((chunk.finish_reason for chunk in reversed(chunks) if chunk.finish_reason), None)
    return reason in _CLEAN and not (clamped and reason == "length")


def _is_by_fallback(record: CallRecord) -> bool:
    if record.seams or record.was_not_good_enough:  # it may be of several models, or of a smaller one
        return True
    served = record.served
    if served is None or served.kind != "repair":
        return served is not None and served.kind == "fallback"
    return any(one.kind == "fallback" and one.outcome == "completed" for one in record.attempts)


def _replay(request: Request, entry: CachedReply, tier: str) -> Response:
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
