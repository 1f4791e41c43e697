"""The Responses wire: OpenAI's newer API, and the servers that speak the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import InvalidRequest
from inferkit.providers.wires.extras import RESPONSES
from inferkit.providers.wires.payload import NotTakenError, write
from inferkit.providers.wires.reply_reader import MAX_KEPT_BYTES, ReplyReader
from inferkit.providers.wires.responses.errors import error_in, read_error, write_error
from inferkit.providers.wires.responses.events import ResponsesEvents
from inferkit.providers.wires.responses.fields import COST_RULES
from inferkit.providers.wires.responses.lighter import lighter
from inferkit.providers.wires.responses.quirks import ResponsesQuirks
from inferkit.providers.wires.responses.read_messages import read_message
from inferkit.providers.wires.responses.request import read_request, write_request
from inferkit.providers.wires.responses.usage import read_usage, write_usage
from inferkit.providers.wires.responses.writer import ResponsesWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["RESPONSES_WIRE", "ResponsesWire"]

_PLAIN = ResponsesQuirks()


class ResponsesWire:
    """The codec; see `TwoWayWire`. An endpoint's quirks are `ResponsesQuirks`.

    `max_kept_bytes` is what one reply may take in memory; one that takes more is an error, and not tried again.
    """

    def __init__(self, *, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_kept_bytes = max_kept_bytes

    name = RESPONSES
    cost_rules = COST_RULES
    read_request = staticmethod(read_request)
    read_message = staticmethod(read_message)
    read_usage = staticmethod(read_usage)
    write_usage = staticmethod(write_usage)
    read_error = staticmethod(read_error)
    write_error = staticmethod(write_error)

    def path(self, request: Request) -> str:  # noqa: ARG002 - the same for all
        """See `Wire`."""
        return "/responses"

    def write_request(self, request: Request, endpoint: Endpoint) -> bytes:
        """See `Wire`. Raises `InvalidRequest` for what this wire has no place for."""
        try:
            return write(write_request(request, endpoint.quirks or _PLAIN, request.record.leave_out))
        except NotTakenError as what:
            raise InvalidRequest(
                f"{endpoint.name} does not take {what}; leave it out, or name another model",
                provider=endpoint.name,
                code="unsupported",
            ) from None

    def lighten(self, request: Request, endpoint: Endpoint, status: int, body: bytes) -> Endpoint | None:
        """See `Lightening`."""
        quirks = lighter(request, endpoint.quirks or _PLAIN, status, body)
        return None if quirks is None else endpoint.with_quirks(quirks)

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
        )

    def writer(self, *, model: str, id: str, created: int, streamed: bool) -> ResponsesWriter:  # noqa: A002 - the wires' name
        """See `TwoWayWire`."""
        return ResponsesWriter(model=model, id=id, created=created, streamed=streamed)


RESPONSES_WIRE: TwoWayWire = ResponsesWire()
