"""Calls, and the functions that the model asks for in between, until it asks for none."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from inferkit.client.call import Call
from inferkit.client.options import read_options
from inferkit.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    DeadlineExceeded,
    InvalidReply,
    ToolRoundsExceeded,
)
from inferkit.core.messages import Message
from inferkit.providers.wires.messages import as_messages
from inferkit.providers.wires.tools import as_tools
from inferkit.runtime import clock
from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span

    from inferkit.client.engine import Engine
    from inferkit.client.streams import Run
    from inferkit.core.messages import Messages, ToolCallPart
    from inferkit.core.reply import Reply
    from inferkit.runtime.protocol import Runtime
    from inferkit.typed.function import Function

__all__ = ["ToolLoop"]


class ToolLoop:
    """One conversation with functions. Made, and run once: `run` on an event loop, or `run_here`."""

    def __init__(
        self,
        engine: Engine,
        model: str | None,
        messages: Messages,
        tools: Sequence[Callable[..., Any]],
        options: Mapping[str, Any],
        *,
        max_rounds: int,
        on_tool_error: Literal["tell", "raise"],
    ) -> None:
        if not isinstance(max_rounds, int) or max_rounds < 1:
            raise ConfigurationError(f"max_rounds is a whole number from 1; got {max_rounds!r}")
        if on_tool_error not in ("tell", "raise"):
            raise ConfigurationError('on_tool_error is "tell" or "raise"')
        self._options: dict[str, Any] = {**options, "tools": tools}
        seconds = read_options(self._options).get("timeout", engine.timeout)
        _, self._functions = as_tools(tools)
        if not tools or len(self._functions) != len(tools):
            raise ConfigurationError(
                "run_tools runs functions, and takes nothing else as tools; with others, use complete() and answer them"
            )
        self._engine = engine
        self._model = model
        self._conversation = list(as_messages(messages))
        self._max_rounds = max_rounds
        self._raises = on_tool_error == "raise"
        self._deadline = None if seconds is None else clock.now() + seconds
        self._tracer = engine.tracer()
        self._rounds = self._calls = 0

    async def run(self, runtime: Runtime) -> Reply:
        """Run it on an event loop: what is asked for at once runs at once."""
        with self._span(names.TOOLS) as span:
            while True:
                reply = await self._call().read(runtime)
                if self._is_last(reply, span):
                    return self._whole(reply)
                step = self._answer_all(reply.tool_calls, runtime)
                self._conversation += await runtime.within(self._deadline, step)

    def run_here(self, run: Run) -> Reply:
        """Run it in this thread, one thing after another."""
        for function in self._functions.values():
            if function.is_async:
                raise ConfigurationError(f"{function.tool.name} is a coroutine function; AsyncClient runs those")
        with self._span(names.TOOLS) as span:
            while True:
                reply = run(self._call().read)
                if self._is_last(reply, span):
                    return self._whole(reply)
                for call in reply.tool_calls:
                    self._seconds_left()
                    self._conversation.append(self._answer(call))

    def _call(self) -> Call:
        options = dict(self._options)
        if self._deadline is not None:
            options["timeout"] = self._seconds_left()
        return Call(self._engine, self._model, self._conversation, options, stream=False)  # type: ignore[arg-type]

    def _seconds_left(self) -> float:
        left = 1.0 if self._deadline is None else self._deadline - clock.now()
        if left <= 0:
            raise DeadlineExceeded("the functions and calls did not end within their timeout; pass a longer timeout=")
        return left

    def _is_last(self, reply: Reply, span: Span) -> bool:
        """Take a reply into the conversation; say whether it asks for nothing."""
        self._rounds += 1
        self._conversation.append(reply.message)
        self._calls += len(reply.tool_calls)
        span.set_attributes({names.TOOL_ROUNDS: self._rounds, names.TOOL_CALLS: self._calls})
        if not reply.tool_calls:
            return True
        if self._rounds == self._max_rounds:
            error = ToolRoundsExceeded(
                f"the model still asks for functions after {self._max_rounds} rounds; allow more with max_rounds=, or "
                "go on from .reply.conversation",
                reply=self._whole(reply),
            )
            error.request_id, error.attempts = reply.id, reply.attempts
            raise error
        return False

    def _whole(self, reply: Reply) -> Reply:
        return replace(reply, conversation=tuple(self._conversation))

    async def _answer_all(self, calls: Sequence[ToolCallPart], runtime: Runtime) -> list[Message]:
        import anyio

        answers: list[Message | None] = [None] * len(calls)
        failures: list[Exception] = []

        async def answer(place: int) -> None:
            try:
                answers[place] = await self._answer_async(calls[place], runtime)
            except Exception as error:  # it would come out of the group in a group
                failures.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for place in range(len(calls)):
                group.start_soon(answer, place)
        if failures:
            raise failures[0]
        return [one for one in answers if one is not None]

    async def _answer_async(self, call: ToolCallPart, runtime: Runtime) -> Message:
        with self._tool_span(call) as span:
            asked = self._asked(call, span)
            if isinstance(asked, Message):
                return asked
            function, arguments = asked
            try:
                if function.is_async:
                    return _result(call, await function.run(arguments))
                return _result(call, await runtime.run_blocking(function.run, arguments))
            except Exception as error:
                return self._failed(call, error, span)

    def _answer(self, call: ToolCallPart) -> Message:
        with self._tool_span(call) as span:
            asked = self._asked(call, span)
            if isinstance(asked, Message):
                return asked
            function, arguments = asked
            try:
                return _result(call, function.run(arguments))
            except Exception as error:
                return self._failed(call, error, span)

    def _asked(self, call: ToolCallPart, span: Span) -> tuple[Function, dict[str, Any]] | Message:
        """Give the function and its arguments, or what the model is told where it asks for nothing that there is."""
        function = self._functions.get(call.name)
        if function is None:
            known = ", ".join(self._functions)
            return _told(span, _error(call, f"There is no such tool. There are: {known}"), "no_such_tool")
        try:
            return function, function.arguments(call.arguments)
        except InvalidReply as wrong:
            if self._raises:
                raise
            return _told(span, _error(call, f"The arguments do not fit:\n{wrong.detail}"), type(wrong).__name__)

    def _failed(self, call: ToolCallPart, error: Exception, span: Span) -> Message:
        """Say what a function raised: its type and the first line, since more than that is nobody's business."""
        if self._raises or isinstance(error, BudgetExceeded):
            raise error
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return _told(span, _error(call, said), type(error).__name__)

    @contextlib.contextmanager
    def _span(self, name: str, **attributes: Any) -> Iterator[Span]:
        span = self._tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=attributes)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                _mark(span, type(error).__name__)
                raise

    def _tool_span(self, call: ToolCallPart) -> contextlib.AbstractContextManager[Span]:
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
        return self._span(f"{names.EXECUTE_TOOL} {name}", **facts)


def _mark(span: Span, kind: str) -> None:
    span.set_attribute(names.ERROR_TYPE, kind)
    span.set_status(StatusCode.ERROR)


def _told(span: Span, message: Message, kind: str) -> Message:
    _mark(span, kind)
    return message


def _error(call: ToolCallPart, words: str) -> Message:
    return Message.tool(call.id, words, is_error=True)


def _result(call: ToolCallPart, value: Any) -> Message:
    """Say what a function gave: a text as it is, all else as JSON."""
    if isinstance(value, str):
        return Message.tool(call.id, value)
    from pydantic_core import to_json

    return Message.tool(call.id, to_json(value, serialize_unknown=True).decode())
