"""What an adapter read of a whole reply: so that whoever hands it on can tell whether a layer has changed a word.

To find that out by reading the bytes again takes as long as reading them did.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import OpaquePart
from inferkit.core.request import Key
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.chunks import Chunk
    from inferkit.providers.wires.protocol import Reader, Wire

__all__ = ["AS_READ", "AsRead"]


class AsRead:
    """The chunks of the last whole reply to a request, each as it was read.

    A chunk is a value, but for what only its provider understands: that is plain data, to which a layer may have
    written. So it is kept as JSON, and a reply with something that is none is not kept.
    """

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._chunks: tuple[Chunk, ...] = ()
        self._data: bytes | None = None

    def keep(self, wire: Wire, reader: Reader, chunks: Sequence[Chunk]) -> None:
        """Keep what a reply was read as, if that was one object and no stream."""
        whole = getattr(reader, "whole", False)
        self._wire, self._chunks, self._data = wire, tuple(chunks), _data_of(chunks) if whole else None

    def is_still(self, wire: Wire, chunks: Sequence[Chunk]) -> bool:
        """Say whether these chunks are known to be what was read on such a wire, and nothing else."""
        return (
            self._data is not None
            and type(wire) is type(self._wire)
            and len(chunks) == len(self._chunks)
            and all(map(is_, self._chunks, chunks))
            and _data_of(chunks) == self._data
        )


AS_READ: Key[AsRead] = Key("as_read")
"""Where a request has one, if whoever made it wants to know."""


def _data_of(chunks: Sequence[Chunk]) -> bytes | None:
    """Write down what of these chunks could be changed in place; give None where that is not plain data."""
    data: list[Any] = []
    for chunk in chunks:
        if chunk.extra:
            data.append(chunk.extra)
        if chunk.tool_calls or chunk.parts:
            data += [call.extra for call in chunk.tool_calls]
            data += [part.value if isinstance(part, OpaquePart) else part.extra for part in chunk.parts]
    if not data:
        return b""
    imports.load("pydantic_core")
    from pydantic_core import to_json

    try:
        return to_json(data)
    except ValueError:  # it is nested without end, for example
        return None
