"""The Chat Completions wire: OpenAI, and every server that speaks the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import InvalidRequest
from inferkit.providers.wires.chat.errors import read_error, write_error
from inferkit.providers.wires.chat.fields import COST_RULES
from inferkit.providers.wires.chat.lighter import lighter
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.read_messages import read_message
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.request import read_request, write_request
from inferkit.providers.wires.chat.usage import read_usage, write_usage
from inferkit.providers.wires.chat.writer import ChatWriter
from inferkit.providers.wires.extras import CHAT as CHAT_NAME
from inferkit.providers.wires.payload import NotTakenError, write
from inferkit.providers.wires.reply_reader import MAX_KEPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["CHAT", "ChatWire"]

_PLAIN = ChatQuirks()


class ChatWire:
    """The codec; see `TwoWayWire`. An endpoint's quirks are `ChatQuirks`.

    `max_kept_bytes` is what one reply may take in memory; one that takes more is an error, and not tried again.
    """

    def __init__(self, *, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_kept_bytes = max_kept_bytes

    name = CHAT_NAME
    cost_rules = COST_RULES
    read_request = staticmethod(read_request)
    read_message = staticmethod(read_message)
    read_usage = staticmethod(read_usage)
    write_usage = staticmethod(write_usage)
    read_error = staticmethod(read_error)
    write_error = staticmethod(write_error)

    def path(self, request: Request) -> str:  # noqa: ARG002 - the same for all
        """See `Wire`."""
        return "/chat/completions"

    def write_request(self, request: Request, endpoint: Endpoint) -> bytes:
        """See `Wire`. Raises `InvalidRequest` for what this server is known not to take."""
        try:
            return write(write_request(request, endpoint.quirks or _PLAIN))
        except NotTakenError as what:
            raise InvalidRequest(
                f"{endpoint.name} does not take {what}; leave it out, or name another model",
                provider=endpoint.name,
                code="unsupported",
            ) from None

    def lighten(self, request: Request, endpoint: Endpoint, status: int, body: bytes) -> Endpoint | None:
        """See `Wire`."""
        quirks = lighter(request, endpoint.quirks or _PLAIN, status, body)
        return None if quirks is None else endpoint.with_quirks(quirks)

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ChatReader:
        """See `Wire`."""
        tags = (endpoint.quirks or _PLAIN).reasoning_tags
        return ChatReader(
            endpoint.name, headers, streamed=streamed, max_kept_bytes=self.max_kept_bytes, reasoning_tags=tags
        )

    def writer(self, *, model: str, id: str, created: int, streamed: bool) -> ChatWriter:  # noqa: A002 - the wire's name
        """See `TwoWayWire`."""
        return ChatWriter(model=model, id=id, created=created, streamed=streamed)


CHAT: TwoWayWire = ChatWire()
