"""Traces and metrics of calls, in OpenTelemetry's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.telemetry.export import Export, export_to_jaeger
    from inferkit.telemetry.instruments import Telemetry
    from inferkit.telemetry.tree import SpanCollector, trace_tree

__all__ = ["Export", "SpanCollector", "Telemetry", "export_to_jaeger", "trace_tree"]

__getattr__ = lazily(
    __name__,
    {
        "export": ("Export", "export_to_jaeger"),
        "instruments": ("Telemetry",),
        "tree": ("SpanCollector", "trace_tree"),
    },
)


def __dir__() -> list[str]:
    return __all__
