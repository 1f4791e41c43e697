"""The exact cache for embeddings: each text is looked up and kept for itself, and the others alone are asked for."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from inferkit.caching.control import CACHE, CACHE_TAGS
from inferkit.caching.entry import CachedReply
from inferkit.core.body import AllThenFailure
from inferkit.core.embeddings import PARTING, VectorPart, vectors_chunk, vectors_in
from inferkit.core.errors import InferkitError
from inferkit.core.response import Response
from inferkit.layers.resolve import resolved
from inferkit.pricing.tokens import utf8_length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.body import Batch, End
    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Message
    from inferkit.core.request import Handler, Request
    from inferkit.runtime.protocol import Runtime

__all__ = ["EmbeddingCache"]

_AT_ONCE = 32  # look-ups, or writes, after which others have their turn


class Kept(Protocol):
    """What a `Cache` has to do with its tiers; nothing that goes wrong in there is raised."""

    def key(self, request: Request) -> bytes | None:
        """Give a request's key; None where it has none."""

    async def look_up(self, key: bytes, request: Request) -> tuple[CachedReply, str] | None:
        """Give what is kept under a key, and the name of the tier."""

    async def put(self, runtime: Runtime, key: bytes, entry: CachedReply, call: str) -> None:
        """Keep what a call gave."""


class EmbeddingCache:
    """Answers those texts that the tiers of a `Cache` know, at no cost, and calls on for the others.

    The key of a text has in it all that the key of a reply has: what stands behind the model's name with its
    credentials, the dimensions, the task, the tenant. What comes is kept also where the call fails later on, and from a
    fallback too: all candidates are of one model.
    """

    def __init__(self, cache: Kept) -> None:
        self._cache = cache

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        mode, key, record = CACHE.get(request) or "use", None, request.record
        if mode != "bypass":
            request = resolved(request)
            key = self._cache.key(request.replace(messages=()))
        if key is None:
            record.cache = "bypass"
            record.note("cache", result="bypass")
            return await call_next(request)
        keys = [_key_of(key, message) for message in request.messages]
        known = {} if mode == "refresh" else await self._look_up(keys, request)
        hits = len(known)
        record.cache = "hit" if hits == len(keys) else "partial" if hits else "miss"
        record.note("cache", result=record.cache, texts=len(keys), known=hits)
        parting = PARTING.get(request)
        if parting is not None:
            parting.cached = hits
        hit = vectors_chunk(VectorPart(place, data) for place, data in known.items())
        if hits == len(keys):
            return Response.of([hit], runtime=request.runtime)
        places = [place for place in range(len(keys)) if place not in known]
        asked = request.replace(messages=tuple([request.messages[place] for place in places]))
        try:
            response = await call_next(asked)
        except InferkitError as error:
            if not hits:
                raise
            return Response(AllThenFailure([hit], error), runtime=request.runtime)
        came = _Came(asked.messages)

        async def keep(end: End) -> None:
            await self._keep(came, [keys[place] for place in places], end, asked, response)

        inner = response.map(came.see, on_close=keep)
        return inner.through(_Placed(inner, places, hit if hits else None))

    async def _look_up(self, keys: Sequence[bytes], request: Request) -> Mapping[int, bytes]:
        """Give the vectors that are known, by the places of their texts."""
        known: dict[int, bytes] = {}
        record = request.record
        for place, key in enumerate(keys):
            if place and not place % _AT_ONCE:
                await request.runtime.sleep(0)
            found = await self._cache.look_up(key, request)
            if found is None:
                continue
            entry, tier = found
            vector = next(vectors_in(entry.chunks), None)
            if vector is not None:
                known[place] = vector.data
                record.saved_nanos += entry.cost_nanos
                record.cache_tier, record.provider, record.model = tier, entry.provider, entry.model
        return known

    async def _keep(self, came: _Came, keys: Sequence[bytes], end: End, request: Request, response: Response) -> None:
        record, runtime = request.record, end.runtime
        sizes = [utf8_length(message.text) for message in came.messages]
        cost, whole = record.cost_nanos or 0, sum(sizes[place] for place in came.vectors)
        for count, (place, data) in enumerate(came.vectors.items(), 1):
            entry = CachedReply(
                (vectors_chunk([VectorPart(0, data)]),),
                stored_at=record.clock.time(),
                cost_nanos=cost * sizes[place] // max(1, whole),  # its share
                provider=record.provider,
                model=record.model,
                response_model=response.model,
                tags=CACHE_TAGS.get(request) or (),
            )
            await self._cache.put(runtime, keys[place], entry, record.id)
            if not count % _AT_ONCE:
                await runtime.sleep(0)


def _key_of(key: bytes, message: Message) -> bytes:
    """Give the key of one text; `key` is that of all else."""
    return blake2b(message.text.encode("utf-8", "surrogatepass"), digest_size=32, key=key).digest()


class _Came:
    """Notes the vectors that pass, by the places of their texts."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.vectors: dict[int, bytes] = {}

    def see(self, chunk: Chunk) -> Chunk:
        for vector in vectors_in([chunk]):
            if 0 <= vector.place < len(self.messages):
                self.vectors[vector.place] = vector.data
        return chunk


class _Placed:
    """Hands over what the cache knew, and then what comes, put to the places of its texts in the whole request."""

    def __init__(self, source: Response, places: Sequence[int], hit: Chunk | None) -> None:
        self._source = source
        self._places = places
        self._hit = hit

    async def __anext__(self) -> Batch:
        hit, self._hit = self._hit, None
        if hit is not None:
            return [hit]
        return [self._placed(chunk) for chunk in await self._source.next_batch()]

    def _placed(self, chunk: Chunk) -> Chunk:
        placed = [
            VectorPart(self._places[each.place], each.data)
            for each in vectors_in([chunk])
            if 0 <= each.place < len(self._places)
        ]
        return chunk._replace(parts=vectors_chunk(placed).parts) if placed else chunk
