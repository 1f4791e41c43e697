"""The call's own span, the span of its stream while the caller reads it, and a client span for each attempt.

Layers leave what they decided on the call's record, and it becomes events of the call's span. No span is current while
a chunk is handed over, so that the consumer's own spans are never adopted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanKind, StatusCode

from inferkit.core.embeddings import FLOAT_BYTES, vectors_in
from inferkit.telemetry import attributes, names
from inferkit.telemetry.instruments import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, Tracer

    from inferkit.core.attempt import Attempt, Outcome
    from inferkit.core.body import Batch, End
    from inferkit.core.chunks import Chunk
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response
    from inferkit.layers.tally import Tallies

__all__ = ["Trace", "TraceAttempt"]


class Trace:
    """Outermost: an `inferkit.call` span for each call, and an `inferkit.stream` span from hand-over to the end.

    `tallies` counts the calls that turn out to have cost nothing.
    """

    role = "trace"

    def __init__(self, telemetry: Telemetry | None = None, tallies: Tallies | None = None) -> None:
        self._telemetry = telemetry or Telemetry()
        self._tallies = tallies

    def __repr__(self) -> str:
        return "Trace()"

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Trace the call. The span's parent is whatever span is current where the call is made."""
        span = self._telemetry.tracer.start_span(names.CALL)
        call = _Call(self._telemetry, self._tallies, span, request)
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

    def close(self) -> None:
        """Write what was counted."""
        if self._tallies is not None:
            self._tallies.close()


class _Call:
    """A call that is being traced, and what is said of it at its end."""

    __slots__ = ("_request", "_span", "_started", "_tallies", "_telemetry", "stream")

    def __init__(self, telemetry: Telemetry, tallies: Tallies | None, span: Span, request: Request) -> None:
        self._telemetry = telemetry
        self._tallies = tallies
        self._span = span
        self._request = request
        self._started = request.runtime.now()
        self.stream: _WatchedStream | None = None

    def on_close(self, end: End) -> None:
        self.end(end.outcome, end.error)

    def end(self, outcome: Outcome, error: BaseException | None) -> None:
        model, record = self._request.model, self._request.record
        failed = error if outcome in {"error", "cancelled"} else None
        kind = None if failed is None else type(failed).__name__
        seconds = self._request.runtime.now() - self._started
        self._telemetry.call_ended(model, record, outcome, seconds, kind)
        if self._tallies is not None and not record.attempts:
            self._tallies.call_ended(self._request, outcome, error)
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


class TraceAttempt:
    """A `chat {model}` span an attempt, linked to the attempt before it; just outside the meter, which tells the price.

    The span is current while the request is being sent, so that an HTTP client's own spans nest in it.
    """

    role = "attempt"

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self._telemetry = telemetry or Telemetry()

    def __repr__(self) -> str:
        return "TraceAttempt()"

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Trace the attempt."""
        attempt = _Attempt(self._telemetry, request, self._start_span(request))
        try:
            if attempt.span.is_recording():
                response = await _send_within(attempt.span, request, call_next)
            else:
                response = await call_next(request)
        except BaseException as error:
            attempt.end(error)
            raise
        attempt.model, attempt.id = response.model, response.id
        if request.operation == "embed":
            return response.map(attempt.see_vectors, on_close=attempt.on_close)
        return response.map(on_close=attempt.on_close)

    def _start_span(self, request: Request) -> Span:
        parent: Span | None = request.span
        if parent is None or not parent.is_recording():
            return trace.INVALID_SPAN
        record = request.record
        span = self._telemetry.tracer.start_span(
            f"{names.OPERATIONS[request.operation]} {request.model}",
            context=trace.set_span_in_context(parent),
            kind=SpanKind.INTERNAL if request.provider == "local" else SpanKind.CLIENT,
            attributes=attributes.attempt_started(request),
            links=[Link(before) for before in record.attempt_spans[-1:]],
        )
        record.attempt_spans.append(span.get_span_context())
        return span


async def _send_within(span: Span, request: Request, call_next: Handler) -> Response:
    token = context.attach(trace.set_span_in_context(span))
    try:
        return await call_next(request)
    finally:
        context.detach(token)


class _Attempt:
    """An attempt that is being traced, and what is said of it at its end."""

    __slots__ = ("_request", "_telemetry", "dimensions", "id", "model", "span")

    def __init__(self, telemetry: Telemetry, request: Request, span: Span) -> None:
        self._telemetry = telemetry
        self._request = request
        self.span = span
        self.model: str | None = None
        self.id: str | None = None
        self.dimensions: int | None = request.dimensions

    def see_vectors(self, chunk: Chunk) -> Chunk:
        """Note how many dimensions the vectors have."""
        for vector in vectors_in([chunk]):
            self.dimensions = len(vector.data) // FLOAT_BYTES
            break
        return chunk

    def on_close(self, end: End) -> None:
        self.end(end.error if end.outcome in {"error", "cancelled"} else None)

    def end(self, error: BaseException | None) -> None:
        """Close the span. The meter, further in, has put this attempt last on the record by now."""
        number, attempts = self._request.attempt, self._request.record.attempts
        attempt = next((one for one in reversed(attempts) if one.number == number), None)
        if attempt is not None:
            self._telemetry.attempt_ended(self._request, attempt)
        if self.span.is_recording():
            if attempt is not None:
                self.span.set_attributes(self._facts(attempt))
            if error is not None:
                self.span.set_attribute(names.ERROR_TYPE, type(error).__name__)
                self.span.set_status(StatusCode.ERROR, attributes.describe(error))
        self.span.end()

    def _facts(self, attempt: Attempt) -> dict[str, Any]:
        model, id_ = self.model, self.id
        if self._request.operation == "embed":
            return attributes.embedding_ended(
                attempt, response_model=model, response_id=id_, dimensions=self.dimensions
            )
        return attributes.attempt_ended(attempt, response_model=model, response_id=id_)
