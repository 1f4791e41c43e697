"""A trace as a tree in the terminal, for where no Jaeger runs: the same spans, from the same SDK."""

from __future__ import annotations

from collections import defaultdict
from io import StringIO
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from inferkit.core.printable import printable
from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue
    from rich.console import ConsoleOptions, RenderResult

__all__ = ["SpanCollector", "trace_tree"]

_SHOWN = (
    (names.MODEL, "model"),
    (names.SERVED_BY, "served by"),
    (names.ATTEMPT_KIND, "attempt"),
    (names.PROVIDER, "provider"),
    (names.CACHE_RESULT, "cache"),
    (names.CACHE_TIER, "tier"),
    (names.USAGE_INPUT, "tokens in"),
    (names.USAGE_CACHE_READ, "of them cached"),
    (names.USAGE_OUTPUT, "out"),
    (names.USAGE_ESTIMATED, "estimated"),
    (names.RESPONSE_FIRST_CHUNK, "first chunk"),
    (names.RESPONSE_FINISH_REASONS, "finish"),
    (names.CHUNKS, "chunks"),
    (names.CONSUMER_SECONDS, "consumer"),
    (names.COST_AMOUNT, "cost"),
    (names.COST_SAVED, "saved"),
    (names.OUTCOME, "outcome"),
    (names.ERROR_TYPE, "error"),
)
_NOTEBOOK_WIDTH = 140  # characters
_NOTEBOOK = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'
_SECONDS = {names.RESPONSE_FIRST_CHUNK, names.CONSUMER_SECONDS}
_GAP = "  "
_DOLLARS = {names.COST_AMOUNT, names.COST_SAVED}


class SpanCollector(SpanExporter):
    """Keeps the spans that it is given, in `spans`, in the order in which they ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def __repr__(self) -> str:
        return f"SpanCollector({len(self.spans)} spans)"

    def _repr_html_(self) -> str:
        """Show the traces in a notebook, as they look in a terminal."""
        console = Console(record=True, width=_NOTEBOOK_WIDTH, file=StringIO(), force_terminal=True)
        console.print(trace_tree(self.spans))
        return console.export_html(inline_styles=True, code_format=_NOTEBOOK)


def trace_tree(spans: Sequence[ReadableSpan], title: str = "trace") -> Tree:
    """Draw spans as they are nested: each with its duration and what is known about it, and what happened in it."""
    children: dict[int | None, list[ReadableSpan]] = defaultdict(list)
    known = {span.context.span_id for span in spans if span.context is not None}
    for span in sorted(spans, key=_time):
        parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
        children[parent].append(span)
    tree = Tree(Text(title, style="bold"), guide_style="dim")
    for span in children[None]:
        _grow(tree, span, children)
    return tree


def _grow(tree: Tree, span: ReadableSpan, children: dict[int | None, list[ReadableSpan]]) -> None:
    branch = tree.add(_head(span))
    inner: list[ReadableSpan | Event] = [*span.events]
    if span.context is not None:
        inner += children[span.context.span_id]
    for each in sorted(inner, key=_time):  # as it went
        if isinstance(each, Event):
            since = (each.timestamp - (span.start_time or 0)) / 1e6
            said = [Text(f"· {since:.1f} ms"), Text(printable(each.name)), *_facts(each.attributes)]
            branch.add(_Line(said, "dim"))
        else:
            _grow(branch, each, children)


def _time(each: ReadableSpan | Event) -> int:
    return each.timestamp if isinstance(each, Event) else each.start_time or 0


class _Line:
    """Facts side by side; where they need several lines, these end between two facts."""

    def __init__(self, facts: Sequence[Text], style: str = "") -> None:
        self._facts = facts
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text(style=self._style)
        for fact in self._facts:
            if line and line.cell_len + len(_GAP) + fact.cell_len > options.max_width:
                yield line
                line = Text(_GAP, self._style)  # what goes on is indented
            elif line:
                line.append(_GAP)
            line.append_text(fact)
        yield line


def _head(span: ReadableSpan) -> _Line:
    attributes = span.attributes or {}
    milliseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
    failed = names.ERROR_TYPE in attributes
    facts = [Text(printable(span.name), "bold red" if failed else "bold cyan"), Text(f"{milliseconds:.1f} ms", "green")]
    for name, shown in _SHOWN:
        value = attributes.get(name)
        if value is not None and value is not False:
            fact = Text(shown, "dim")
            if value is not True:
                fact.append(f" {_value(name, value)}", "red" if name == names.ERROR_TYPE else "not dim")
            facts.append(fact)
    return _Line(facts)


def _facts(attributes: Mapping[str, AttributeValue] | None) -> Iterator[Text]:
    for name, value in (attributes or {}).items():
        if value is True:
            yield Text(printable(name))
        elif name.endswith("_nanos") and isinstance(value, int):
            yield Text(f"{printable(name.removesuffix('_nanos'))} {_dollars(value / 1e9)}")
        elif value is not False:
            yield Text(printable(f"{name} {_value(name, value)}"))


def _dollars(amount: float) -> str:
    return "$" + f"{amount:.9f}".rstrip("0").rstrip(".")


def _value(name: str, value: AttributeValue) -> str:
    if name in _SECONDS and isinstance(value, float):
        return f"{value * 1000:.1f} ms"
    if name in _DOLLARS and isinstance(value, float):
        return _dollars(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return printable(", ".join(str(one) for one in value))
    return printable(str(value))
