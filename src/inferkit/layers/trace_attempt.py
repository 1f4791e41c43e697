"""A client span for each attempt, just outside the meter, so that its price is known when the span ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanKind, StatusCode

from inferkit.telemetry import attributes, names
from inferkit.telemetry.instruments import Telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from inferkit.core.body import End
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response

__all__ = ["TraceAttempt"]


class TraceAttempt:
    """A `chat {model}` span an attempt, linked to the attempt before it.

    The span is current while the request is being sent, so that an HTTP client's own spans nest in it.
    """

    role = "attempt"

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self._telemetry = telemetry or Telemetry()

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

    __slots__ = ("_request", "_telemetry", "id", "model", "span")

    def __init__(self, telemetry: Telemetry, request: Request, span: Span) -> None:
        self._telemetry = telemetry
        self._request = request
        self.span = span
        self.model: str | None = None
        self.id: str | None = None

    def on_close(self, end: End) -> None:
        self.end(end.error if end.outcome in {"error", "cancelled"} else None)

    def end(self, error: BaseException | None) -> None:
        """Close the span. The meter, further in, has put this attempt last on the record by now."""
        attempts = self._request.record.attempts
        attempt = attempts[-1] if attempts and attempts[-1].number == self._request.attempt else None
        if attempt is not None:
            self._telemetry.attempt_ended(self._request, attempt)
        if self.span.is_recording():
            if attempt is not None:
                facts = attributes.attempt_ended(attempt, response_model=self.model, response_id=self.id)
                self.span.set_attributes(facts)
            if error is not None:
                self.span.set_attribute(names.ERROR_TYPE, type(error).__name__)
                self.span.set_status(StatusCode.ERROR, attributes.describe(error))
        self.span.end()
