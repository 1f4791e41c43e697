"""The clients as an application would have them, inferkit's with everything on, and bare httpx for the same request."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import inferkit
from benchmarks.wires import MODEL, SPOKEN
from inferkit import Budget
from inferkit.telemetry.instruments import Telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from inferkit.client.settings import Settings

__all__ = ["API_KEY", "HEADERS", "fresh_question", "payload", "settings", "stream_payload", "traced"]

API_KEY = "benchmark"
HEADERS = {"authorization": f"Bearer {API_KEY}"}
_SYSTEM = "You answer customers of a small shop. Be brief, be kind, and never promise what the shop cannot keep. " * 3
_numbers = itertools.count()


def fresh_question() -> list[dict[str, Any]]:
    """Give a conversation that was never asked before, so that no cache knows its answer."""
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": f"Where is my order {next(_numbers)}? It was due on Monday."},
    ]


def payload() -> dict[str, Any]:
    """Give what is posted for a fresh question."""
    return {"model": MODEL, "messages": fresh_question(), "max_completion_tokens": 500}


def stream_payload() -> dict[str, Any]:
    """Give what is posted for a fresh question to be answered as a stream."""
    return {**payload(), "stream": True, "stream_options": {"include_usage": True}}


def settings(base_url: str, home: Path, **others: Any) -> Settings:
    """Give the arguments of a client: a price from the list, a monthly budget, cache and ledger on disk."""
    spoken = SPOKEN[others.pop("wire", "chat")]
    make = getattr(inferkit, spoken.adapter)
    adapter = make(base_url=f"{base_url}{spoken.base}", api_key=API_KEY, transport=others.pop("transport", "httpx"))
    given: Settings = {
        "models": {"fast": f"{adapter.name}:{spoken.model}"},
        "providers": {adapter.name: adapter},
        "budget": Budget(usd="100000", per="month", name="everything"),
        "home": home,
        **others,  # type: ignore[typeddict-item]
    }
    return given


def traced() -> Telemetry:
    """Give telemetry as in production: every span sampled, and exported in batches to nowhere."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, _: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return Telemetry(tracer_provider=provider)
