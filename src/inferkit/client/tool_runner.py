"""One function that the model asked for: its span, its arguments, and what the model is told of what came of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from inferkit.core.errors import BudgetExceeded, InvalidReply
from inferkit.core.messages import ToolResultPart
from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span, Tracer

    from inferkit.core.messages import ToolCallPart
    from inferkit.runtime.protocol import Runtime
    from inferkit.typed.function import Function

__all__ = ["ToolRunner", "mark"]


class ToolRunner:
    """Runs functions by their names. What goes wrong is told to the model, or with `raises` is raised."""

    def __init__(self, functions: Mapping[str, Function], tracer: Tracer, *, raises: bool) -> None:
        self._functions = functions
        self._tracer = tracer
        self._raises = raises

    async def run(self, call: ToolCallPart, runtime: Runtime) -> ToolResultPart:
        """Run what is asked for on an event loop: a plain function in a thread."""
        with self._span(call) as span:
            asked = self._asked(call, span)
            if isinstance(asked, ToolResultPart):
                return asked
            function, arguments = asked
            try:
                if function.is_async:
                    return _result(call, await function.run(arguments))
                return _result(call, await runtime.run_blocking(function.run, arguments))
            except Exception as error:
                return self._failed(call, error, span)

    def run_here(self, call: ToolCallPart) -> ToolResultPart:
        """Run what is asked for in this thread."""
        with self._span(call) as span:
            asked = self._asked(call, span)
            if isinstance(asked, ToolResultPart):
                return asked
            function, arguments = asked
            try:
                return _result(call, function.run(arguments))
            except Exception as error:
                return self._failed(call, error, span)

    def _asked(self, call: ToolCallPart, span: Span) -> tuple[Function, dict[str, Any]] | ToolResultPart:
        """Give the function and its arguments, or what the model is told where it asks for nothing that there is."""
        function = self._functions.get(call.name)
        if function is None:
            known = ", ".join(self._functions)
            return _told(call, f"There is no such tool. There are: {known}", span, "no_such_tool")
        try:
            return function, function.arguments(call.arguments)
        except InvalidReply as wrong:
            if self._raises:
                raise
            return _told(call, f"The arguments do not fit:\n{wrong.detail}", span, type(wrong).__name__)

    def _failed(self, call: ToolCallPart, error: Exception, span: Span) -> ToolResultPart:
        """Say what a function raised: its type and the first line, since more than that is nobody's business."""
        if self._raises or isinstance(error, BudgetExceeded):
            raise error
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return _told(call, said, span, type(error).__name__)

    @contextlib.contextmanager
    def _span(self, call: ToolCallPart) -> Iterator[Span]:
        function = self._functions.get(call.name)
        name = call.name if function is not None else "unknown"  # the model made it up, so it is a part of the reply
        facts = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: name,
            names.TOOL_CALL_ID: call.id,
            names.TOOL_TYPE: "function",
        }
        if function is not None and function.tool.description:
            facts[names.TOOL_DESCRIPTION] = function.tool.description
        span = self._tracer.start_span(f"{names.EXECUTE_TOOL} {name}", kind=SpanKind.INTERNAL, attributes=facts)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                mark(span, type(error).__name__)
                raise


def mark(span: Span, kind: str) -> None:
    """Say on a span that what it stands for failed."""
    span.set_attribute(names.ERROR_TYPE, kind)
    span.set_status(StatusCode.ERROR)


def _told(call: ToolCallPart, words: str, span: Span, kind: str) -> ToolResultPart:
    mark(span, kind)
    return ToolResultPart(call.id, words, is_error=True)


def _result(call: ToolCallPart, value: Any) -> ToolResultPart:
    """Say what a function gave: a text as it is, all else as JSON."""
    if isinstance(value, str):
        return ToolResultPart(call.id, value)
    from pydantic_core import to_json

    return ToolResultPart(call.id, to_json(value, serialize_unknown=True).decode())
