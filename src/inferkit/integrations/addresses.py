"""A request of an SDK, and what its address says: which wire is spoken, what is asked there, where the server is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Operation
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["Address", "Incoming", "is_free", "read_address", "wire_named"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes that inferkit understands.

    `wire` is the name of what is spoken, and `base_url` that of the server, as an `Endpoint` takes it. `said` are the
    fields of the request that stand in the address and not in its body.
    """

    wire: str
    operation: Operation
    base_url: str
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came. Of its headers, `sent` are those that go on to its server, `said` those for inferkit.

    `timeout` is httpx's: seconds by what is waited for.
    """

    address: Address
    sent: tuple[tuple[str, str], ...]
    said: tuple[tuple[str, str], ...]
    body: bytes
    timeout: Mapping[str, float | None] | None = None


_ENDINGS: tuple[tuple[str, str, Operation, str], ...] = (  # and what of each belongs to the base URL
    ("/chat/completions", "chat", "chat", ""),
    ("/embeddings", "chat", "embed", ""),
    ("/responses", "responses", "chat", ""),
    ("/v1/messages", "anthropic", "chat", "/v1"),  # OpenAI's threads have messages too, but not at the root
)
_GEMINI = re.compile(
    r"(?P<base>.*)/(?:models|(?P<tuned>tunedModels))/(?P<model>[^/]+)"
    r":(?P<what>generateContent|streamGenerateContent|batchEmbedContents)"
)
_FREE = re.compile(
    r"/(?:count_tokens|input_tokens|files|uploads|parts|uploads/[^/]+/complete|cancel|vector_stores|conversations|items"
    r"|content)$|:(?:countTokens|computeTokens|cancel)$|^/upload/"
)
_READING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_WIRES = {
    "anthropic": ("inferkit.providers.wires.anthropic.wire", "ANTHROPIC_WIRE"),
    "chat": ("inferkit.providers.wires.chat.wire", "CHAT"),
    "gemini": ("inferkit.providers.wires.gemini.wire", "GEMINI_WIRE"),
    "responses": ("inferkit.providers.wires.responses.wire", "RESPONSES_WIRE"),
}


@lru_cache(maxsize=256)
def read_address(method: str, url: str) -> Address | None:
    """Read where a request goes; None where it is no model call that one of the wires has a form for."""
    if method != "POST":
        return None
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    for ending, wire, operation, kept in _ENDINGS:
        if parts.path.endswith(ending):
            base = f"{parts.path.removesuffix(ending)}{kept}"
            return Address(wire, operation, urlunsplit((parts.scheme, parts.netloc, base, parts.query, "")))
    found = _GEMINI.fullmatch(parts.path)
    if found is None:
        return None
    streamed = found["what"] == "streamGenerateContent"
    if streamed and ("alt", "sse") not in query:
        return None  # one long list, which nobody asks for any more
    rest = urlencode([each for each in query if each != ("alt", "sse")])
    base_url = urlunsplit((parts.scheme, parts.netloc, found["base"], rest, ""))
    model = unquote(found["model"])
    said = {"model": f"tunedModels/{model}" if found["tuned"] else model}
    if found["what"] == "batchEmbedContents":
        return Address("gemini", "embed", base_url, said)
    return Address("gemini", "chat", base_url, {**said, "stream": streamed})


def is_free(method: str, path: str) -> bool:
    """Say whether a request that is no model call is known to cost nothing by itself."""
    return method in _READING or _FREE.search(path) is not None


@lru_cache(maxsize=len(_WIRES))
def wire_named(name: str) -> TwoWayWire:
    """Give one of the wires that an SDK may speak."""
    module, constant = _WIRES[name]
    imports.load(module)
    from importlib import import_module

    wire: TwoWayWire = getattr(import_module(module), constant)
    return wire
