"""Vectors: as they travel in chunks, and as a caller is given them.

A request for embeddings (`operation="embed"`) has one message for each text, and its reply one `VectorPart` for each
message, in any order and in any number of chunks.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from inferkit.core.chunks import Chunk
from inferkit.core.errors import ConfigurationError
from inferkit.core.money import to_usd
from inferkit.core.request import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from numpy import float32
    from numpy.typing import NDArray

    from inferkit.core.attempt import Attempt
    from inferkit.core.messages import Part
    from inferkit.core.record import CacheResult
    from inferkit.core.usage import Usage

    Vectors: TypeAlias = NDArray[float32]

__all__ = [
    "FLOAT_BYTES",
    "PARTING",
    "BatchLimits",
    "Embeddings",
    "Parting",
    "VectorPart",
    "as_array",
    "vectors_chunk",
    "vectors_in",
]

FLOAT_BYTES = 4
"""Of one value of a vector."""

_IS_BIG_ENDIAN = sys.byteorder == "big"


@dataclass(frozen=True, slots=True)
class VectorPart:
    """One vector: its float32 values, little-endian, one after the other. `place` is that of its message."""

    place: int
    data: bytes = field(repr=False)


class BatchLimits(NamedTuple):
    """What one request for embeddings may hold at most: so many texts, and so many tokens in all. None: no limit."""

    inputs: int | None = None
    tokens: int | None = None


@dataclass(slots=True)
class Parting:
    """How a call for embeddings is parted: `concurrency` requests at once at most; what came of it, for its caller.

    `requests` were made of it, and `cached` of its texts were known.
    """

    concurrency: int
    requests: int = 0
    cached: int = 0


PARTING: Key[Parting] = Key("parting")
"""Carries it on a request; without it, requests are sent one after the other."""


def vectors_chunk(vectors: Iterable[VectorPart], usage: Usage | None = None, event: Any = None) -> Chunk:
    """Make the chunk that carries vectors."""
    return Chunk(parts=cast("tuple[Part, ...]", tuple(vectors)), usage=usage, event=event)  # no part of a message


def vectors_in(chunks: Iterable[Chunk]) -> Iterator[VectorPart]:
    """Give the vectors that chunks carry."""
    for chunk in chunks:
        for part in cast("tuple[Any, ...]", chunk.parts):
            if isinstance(part, VectorPart):
                yield part


def as_array(data: bytes) -> array[float]:
    """Give the values of a vector."""
    values = array("f", data)
    if _IS_BIG_ENDIAN:  # pragma: no cover - no such machine is at hand
        values.byteswap()
    return values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Embeddings:
    """The vectors of some texts, in the order of the texts.

    `vectors` is a numpy array of float32 with a row for each text where numpy is installed, and otherwise a list of
    lists of floats. It is also a sequence of them: `len(embeddings)`, `embeddings[0]`, `for vector in embeddings`.

    `usage` is what was asked of the provider now, and `cost_nanos` what that cost, in nano-dollars, with all attempts
    (None where the model has no known price). `cached` of the `texts` were answered from the cache (`cache` is "hit"
    where all were, "partial", "miss", "bypass" or None), which saved `saved_nanos`. `requests` counts what was sent
    and answered. `id` names the call in traces and in the ledger, where each of several requests has an entry of its
    own, `id` and its number. `attempts` lists all that was sent. `left_out` names what the provider was not sent,
    since only another one understands it.
    """

    vectors: Vectors
    id: str
    model: str
    provider: str
    usage: Usage
    cost_nanos: int | None
    saved_nanos: int
    cached: int
    cache: CacheResult | None
    requests: int
    attempts: tuple[Attempt, ...]
    trace_id: str | None
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[Vectors]:
        return iter(self.vectors)

    def __getitem__(self, place: int | slice) -> Vectors:
        rows: Vectors = self.vectors[place]
        return rows

    def __repr__(self) -> str:
        """Say what it is, without a text or a number of a vector."""
        return (
            f"Embeddings({len(self)} of {self.dimensions} dimensions, model={self.model!r}, "
            f"provider={self.provider!r}, input_tokens={self.usage.input_tokens}, cost={self.cost!r}, "
            f"cached={self.cached})"
        )

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has; 0 where there is none."""
        return len(self.vectors[0]) if len(self.vectors) else 0

    @property
    def vector(self) -> Vectors:
        """The vector of the one text. Raises `ConfigurationError` where there are several."""
        if len(self.vectors) != 1:
            raise ConfigurationError(f"there are {len(self.vectors)} vectors; `vector` is for one text, take `vectors`")
        return self[0]

    @property
    def cost(self) -> Decimal | None:
        """What all attempts cost, in US dollars; None where the model has no known price."""
        return None if self.cost_nanos is None else to_usd(self.cost_nanos)

    @property
    def saved(self) -> Decimal:
        """What the texts that came from the cache would have cost, in US dollars."""
        return to_usd(self.saved_nanos)

    def tolist(self) -> Sequence[Sequence[float]]:
        """Give the vectors as lists of floats, for what takes no arrays."""
        return [vector if isinstance(vector, list) else vector.tolist() for vector in self.vectors]
