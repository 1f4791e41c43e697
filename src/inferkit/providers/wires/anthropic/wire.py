"""The Anthropic Messages wire: Anthropic's own API, and the servers that speak the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.anthropic.errors import error_in, read_error, write_error, write_failure
from inferkit.providers.wires.anthropic.events import AnthropicEvents, plain_text
from inferkit.providers.wires.anthropic.fields import COST_RULES
from inferkit.providers.wires.anthropic.lighter import lighter
from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
from inferkit.providers.wires.anthropic.read_messages import read_message
from inferkit.providers.wires.anthropic.request import read_request, write_request
from inferkit.providers.wires.anthropic.usage import read_usage, write_usage
from inferkit.providers.wires.anthropic.writer import AnthropicWriter
from inferkit.providers.wires.capabilities import Capabilities
from inferkit.providers.wires.codec import Codec
from inferkit.providers.wires.extras import ANTHROPIC
from inferkit.providers.wires.reply_reader import ReplyReader
from inferkit.providers.wires.texts import TextForm, Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["ANTHROPIC_WIRE", "AnthropicWire"]

_TEXT = TextForm(
    b"event: content_block_delta\ndata: ",
    re.compile(rb'"text":\s*"'),
    plain_text,
    re.compile(rb"\}(?P<blanks> *)\}$"),  # which it is padded with
)
_OWN_TOOLS = ("web_search", "web_fetch", "code_execution", "tool_search_tool", "advisor", "mcp_toolset")


class AnthropicWire(Codec):
    """The codec; see `TwoWayWire`. An endpoint's quirks are `AnthropicQuirks`."""

    plain = AnthropicQuirks()
    name = ANTHROPIC
    cost_rules = COST_RULES
    read_request = staticmethod(read_request)
    read_message = staticmethod(read_message)
    read_usage = staticmethod(read_usage)
    write_usage = staticmethod(write_usage)
    error_in = staticmethod(error_in)
    read_error = staticmethod(read_error)
    write_error = staticmethod(write_error)
    write_failure = staticmethod(write_failure)

    def path(self, request: Request) -> str:  # noqa: ARG002 - the same for all
        """See `Wire`."""
        return "/messages"

    def capabilities(self, quirks: AnthropicQuirks) -> Capabilities:
        """See `Codec`."""
        elsewhere = [source for source in ("url", "file") if source not in quirks.without_sources]
        return Capabilities(
            tools=True,
            parallel_tools=True,
            images=("data", *[source for source in elsewhere if source == "url"]),
            files=("data", *["file_id" if source == "file" else source for source in elsewhere]),
            schema=True,
            reasoning=True,
            reasoning_back=True,
            prompt_cache=("marks",),
            server_tools=tuple([kind for kind in _OWN_TOOLS if not kind.startswith(quirks.without_tools)]),
        )

    def payload(self, request: Request, quirks: AnthropicQuirks) -> dict[str, Any]:
        """See `Codec`."""
        return write_request(request, quirks, request.record.leave_out)

    def lighter(self, request: Request, quirks: AnthropicQuirks, status: int, body: bytes) -> AnthropicQuirks | None:
        """See `Codec`."""
        return lighter(request, quirks, status, body)

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ReplyReader:
        """See `Wire`."""
        return ReplyReader(
            endpoint.name,
            headers,
            AnthropicEvents(),
            error_in=self.error_in,
            ending="no stop reason, no message_stop",
            streamed=streamed,
            max_kept_bytes=self.max_kept_bytes,
            texts=Texts(_TEXT),
        )

    def writer(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wires' name
        created: int,  # noqa: ARG002 - not said here
        streamed: bool,
        asked: Mapping[str, Any] | None = None,  # noqa: ARG002 - nor is this
    ) -> AnthropicWriter:
        """See `TwoWayWire`."""
        return AnthropicWriter(model=model, id=id, streamed=streamed)


ANTHROPIC_WIRE: TwoWayWire = AnthropicWire()
