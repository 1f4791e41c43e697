"""The one line that sends traces to Jaeger, for applications that have not set OpenTelemetry up themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["EXPORT_SECONDS", "Export", "export_to_jaeger", "otlp_exporter"]

EXPORT_SECONDS = 5.0  # for one batch, its retries included


@dataclass(frozen=True, slots=True)
class Export:
    """A running export. Spans are sent in the background; `shutdown` sends what is left."""

    endpoint: str
    _processor: Any

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is waiting; False if that took over `timeout` seconds."""
        return bool(self._processor.force_flush(int(timeout * 1000)))

    def shutdown(self) -> None:
        """Send what is waiting, and stop."""
        self._processor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


def export_to_jaeger(
    endpoint: str = "http://localhost:4318",
    *,
    service_name: str = "inferkit",
    provider: TracerProvider | None = None,
) -> Export:
    """Send every span of this process to Jaeger, or to any collector that takes OTLP over HTTP.

    `endpoint` is the collector's address; `/v1/traces` is added where it has no path. If the application has set up
    an OpenTelemetry SDK already, its provider gets one more exporter and keeps its own `service_name`; otherwise a
    provider is made and becomes the global one. A `provider` of your own is used instead where one is given. Call it
    once, at the start of the application.

    Raises `ConfigurationError` where the exporter is not installed or the endpoint is no http(s) address.
    """
    endpoint, exporter = otlp_exporter(endpoint)
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(exporter)
    chosen = provider or trace.get_tracer_provider()
    if not isinstance(chosen, TracerProvider):
        chosen = TracerProvider(resource=Resource.create({"service.name": service_name}))
        trace.set_tracer_provider(chosen)
    chosen.add_span_processor(processor)
    return Export(endpoint, processor)


def otlp_exporter(endpoint: str) -> tuple[str, SpanExporter]:
    """Make the exporter for a collector; give its full address too. Raises as `export_to_jaeger` does."""
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigurationError(f'endpoint is an address such as "http://localhost:4318"; got {endpoint!r}')
    if parts.path in {"", "/"}:
        endpoint = f"{endpoint.rstrip('/')}/v1/traces"
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigurationError(
            "the OTLP exporter is not installed: install opentelemetry-exporter-otlp-proto-http"
        ) from error
    return endpoint, OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)
