"""The Chat Completions wire: OpenAI, and every server that speaks the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.capabilities import Capabilities
from inferkit.providers.wires.chat.errors import read_error, write_error, write_failure
from inferkit.providers.wires.chat.fields import COST_RULES
from inferkit.providers.wires.chat.lighter import lighter
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.read_messages import read_message
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.request import read_request, write_request
from inferkit.providers.wires.chat.usage import read_usage, write_usage
from inferkit.providers.wires.chat.writer import ChatWriter
from inferkit.providers.wires.codec import Codec
from inferkit.providers.wires.extras import CHAT as CHAT_NAME
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.chat.embeddings import OpenAIEmbeddings
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["CHAT", "ChatWire"]


class ChatWire(Codec):
    """The codec; see `TwoWayWire`. An endpoint's quirks are `ChatQuirks`."""

    plain = ChatQuirks()
    name = CHAT_NAME
    cost_rules = COST_RULES
    read_request = staticmethod(read_request)
    read_message = staticmethod(read_message)
    read_usage = staticmethod(read_usage)
    write_usage = staticmethod(write_usage)
    read_error = staticmethod(read_error)
    write_error = staticmethod(write_error)
    write_failure = staticmethod(write_failure)

    def path(self, request: Request) -> str:  # noqa: ARG002 - the same for all
        """See `Wire`."""
        return "/chat/completions"

    def capabilities(self, quirks: ChatQuirks) -> Capabilities:
        """See `Codec`."""
        files = ("data", *(["url"] if quirks.file_urls else ()), *(["file_id"] if quirks.files == "file" else ()))
        return Capabilities(
            tools=True,
            parallel_tools=True,
            text_tools=quirks.custom_tools,
            images=("data", "url"),
            files=() if quirks.files is None else files,
            audio=quirks.audio is not None,
            schema=True,
            reasoning=True,
            reasoning_back=quirks.reasoning_field is not None,
            logprobs=quirks.logprobs is not None,
            prompt_cache=("marks",) if "prompt_cache_key" in quirks.without else ("marks", "key"),
        )

    def embeddings(self, request: Request) -> OpenAIEmbeddings:
        """See `EmbeddingWire`."""
        imports.load("inferkit.providers.wires.chat.embeddings")
        from inferkit.providers.wires.chat.embeddings import OpenAIEmbeddings

        return OpenAIEmbeddings(request, max_kept_bytes=self.max_kept_bytes)

    def payload(self, request: Request, quirks: ChatQuirks) -> dict[str, Any]:
        """See `Codec`."""
        return write_request(request, quirks)

    def lighter(self, request: Request, quirks: ChatQuirks, status: int, body: bytes) -> ChatQuirks | None:
        """See `Codec`."""
        return lighter(request, quirks, status, body)

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ChatReader:
        """See `Wire`."""
        tags = (endpoint.quirks or self.plain).reasoning_tags
        return ChatReader(
            endpoint.name, headers, streamed=streamed, max_kept_bytes=self.max_kept_bytes, reasoning_tags=tags
        )

    def writer(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wire's name
        created: int,
        streamed: bool,
        asked: Mapping[str, Any] | None = None,
    ) -> ChatWriter:
        """See `TwoWayWire`. Of what was asked, it is whether a stream is to say how much it took."""
        return ChatWriter(model=model, id=id, created=created, streamed=streamed, asked=asked)


CHAT: TwoWayWire = ChatWire()
