"""The Anthropic wire as Amazon Bedrock speaks it where it speaks alike for all models: `invoke`, and its event stream.

The model stands in the address, and so does whether the reply is streamed; the version and what is in beta stand in the
body. Each event of a stream is a message of Amazon's, in which Anthropic's own is packed.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from inferkit.core.errors import ConfigurationError
from inferkit.providers.errors import refusal
from inferkit.providers.event_stream import DamagedStream, EventStreamParser, write_message
from inferkit.providers.sse import SSEEvent, SSEParser
from inferkit.providers.wires.anthropic.errors import error_in
from inferkit.providers.wires.anthropic.events import AnthropicEvents
from inferkit.providers.wires.anthropic.quirks import BEDROCK
from inferkit.providers.wires.anthropic.wire import AnthropicWire
from inferkit.providers.wires.payload import Malformed, parse
from inferkit.providers.wires.reply_reader import ReplyReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inferkit.core.chunks import Chunk
    from inferkit.core.errors import ProviderError
    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.event_stream import EventStreamMessage
    from inferkit.providers.wires.anthropic.writer import AnthropicWriter
    from inferkit.providers.wires.protocol import Writer

__all__ = ["BEDROCK_WIRE", "AnthropicBedrockWire"]

_WHOLE, _STREAMED = "invoke", "invoke-with-response-stream"
_ADDRESS = re.compile(rf"(?:.*/)?model/([^/?]+)/({_WHOLE}|{_STREAMED})(?:\?.*)?")
_KIND = re.compile(r"[A-Za-z]{1,64}")
_CHUNK = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}


class AnthropicBedrockWire(AnthropicWire):
    """The codec; see `TwoWayWire`. An endpoint's quirks are like `BEDROCK`."""

    plain = BEDROCK

    def path(self, request: Request) -> str:
        """See `Wire`."""
        return f"/model/{{model}}/{_STREAMED if request.stream else _WHOLE}"

    @staticmethod
    def read_path(path: str) -> dict[str, Any]:
        """Read what an address says of a request: its `model`, and `stream`. Raises `ConfigurationError` for others."""
        found = _ADDRESS.fullmatch(path)
        if found is None:
            raise ConfigurationError(f"the address of a request ends in /model/.../{_WHOLE}, or /{_STREAMED}")
        return {"model": unquote(found[1]), "stream": found[2] == _STREAMED}

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> ReplyReader:
        """See `Wire`."""
        if not streamed:
            return super().reader(endpoint, headers, streamed=False)
        return _PackedReader(
            endpoint.name,
            headers,
            AnthropicEvents(),
            error_in=error_in,
            ending="no stop reason, no message_stop",
            streamed=True,
            max_kept_bytes=self.max_kept_bytes,
        )

    @staticmethod
    def read_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """See `Wire`. The kind of an error stands in a header, or as a name with its namespace in the body."""
        try:
            content = parse(body)
        except Malformed:
            content = None
        error = error_in(content)
        if error is None and isinstance(content, dict):
            kind = headers.get("x-amzn-errortype") or content.get("__type")
            error = {"code": _kind(kind), "message": content.get("message", content.get("Message"))}
        return refusal(provider, status, headers, error, text=body.decode("utf-8", "replace"))

    def writer(  # type: ignore[override]
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wires' name
        created: int,
        streamed: bool,
        asked: Mapping[str, Any] | None = None,
    ) -> Writer:
        """See `TwoWayWire`."""
        plain = super().writer(model=model, id=id, created=created, streamed=streamed, asked=asked)
        return _PackedWriter(plain) if streamed else plain


class _PackedReader(ReplyReader):
    def make_parser(self) -> Any:
        return _PackedEvents(self._provider, self._headers)


class _PackedEvents:
    """Gives the events that Amazon's messages carry, as if they had come as Server-Sent Events."""

    between = False  # what comes is never whole events alone

    def __init__(self, provider: str, headers: Mapping[str, str]) -> None:
        self._provider = provider
        self._headers = headers
        self._messages = EventStreamParser()

    def feed(self, data: bytes) -> Iterator[SSEEvent]:
        try:
            for message in self._messages.feed(data):
                event = self._event(message)
                if event is not None:
                    yield event
        except DamagedStream as damaged:
            raise Malformed(str(damaged)) from None

    def close(self) -> None:
        """Say that there are no more bytes. A message that was cut off is none."""

    def _event(self, message: EventStreamMessage) -> SSEEvent | None:
        headers = message.headers
        kind = headers.get(":message-type")
        if kind == "event":
            return _unpacked(message.payload) if headers.get(":event-type") == "chunk" else None
        if kind == "exception":
            said = parse(message.payload)
            text = said.get("message") if isinstance(said, dict) else None
            error = {"code": _kind(headers.get(":exception-type")), "message": text}
        elif kind == "error":
            error = {"code": _kind(headers.get(":error-code")), "message": headers.get(":error-message")}
        else:
            return None
        raise refusal(self._provider, None, self._headers, error)


def _unpacked(payload: bytes) -> SSEEvent:
    chunk = parse(payload)
    packed = chunk.get("bytes") if isinstance(chunk, dict) else None
    try:
        return SSEEvent(base64.b64decode(packed, validate=True))  # type: ignore[arg-type]
    except (TypeError, ValueError, binascii.Error):
        raise Malformed("it brings nothing") from None


def _kind(said: Any) -> str | None:
    """Give the bare name of a kind of error, which may come with a namespace before it and an address behind."""
    name = said.partition(":")[0].rpartition("#")[2] if isinstance(said, str) else ""
    return name[:1].upper() + name[1:] if _KIND.fullmatch(name) else None


class _PackedWriter:
    """Packs the events of a stream."""

    def __init__(self, events: AnthropicWriter) -> None:
        self._events = events
        self._parser = SSEParser()

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        return self._packed(self._events.write(chunks))

    def end(self) -> bytes:
        return self._packed(self._events.end())

    def _packed(self, events: bytes) -> bytes:
        packed = [base64.b64encode(event.raw).decode() for event in self._parser.feed(events)]
        return b"".join(write_message(_CHUNK, json.dumps({"bytes": each}).encode()) for each in packed)


BEDROCK_WIRE = AnthropicBedrockWire()
