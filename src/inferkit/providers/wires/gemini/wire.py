"""The Gemini wire: `generateContent` of Google's own API, and the servers that speak the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from inferkit.core.errors import ConfigurationError
from inferkit.providers.wires.capabilities import Capabilities
from inferkit.providers.wires.codec import Codec
from inferkit.providers.wires.extras import GEMINI
from inferkit.providers.wires.gemini.errors import error_in, read_error, write_error, write_failure
from inferkit.providers.wires.gemini.events import GeminiEvents, plain_text
from inferkit.providers.wires.gemini.fields import COST_RULES
from inferkit.providers.wires.gemini.lighter import lighter
from inferkit.providers.wires.gemini.models import resource_of
from inferkit.providers.wires.gemini.quirks import GeminiQuirks
from inferkit.providers.wires.gemini.read_messages import read_message
from inferkit.providers.wires.gemini.request import read_request, write_request
from inferkit.providers.wires.gemini.usage import read_usage, write_usage
from inferkit.providers.wires.gemini.writer import GeminiWriter
from inferkit.providers.wires.reply_reader import ReplyReader
from inferkit.providers.wires.texts import NUMBER, TextForm, Texts
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.gemini.embeddings import GeminiEmbeddings
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["GEMINI_WIRE", "GeminiWire"]

_TEXT = TextForm(
    b"data: ",
    re.compile(rb'"text":\s*"'),
    plain_text,
    re.compile(rb'"(?P<name>candidatesTokenCount|thoughtsTokenCount|totalTokenCount)":\s*' + NUMBER),
)
_OWN_TOOLS = ("googleSearch", "googleMaps", "urlContext", "fileSearch", "codeExecution")
_WHOLE, _STREAMED = "generateContent", "streamGenerateContent"
_ADDRESS = re.compile(rf"(?:.*/)?(?:models|(tunedModels))/([^/?]+):({_WHOLE}|{_STREAMED})(?:\?.*)?")


class GeminiWire(Codec):
    """The codec; see `TwoWayWire`. An endpoint's quirks are `GeminiQuirks`."""

    plain = GeminiQuirks()
    name = GEMINI
    cost_rules = COST_RULES
    read_request = staticmethod(read_request)
    read_message = staticmethod(read_message)
    read_usage = staticmethod(read_usage)
    write_usage = staticmethod(write_usage)
    read_error = staticmethod(read_error)
    write_error = staticmethod(write_error)
    write_failure = staticmethod(write_failure)

    def path(self, request: Request) -> str:
        """See `Wire`. A model may be named with its collection, as in "tunedModels/mine"."""
        named = resource_of(request.model)
        return f"/{named}:{_STREAMED}?alt=sse" if request.stream else f"/{named}:{_WHOLE}"

    def embeddings(self, request: Request) -> GeminiEmbeddings:
        """See `EmbeddingWire`."""
        imports.load("inferkit.providers.wires.gemini.embeddings")
        from inferkit.providers.wires.gemini.embeddings import GeminiEmbeddings

        return GeminiEmbeddings(request, max_kept_bytes=self.max_kept_bytes)

    @staticmethod
    def read_path(path: str) -> dict[str, Any]:
        """Read what an address says of a request: its `model`, and `stream`. Raises `ConfigurationError` for others."""
        found = _ADDRESS.fullmatch(path)
        if found is None:
            raise ConfigurationError(f"the address of a request ends in /models/...:{_WHOLE}, or :{_STREAMED}")
        model = unquote(found[2])
        return {"model": f"{found[1]}/{model}" if found[1] else model, "stream": found[3] == _STREAMED}

    def capabilities(self, quirks: GeminiQuirks) -> Capabilities:  # noqa: ARG002 - the same for all
        """See `Codec`."""
        return Capabilities(
            tools=True,
            parallel_tools=True,
            images=("data", "url"),
            files=("data", "url", "file_id"),
            audio=True,
            schema=True,
            reasoning=True,
            reasoning_back=True,
            logprobs=True,
            prompt_cache=("prefix",),
            server_tools=_OWN_TOOLS,
        )

    def payload(self, request: Request, quirks: GeminiQuirks) -> dict[str, Any]:
        """See `Codec`."""
        return write_request(request, quirks, request.record.leave_out)

    def lighter(self, request: Request, quirks: GeminiQuirks, status: int, body: bytes) -> GeminiQuirks | None:
        """See `Codec`."""
        return lighter(request, quirks, status, body)

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ReplyReader:
        """See `Wire`."""
        events = GeminiEvents()
        return ReplyReader(
            endpoint.name,
            headers,
            events,
            error_in=error_in,
            ending="no finish reason",
            streamed=streamed,
            max_kept_bytes=self.max_kept_bytes,
            texts=Texts(_TEXT, events.counts.grow),
        )

    def writer(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wires' name
        created: int,  # noqa: ARG002 - not said here
        streamed: bool,
        asked: Mapping[str, Any] | None = None,  # noqa: ARG002 - nor is this
    ) -> GeminiWriter:
        """See `TwoWayWire`."""
        return GeminiWriter(model=model, id=id, streamed=streamed)


GEMINI_WIRE: TwoWayWire = GeminiWire()
