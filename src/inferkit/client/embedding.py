"""One call for embeddings from the caller's side: equal texts are asked for once, and each gets its vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set as AbstractSet
from typing import TYPE_CHECKING, Any, cast

from inferkit.caching.control import CACHE, CACHE_TAGS
from inferkit.client.embed_options import read_embed_options
from inferkit.client.engine import GRACE
from inferkit.core.embeddings import FLOAT_BYTES, PARTING, Embeddings, Parting, as_array, vectors_in
from inferkit.core.errors import ConfigurationError, InferkitError, Unavailable
from inferkit.core.messages import Message
from inferkit.core.record import CallRecord
from inferkit.core.request import Request
from inferkit.core.usage import Usage
from inferkit.runtime import clock, imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.client.embed_options import EmbedOptions
    from inferkit.client.engine import Engine
    from inferkit.core.chunks import Chunk
    from inferkit.core.embeddings import Vectors
    from inferkit.runtime.protocol import Runtime

__all__ = ["EmbeddingCall"]

_CONCURRENCY = 4


class EmbeddingCall:
    """One call: made in the caller's own context, and run once. Raises `ConfigurationError` for what makes no sense.

    `fields` are of the request, and were read and checked elsewhere.
    """

    def __init__(
        self,
        engine: Engine,
        model: str,
        texts: str | Iterable[str],
        options: EmbedOptions,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ConfigurationError('pass the model first and the texts second: embed("docs", ["...", "..."])')
        self.record = CallRecord(clock)
        self._engine = engine
        self._model = model
        self._asked = engine.read(options, self.record, read_embed_options)
        self._parting = Parting(self._asked.pop("concurrency", _CONCURRENCY))
        self._asked |= fields or {}
        given = _checked(texts)
        places = {text: place for place, text in enumerate(dict.fromkeys(given))}
        self._texts = tuple(places)
        self._place_of = [places[text] for text in given]

    async def run(self, runtime: Runtime) -> Embeddings:
        """Send it, and give the vectors."""
        vectors: dict[int, bytes] = {}
        try:
            if self._texts:
                await self._receive(runtime, vectors)
            return self._embeddings(vectors)
        except InferkitError as error:
            self.record.sign(error)
            self._say_what_came(error, vectors)
            raise

    async def _receive(self, runtime: Runtime, vectors: dict[int, bytes]) -> None:
        request = self._request(runtime)
        response = await self._engine.send(request)
        deadline = None if request.deadline is None else request.deadline + GRACE
        try:
            while True:
                _take(await runtime.within(deadline, response.next_batch()), vectors)
        except StopAsyncIteration:
            pass
        except BaseException as error:
            await response.aclose(error=error)
            raise

    def _request(self, runtime: Runtime) -> Request:
        fields: dict[str, Any] = {"extra": {}, "extensions": {}, **self._asked}
        seconds = fields.pop("timeout", self._engine.timeout)
        cache = fields.pop("cache", "use")
        tags = fields.pop("cache_tags", None)
        if tags is not None:
            fields["extensions"] = {**fields["extensions"], CACHE_TAGS: tags}
        fields["extensions"] = {**fields["extensions"], CACHE: cache, PARTING: self._parting}
        return Request(
            model=self._model,
            messages=tuple(map(Message.user, self._texts)),
            runtime=runtime,
            record=self.record,
            operation="embed",
            deadline=None if seconds is None else runtime.now() + seconds,
            **fields,
        )

    def _embeddings(self, vectors: Mapping[int, bytes]) -> Embeddings:
        record, parting = self.record, self._parting
        missing = len(self._texts) - len(vectors)
        sizes = set(map(len, vectors.values()))
        if missing or len(sizes) > 1:
            what = f"no vector came for {missing} texts" if missing else "vectors of different dimensions came"
            raise Unavailable(f"{record.provider}: {what}", provider=record.provider, retryable=False)
        usage = Usage()
        for attempt in record.attempts:
            if attempt.outcome == "completed":
                usage += attempt.usage
        return Embeddings(
            vectors=_rows([vectors[place] for place in self._place_of]),
            id=record.id,
            model=record.model,
            provider=record.provider,
            usage=usage,
            cost_nanos=record.cost_nanos,
            saved_nanos=record.saved_nanos,
            cached=parting.cached,
            cache=record.cache,
            requests=parting.requests,
            attempts=tuple(record.attempts),
            trace_id=record.trace_id,
            left_out=record.left_out,
        )

    def _say_what_came(self, error: InferkitError, vectors: Mapping[int, bytes]) -> None:
        """Leave on an error the vectors that came before it, by the places of all texts that they are of."""
        places = [place for place, unique in enumerate(self._place_of) if unique in vectors]
        if not places:
            return
        rows = _rows([vectors[self._place_of[place]] for place in places])
        error.embedded = dict(zip(places, rows, strict=True))
        error.args = (f"{error}; {len(places)} of {len(self._place_of)} texts have their vectors: .embedded",)


def _checked(texts: str | Iterable[str]) -> Sequence[str]:
    """Give the texts as a list. Raises `ConfigurationError` for what is none, or has no order."""
    if not isinstance(texts, Iterable) or isinstance(texts, bytes | bytearray | Mapping | AbstractSet):
        raise ConfigurationError(f"texts are a text or a list of texts; got {type(texts).__name__}")
    given = [texts] if isinstance(texts, str) else list(texts)
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise ConfigurationError(f"text {place} is a {type(text).__name__}; an embedding is of a text")
        if not text:
            raise ConfigurationError(f"text {place} is empty, and has no embedding; leave it out")
    return given


def _take(chunks: Sequence[Chunk], vectors: dict[int, bytes]) -> None:
    for vector in vectors_in(chunks):
        vectors[vector.place] = vector.data


def _rows(vectors: Sequence[bytes]) -> Vectors:
    """Make an array of vectors where numpy is installed, and lists otherwise."""
    numpy = _numpy()
    if numpy is None:
        rows: Any = [as_array(each).tolist() for each in vectors]
    elif len(set(map(len, vectors))) <= 1:
        width = len(vectors[0]) // FLOAT_BYTES if vectors else 0
        rows = numpy.frombuffer(bytearray().join(vectors), "<f4").reshape(len(vectors), width)
    else:
        rows = [numpy.frombuffer(bytearray(each), "<f4") for each in vectors]
    return cast("Vectors", rows)


def _numpy() -> Any:
    try:
        imports.load("numpy")
    except ImportError:
        return None
    import numpy as np

    return np
