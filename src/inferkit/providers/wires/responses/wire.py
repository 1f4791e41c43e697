"""The Responses wire: OpenAI's newer API, and the servers that speak the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.capabilities import Capabilities
from inferkit.providers.wires.codec import Codec
from inferkit.providers.wires.extras import RESPONSES
from inferkit.providers.wires.reply_reader import ReplyReader
from inferkit.providers.wires.responses.errors import error_in, read_error, write_error, write_failure
from inferkit.providers.wires.responses.events import ResponsesEvents, plain_text
from inferkit.providers.wires.responses.fields import COST_RULES
from inferkit.providers.wires.responses.lighter import lighter
from inferkit.providers.wires.responses.quirks import ResponsesQuirks
from inferkit.providers.wires.responses.read_messages import read_message
from inferkit.providers.wires.responses.request import read_request, write_request
from inferkit.providers.wires.responses.usage import read_usage, write_usage
from inferkit.providers.wires.responses.writer import ResponsesWriter
from inferkit.providers.wires.texts import NUMBER, PADDING, TextForm, Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["RESPONSES_WIRE", "ResponsesWire"]

_TEXT = TextForm(
    b"event: response.output_text.delta\ndata: ",
    re.compile(rb'"delta":\s*"'),
    plain_text,
    re.compile(rb'"sequence_number":\s*' + NUMBER + rb'|"obfuscation":\s*' + PADDING),
)
_OWN_TOOLS = ("web_search", "file_search", "code_interpreter", "image_generation", "mcp")


class ResponsesWire(Codec):
    """The codec; see `TwoWayWire`. An endpoint's quirks are `ResponsesQuirks`."""

    plain = ResponsesQuirks()
    name = RESPONSES
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
        return "/responses"

    def capabilities(self, quirks: ResponsesQuirks) -> Capabilities:
        """See `Codec`."""
        return Capabilities(
            tools=True,
            parallel_tools=True,
            text_tools=True,
            images=("data", "url"),
            files=("data", "url", "file_id"),
            schema=True,
            reasoning=True,
            reasoning_back=True,
            logprobs=True,
            prompt_cache=() if "prompt_cache_key" in quirks.without else ("key",),
            server_tools=_OWN_TOOLS,
        )

    def payload(self, request: Request, quirks: ResponsesQuirks) -> dict[str, Any]:
        """See `Codec`."""
        return write_request(request, quirks, request.record.leave_out)

    def lighter(self, request: Request, quirks: ResponsesQuirks, status: int, body: bytes) -> ResponsesQuirks | None:
        """See `Codec`."""
        return lighter(request, quirks, status, body)

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ReplyReader:
        """See `Wire`."""
        return ReplyReader(
            endpoint.name,
            headers,
            ResponsesEvents(),
            error_in=error_in,
            ending="no response.completed",
            streamed=streamed,
            max_kept_bytes=self.max_kept_bytes,
            texts=Texts(_TEXT),
        )

    def writer(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wires' name
        created: int,
        streamed: bool,
        asked: Mapping[str, Any] | None = None,
    ) -> ResponsesWriter:
        """See `TwoWayWire`. A reply repeats what was asked."""
        return ResponsesWriter(model=model, id=id, created=created, streamed=streamed, asked=asked)


RESPONSES_WIRE: TwoWayWire = ResponsesWire()
