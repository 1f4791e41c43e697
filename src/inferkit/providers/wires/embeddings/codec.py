"""What the wires for embeddings have in common: one request for several texts, and its reply, which is one object.

A wire is made for one request, since what its reply must hold is known from that: a vector for each text, of as many
dimensions as were asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.embeddings import FLOAT_BYTES, VectorPart, vectors_chunk
from inferkit.core.errors import ConfigurationError, InvalidRequest
from inferkit.core.messages import TextPart
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.wires.codec import Codec
from inferkit.providers.wires.embeddings.vectors import read_vector
from inferkit.providers.wires.payload import Malformed
from inferkit.providers.wires.reply_reader import ReplyReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inferkit.core.chunks import Chunk
    from inferkit.core.request import Request
    from inferkit.core.usage import Usage
    from inferkit.providers.endpoints import Endpoint

__all__ = ["EmbeddingCodec", "WholeReply", "texts_of"]


def texts_of(request: Request) -> list[str]:
    """Give the texts that vectors are asked for. Raises `ConfigurationError` for a message that is no plain text."""
    texts = []
    for message in request.messages:
        if len(message.parts) != 1 or not isinstance(message.parts[0], TextPart):
            raise ConfigurationError("an embedding is of one text; a message that holds something else has none")
        texts.append(message.parts[0].text)
    return texts


class WholeReply:
    """What a reply holds: `vectors` as the wire gave them, in the order of the texts, and who says how much it took."""

    def __init__(
        self,
        vectors: Sequence[Any],
        usage: Usage | None,
        *,
        model: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        self.vectors = vectors
        self.usage = usage
        self.model = model
        self.id = id


class EmbeddingCodec(Codec):
    """The part of such a wire that reads; see `Wire`. An endpoint's quirks are `EmbeddingQuirks`."""

    plain = EmbeddingQuirks()
    error_in: Callable[[Any], Any]
    """Gives the error object of a payload, or None."""

    def __init__(self, request: Request, *, max_kept_bytes: int) -> None:
        super().__init__(max_kept_bytes=max_kept_bytes)
        self.inputs = len(request.messages)
        self.dimensions = request.dimensions

    def whole(self, content: dict[str, Any]) -> WholeReply:
        """Read a reply. Raises `Malformed` where it is none."""
        raise NotImplementedError

    def lighter(self, request: Request, quirks: EmbeddingQuirks, status: int, body: bytes) -> EmbeddingQuirks | None:  # noqa: ARG002
        """See `Codec`. Nothing can be left out unless a wire says so."""
        return None

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ReplyReader:  # noqa: ARG002
        """See `Wire`. Nobody streams vectors."""
        return ReplyReader(
            endpoint.name,
            headers,
            _VectorEvents(self, endpoint.name),
            error_in=self.error_in,
            ending="it is one object",
            streamed=False,
            max_kept_bytes=self.max_kept_bytes,
        )


class _VectorEvents:
    """Reads the one object; see `Events`."""

    def __init__(self, wire: EmbeddingCodec, provider: str) -> None:
        self._wire = wire
        self._provider = provider
        self.finished = self.done = self.light = False
        self.model: str | None = None
        self.id: str | None = None

    def read(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:  # noqa: ARG002
        raise Malformed("it streams where one object was asked for")

    def read_whole(self, content: Any, into: list[Chunk], raw: Any) -> None:
        if type(content) is not dict:
            raise Malformed("it is not an object")
        whole, wire = self._wire.whole(content), self._wire
        if len(whole.vectors) != wire.inputs:
            raise Malformed(f"it has {len(whole.vectors)} vectors for {wire.inputs} texts")
        vectors = [VectorPart(place, read_vector(each)) for place, each in enumerate(whole.vectors)]
        sizes = {len(each.data) // FLOAT_BYTES for each in vectors}
        if len(sizes) > 1:
            raise Malformed("its vectors have different numbers of dimensions")
        size, asked = sizes.pop(), wire.dimensions
        if asked is not None and size != asked:
            raise InvalidRequest(
                f"{self._provider} gave vectors of {size} dimensions where {asked} were asked for: this model cannot be"
                " told how many; leave dimensions= out, or name another model",
                provider=self._provider,
                status=200,
                code="dimensions",
            )
        self.model, self.id = whole.model, whole.id
        into.append(vectors_chunk(vectors, whole.usage, raw))
        self.finished = True

    def rest(self, into: list[Chunk]) -> None:
        """Nothing is gathered."""
