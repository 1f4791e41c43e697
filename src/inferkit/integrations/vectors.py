"""Embeddings for an SDK: its request read, and its reply written, in the form of either wire that has them."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.chat import embeddings as openai
from inferkit.providers.wires.gemini import embeddings as gemini

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.embeddings import Embeddings

__all__ = ["read", "written"]


def read(wire: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Read a request into fields of a `Request`. Raises `ConfigurationError` where it is none."""
    if wire == "gemini":
        return gemini.read_request(payload)
    fields = openai.read_request(payload)
    fields["extra"] = {name: value for name, value in fields["extra"].items() if name != "encoding_format"}
    return fields


def written(wire: str, embeddings: Embeddings, asked: Mapping[str, Any]) -> bytes:
    """Write the vectors; for OpenAI's SDK in the form that it asks for."""
    vectors = [_bytes_of(vector) for vector in embeddings]
    if wire == "gemini":
        return gemini.write_reply(vectors, usage=embeddings.usage)
    return openai.write_reply(
        vectors, model=embeddings.model, usage=embeddings.usage, base64=asked.get("encoding_format") == "base64"
    )


def _bytes_of(vector: Any) -> bytes:
    """Give float32 values, little-endian."""
    values = array("f", vector)
    if sys.byteorder == "big":  # pragma: no cover - no such machine is at hand
        values.byteswap()
    return values.tobytes()
