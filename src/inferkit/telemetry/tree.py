"""A trace as a tree in the terminal, for where no Jaeger runs: the same spans, from the same SDK."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from rich.text import Text
from rich.tree import Tree

from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue

__all__ = ["SpanCollector", "trace_tree"]

_SHOWN = (
    (names.MODEL, "model"),
    (names.SERVED_BY, "served by"),
    (names.ATTEMPT_KIND, "attempt"),
    (names.CACHE_RESULT, "cache"),
    (names.CACHE_TIER, "tier"),
    (names.USAGE_INPUT, "tokens in"),
    (names.USAGE_OUTPUT, "out"),
    (names.RESPONSE_FIRST_CHUNK, "first chunk"),
    (names.RESPONSE_FINISH_REASONS, "finish"),
    (names.CHUNKS, "chunks"),
    (names.CONSUMER_SECONDS, "consumer"),
    (names.COST_AMOUNT, "cost"),
    (names.COST_SAVED, "saved"),
    (names.OUTCOME, "outcome"),
    (names.ERROR_TYPE, "error"),
)
_SECONDS = {names.RESPONSE_FIRST_CHUNK, names.CONSUMER_SECONDS}
_DOLLARS = {names.COST_AMOUNT, names.COST_SAVED}


class SpanCollector(SpanExporter):
    """Keeps the spans that it is given, in `spans`, in the order in which they ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def trace_tree(spans: Sequence[ReadableSpan], title: str = "trace") -> Tree:
    """Draw spans as they are nested, each with its duration, what is known about it, and its events."""
    children: dict[int | None, list[ReadableSpan]] = defaultdict(list)
    known = {span.context.span_id for span in spans if span.context is not None}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
        children[parent].append(span)
    tree = Tree(Text(title, style="bold"), guide_style="dim")
    _grow(tree, None, children)
    return tree


def _grow(tree: Tree, parent: int | None, children: dict[int | None, list[ReadableSpan]]) -> None:
    for span in children[parent]:
        branch = tree.add(_line(span))
        for event in span.events:
            facts = "  ".join(_fact(name, value) for name, value in (event.attributes or {}).items())
            since = (event.timestamp - (span.start_time or 0)) / 1e6
            branch.add(Text(f"· {since:.1f} ms  {event.name}  {facts}", style="dim"))
        if span.context is not None:
            _grow(branch, span.context.span_id, children)


def _line(span: ReadableSpan) -> Text:
    attributes = span.attributes or {}
    milliseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
    failed = names.ERROR_TYPE in attributes
    line = Text(span.name, style="bold red" if failed else "bold cyan")
    line.append(f"  {milliseconds:.1f} ms", style="green")
    for name, shown in _SHOWN:
        if name in attributes:
            line.append(f"  {shown} ", style="dim")
            line.append(_value(name, attributes[name]), style="red" if name == names.ERROR_TYPE else "default")
    return line


def _fact(name: str, value: AttributeValue) -> str:
    if name.endswith("_nanos") and isinstance(value, int):
        return f"{name.removesuffix('_nanos')} {_dollars(value / 1e9)}"
    return f"{name} {_value(name, value)}"


def _dollars(amount: float) -> str:
    return "$" + f"{amount:.8f}".rstrip("0").rstrip(".")


def _value(name: str, value: AttributeValue) -> str:
    if name in _SECONDS and isinstance(value, float):
        return f"{value * 1000:.1f} ms"
    if name in _DOLLARS and isinstance(value, float):
        return _dollars(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return ", ".join(str(one) for one in value)
    return str(value)
