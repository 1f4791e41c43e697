"""The exporters of spans that OpenTelemetry's own variables ask for.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ says what they are. One thing differs:
where none of them names an exporter or a collector, nothing is sent, instead of to a collector on this machine.
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.telemetry.export import EXPORT_SECONDS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["AskedExporter", "asked_exporters", "is_switched_off"]

_EXPORTERS = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_DEFAULT_ENDPOINT = "http://localhost:4318"
_GROUP = "opentelemetry_traces_exporter"  # where packages say which exporters they have
_OTLP = {  # by protocol: the exporter's name, and what has it
    "http/protobuf": ("otlp_proto_http", "inferkit[otlp]"),
    "grpc": ("otlp_proto_grpc", "opentelemetry-exporter-otlp-proto-grpc"),
}


class AskedExporter(NamedTuple):
    """An exporter that a variable asks for; `endpoint` is where it sends, as far as the variables say."""

    name: str
    variable: str
    endpoint: str | None = None

    def make(self) -> SpanExporter:
        """Make it. Raises `ConfigurationError` where it is not installed, or cannot be made of what is set."""
        entry, package = self.name, f"what has the exporter {self.name}"
        options = {}
        if self.name == "otlp":
            protocol_variable, protocol = _first(_PROTOCOLS) or ("", "http/protobuf")
            if protocol not in _OTLP:
                raise ConfigurationError(f'{protocol_variable} is one of {", ".join(_OTLP)}; got "{protocol}"')
            entry, package = _OTLP[protocol]
            options = {} if _first(_TIMEOUTS) else {"timeout": EXPORT_SECONDS}
        found = next(iter(entry_points(group=_GROUP, name=entry)), None)
        if found is None:
            raise ConfigurationError(f"{self.variable} is set, and no exporter is installed: install {package}")
        try:
            exporter: SpanExporter = found.load()(**options)
        except Exception as error:  # its own, of what the other variables say
            raise ConfigurationError(
                f"the exporter that {self.variable} asks for cannot be made: {type(error).__name__}: {error}"
            ) from error
        return exporter


def is_switched_off() -> bool:
    """Say whether the environment switches OpenTelemetry off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def asked_exporters() -> list[AskedExporter]:
    """Give what the environment asks for: `OTEL_TRACES_EXPORTER`, or OTLP where an endpoint of it is named.

    "console" is left out: a terminal that shows traces shows them in its own way.
    """
    if is_switched_off():
        return []
    endpoint = _first(_ENDPOINTS)
    named = _first([_EXPORTERS])
    if named is None:
        return [] if endpoint is None else [AskedExporter("otlp", *endpoint)]
    asked = dict.fromkeys(name.strip().lower() for name in named[1].split(","))
    return [
        AskedExporter(name, _EXPORTERS, endpoint[1] if endpoint else _DEFAULT_ENDPOINT)
        if name == "otlp"
        else AskedExporter(name, _EXPORTERS)
        for name in asked
        if name not in {"", "none", "console"}
    ]


def _first(variables: list[str] | tuple[str, ...]) -> tuple[str, str] | None:
    return next(((name, value) for name in variables if (value := os.environ.get(name, "").strip())), None)
