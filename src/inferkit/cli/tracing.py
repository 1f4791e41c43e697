"""The trace of what a command does: kept to be shown, and sent where the environment has spans sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from inferkit.core.errors import ConfigurationError
from inferkit.telemetry.environment import asked_exporters
from inferkit.telemetry.instruments import Telemetry
from inferkit.telemetry.tree import SpanCollector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["CommandTrace", "send"]

_SERVICE = "service.name"


class CommandTrace:
    """Collects the spans of a client that is given `telemetry`: every one, as somebody waits to see them."""

    def __init__(self, service: str = "inferkit") -> None:
        self._collector = SpanCollector()
        resource = Resource.create()  # of what the environment says
        if str(resource.attributes.get(_SERVICE, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({_SERVICE: service}))
        provider = TracerProvider(resource=resource, sampler=ALWAYS_ON)
        provider.add_span_processor(SimpleSpanProcessor(self._collector))
        self.telemetry = Telemetry(tracer_provider=provider)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in that order."""
        return self._collector.spans

    def export(self) -> Iterator[str]:
        """Send the spans to whom the environment names, and say what could not be."""
        for asked in asked_exporters() if self.spans else ():
            try:
                exporter = asked.make()
            except ConfigurationError as error:
                yield f"the trace was not sent: {error}"
                continue
            if not send(exporter, self.spans):
                place = f" to {asked.endpoint}" if asked.endpoint else ""
                yield f"the trace could not be sent{place}, as {asked.variable} asks for"

    def as_json(self) -> list[dict[str, Any]]:
        """Give the spans for another program: in the order in which they began, times in seconds since the first."""
        spans = sorted(self.spans, key=lambda span: span.start_time or 0)
        return [_span(each, spans[0].start_time or 0) for each in spans]


def send(exporter: SpanExporter, spans: Sequence[ReadableSpan]) -> bool:
    """Send spans, and say whether that was done. What the exporter would log of it is left to who asked."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL + 1)
    try:
        return exporter.export(spans) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


def _span(span: ReadableSpan, begun: int) -> dict[str, Any]:
    context, parent = span.context, span.parent
    started = span.start_time or 0
    return {
        "name": span.name,
        "trace_id": trace.format_trace_id(context.trace_id) if context else None,
        "span_id": trace.format_span_id(context.span_id) if context else None,
        "parent_id": trace.format_span_id(parent.span_id) if parent else None,
        "start": _seconds(started - begun),
        "seconds": _seconds((span.end_time or started) - started),
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": event.name, "start": _seconds(event.timestamp - begun), "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
    }


def _seconds(nanos: int) -> float:
    return round(nanos / 1e9, 6)
