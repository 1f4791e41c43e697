"""The call's own span, and the span of its stream while the caller reads it.

Layers leave what they decided on the call's record, and this layer turns it into events. No span is current while a
chunk is handed over, so that the consumer's own spans are never adopted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import StatusCode

from inferkit.telemetry import attributes, names
from inferkit.telemetry.instruments import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, Tracer

    from inferkit.core.body import Batch, End
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response

__all__ = ["Trace"]


class Trace:
    """Outermost: an `inferkit.call` span for each call, and an `inferkit.stream` span from hand-over to the end."""

    role = "trace"

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self._telemetry = telemetry or Telemetry()

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Trace the call. The span's parent is whatever span is current where the call is made."""
        span = self._telemetry.tracer.start_span(names.CALL)
        call = _Call(self._telemetry, span, request)
        recording = span.is_recording()
        if recording:
            request.record.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        try:
            response = await call_next(request.replace(span=span) if recording else request)
        except BaseException as error:
            call.end("error" if isinstance(error, Exception) else "cancelled", error)
            raise
        if not recording:
            return response.map(on_close=call.on_close)
        call.stream = _WatchedStream(response, self._telemetry.tracer, span, request.runtime.now)
        return response.through(call.stream, on_close=call.on_close)


class _Call:
    """A call that is being traced, and what is said of it at its end."""

    __slots__ = ("_request", "_span", "_started", "_telemetry", "stream")

    def __init__(self, telemetry: Telemetry, span: Span, request: Request) -> None:
        self._telemetry = telemetry
        self._span = span
        self._request = request
        self._started = request.runtime.now()
        self.stream: _WatchedStream | None = None

    def on_close(self, end: End) -> None:
        self.end(end.outcome, end.error)

    def end(self, outcome: str, error: BaseException | None) -> None:
        model, record = self._request.model, self._request.record
        failed = error if outcome in {"error", "cancelled"} else None
        kind = None if failed is None else type(failed).__name__
        seconds = self._request.runtime.now() - self._started
        self._telemetry.call_ended(model, record, outcome, seconds, kind)
        if self._span.is_recording():
            if self.stream is not None:
                self.stream.end(outcome)
            for event in record.events:
                self._span.add_event(event.name, dict(event.attributes), timestamp=event.time_ns)
            self._span.set_attributes(attributes.call_ended(model, record, outcome))
            if failed is not None:
                self._span.set_attribute(names.ERROR_TYPE, type(failed).__name__)
                self._span.set_status(StatusCode.ERROR, attributes.describe(failed))
        self._span.end()


class _WatchedStream:
    """Counts the chunks, and how much of the time between them was the consumer's."""

    __slots__ = ("_chunks", "_consumer", "_handed_over", "_now", "_source", "_span")

    def __init__(self, source: Response, tracer: Tracer, parent: Span, now: Callable[[], float]) -> None:
        self._source = source
        self._now = now
        self._span = tracer.start_span(names.STREAM, context=trace.set_span_in_context(parent))
        self._chunks = 0
        self._consumer = 0.0
        self._handed_over = self._now()

    async def __anext__(self) -> Batch:
        self._consumer += self._now() - self._handed_over
        batch = await self._source.next_batch()
        if not self._chunks:
            self._span.add_event(names.FIRST_CHUNK_EVENT)
        self._chunks += len(batch)
        self._handed_over = self._now()
        return batch

    def end(self, outcome: str) -> None:
        self._span.set_attributes(
            {names.OUTCOME: outcome, names.CHUNKS: self._chunks, names.CONSUMER_SECONDS: self._consumer}
        )
        self._span.end()
