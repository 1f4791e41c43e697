"""Requests for embeddings, and replies to them as servers write them, for tests."""

from __future__ import annotations

import json
from array import array
from base64 import b64encode
from typing import Any

from inferkit.core.embeddings import vectors_in
from inferkit.core.messages import Message
from inferkit.core.record import CallRecord
from inferkit.core.request import Request
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime

__all__ = ["answer", "asks", "fed", "gemini_answer", "packed"]


def packed(*values: float) -> bytes:
    """Give a vector as it is kept."""
    return array("f", values).tobytes()


def asks(*texts: str, model: str = "text-embedding-3-small", **fields: Any) -> Request:
    """Make a request for embeddings as an adapter gets it."""
    return Request(
        model=model, messages=tuple(map(Message.user, texts)), runtime=DirectRuntime(), record=CallRecord(clock),
        operation="embed", **fields,
    )  # fmt: skip


def answer(*vectors: Any, tokens: int | None = 7, base64: bool = False, **fields: Any) -> dict[str, Any]:
    """Make OpenAI's reply; a vector is a list of numbers, or what is to stand there."""
    written = [b64encode(packed(*each)).decode() if base64 else each for each in vectors]
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(written)]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return {"object": "list", "data": data, "model": "text-embedding-3-small", **usage, **fields}


def gemini_answer(*vectors: Any, tokens: int | None = None) -> dict[str, Any]:
    """Make Google's reply."""
    usage = {} if tokens is None else {"usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens}}
    return {"embeddings": [{"values": each} for each in vectors], **usage}


def fed(reader: Any, data: bytes | dict[str, Any], cut: int | None = None) -> tuple[list[bytes], Any, Any]:
    """Read a reply, perhaps in two pieces: give its vectors in their order, its usage, and its failure."""
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    pieces = [content] if cut is None else [content[:cut], content[cut:]]
    chunks = [chunk for piece in pieces if piece for chunk in reader.feed(piece)]
    if reader.failure is None:
        chunks += reader.end()
    vectors = sorted(vectors_in(chunks), key=lambda each: each.place)
    assert [each.place for each in vectors] == list(range(len(vectors)))
    usage = next((chunk.usage for chunk in chunks if chunk.usage is not None), None)
    return [each.data for each in vectors], usage, reader.failure
