"""Traces and metrics of calls, in OpenTelemetry's terms."""

from inferkit.telemetry.export import Export, export_to_jaeger
from inferkit.telemetry.instruments import Telemetry
from inferkit.telemetry.tree import SpanCollector, trace_tree

__all__ = ["Export", "SpanCollector", "Telemetry", "export_to_jaeger", "trace_tree"]
