"""Calls, and the functions that the model asks for in between, until it asks for none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from inferkit.budgets.context import Entered, current_scopes
from inferkit.client.call import Call
from inferkit.client.options import read_options
from inferkit.client.tool_runner import ToolRunner, mark
from inferkit.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    DeadlineExceeded,
    InferkitError,
    InvalidReply,
    ToolRoundsExceeded,
)
from inferkit.core.messages import Message, ToolCallPart, ToolResultPart
from inferkit.core.tool_run import ToolEnded, ToolRound, ToolRun
from inferkit.providers.wires.messages import as_messages
from inferkit.providers.wires.tools import as_tools
from inferkit.runtime import clock, forks
from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span

    from inferkit.client.engine import Engine
    from inferkit.client.streams import Run
    from inferkit.core.messages import Messages
    from inferkit.core.record import CallRecord
    from inferkit.core.reply import Reply
    from inferkit.runtime.protocol import Runtime

__all__ = ["LoopOptions", "ToolLoop"]

_CUT = frozenset({"length", "budget"})  # half of what it asked for is not to be run


class LoopOptions(NamedTuple):
    """How a loop runs, apart from its calls: `here` is in one thread, `stream` that replies are read as they come."""

    max_rounds: int
    on_tool_error: Literal["tell", "raise"]
    stream: bool
    here: bool


class ToolLoop:
    """One conversation with functions, and how far it has come. Run whole by `run` or `run_here`, or by a stream.

    Either a call is to be made (`next_call`, whose reply `take` is given), or functions are `asked` for (`answer_all`,
    or `answer_next` until none is), or it is `over`. A step of it runs within `step`. It begins with the functions that
    the conversation asks for and has no answer to.
    """

    def __init__(  # noqa: PLR0917 - as they were passed
        self,
        engine: Engine,
        model: str | None,
        messages: Messages,
        tools: Sequence[Callable[..., Any]],
        options: Mapping[str, Any],
        more: LoopOptions,
    ) -> None:
        if not isinstance(more.max_rounds, int) or more.max_rounds < 1:
            raise ConfigurationError(f"max_rounds is a whole number from 1; got {more.max_rounds!r}")
        if more.on_tool_error not in ("tell", "raise"):
            raise ConfigurationError('on_tool_error is "tell" or "raise"')
        self._options: dict[str, Any] = {**options, "tools": tools}
        seconds = read_options(self._options).get("timeout", engine.timeout)
        _, functions = as_tools(tools)
        if not tools or len(functions) != len(tools):
            raise ConfigurationError(
                "run_tools runs functions, and takes nothing else as tools; with others, use complete() and answer them"
            )
        if more.here:
            for function in functions.values():
                if function.is_async:
                    raise ConfigurationError(f"{function.tool.name} is a coroutine function; AsyncClient runs those")
        self._engine = engine
        self._model = model
        self._messages = list(as_messages(messages))
        self._max_rounds = more.max_rounds
        self._deadline = None if seconds is None else clock.now() + seconds
        self._stream = more.stream
        self._tracer = engine.tracer()
        self._runner = ToolRunner(functions, self._tracer, raises=more.on_tool_error == "raise")
        self._payers = Entered(current_scopes())  # whoever reads a stream may be somebody else
        self._records: list[CallRecord] = []
        self._rounds: list[ToolRound] = []
        self._calls = 0
        self._span: Span | None = None
        self.ended = self.over = False
        self._generation = forks.generation
        self._failure: BudgetExceeded | None = None
        self.asked: tuple[ToolCallPart, ...] = _unanswered(self._messages)
        self._results: list[ToolResultPart | None] = [None] * len(self.asked)
        self._next = 0

    async def run(self, runtime: Runtime) -> ToolRun[Any]:
        """Run it on an event loop: what is asked for at once runs at once."""
        with self.step():
            while not self.over:
                if self.asked:
                    await self.answer_all(runtime)
                else:
                    call = self.next_call()
                    await call.read(runtime)
                    self.take(call.reply)
        self.end()
        return self.so_far()

    def run_here(self, run: Run) -> ToolRun[Any]:
        """Run it in this thread, one thing after another."""
        with self.step():
            while not self.over:
                if self.asked:
                    self.answer_next()
                else:
                    call = self.next_call()
                    run(call.read)
                    self.take(call.reply)
        self.end()
        return self.so_far()

    def so_far(self) -> ToolRun[Any]:
        """Give what was done by now."""
        answers = [result for result in self._results if result is not None]
        rounds = list(self._rounds)
        if answers and rounds:
            rounds[-1] = ToolRound(rounds[-1].reply, tuple(answers))
        context = None if self._span is None else self._span.get_span_context()
        recorded = context is not None and context.is_valid
        return ToolRun(
            messages=(*self._messages, *map(_message, answers)),
            rounds=tuple(rounds),
            attempts=tuple([attempt for record in self._records for attempt in record.attempts]),
            trace_id=trace.format_trace_id(context.trace_id) if context is not None and recorded else None,
        )

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Have its span current and its budgets paying during a step, which ends all of it where it fails."""
        if self._span is None:
            self._span = self._tracer.start_span(names.TOOLS, kind=SpanKind.INTERNAL)
        quiet = {"record_exception": False, "set_status_on_exception": False}
        try:
            with self._payers, trace.use_span(self._span, end_on_exit=False, **quiet):
                yield
        except BaseException as error:
            self.end(error)
            raise

    def end(self, error: BaseException | None = None) -> None:
        """End its span, once; an error is told what had been done."""
        if isinstance(error, InferkitError):
            error.run = self.so_far()
        if self.ended or self._generation != forks.generation:  # the process that it was forked from ends it
            return
        self.ended = True
        if self._span is not None:
            if error is not None:
                mark(self._span, type(error).__name__)
            self._span.end()

    def next_call(self) -> Call:
        """Make the next call. Raises `DeadlineExceeded` where no time is left for it."""
        options = dict(self._options)
        if self._deadline is not None:
            options["timeout"] = self._seconds_left()
        call = Call(self._engine, self._model, self._messages, options, stream=self._stream)  # type: ignore[arg-type]
        self._records.append(call.record)
        return call

    def take(self, reply: Reply[Any]) -> None:
        """Take a reply into the conversation. Raises `ToolRoundsExceeded` where it asks once too often."""
        self._messages.append(reply.message)
        self._rounds.append(ToolRound(reply, ()))
        self._calls += len(reply.tool_calls)
        assert self._span is not None
        self._span.set_attributes({names.TOOL_ROUNDS: len(self._rounds), names.TOOL_CALLS: self._calls})
        was_cut = reply.finish_reason in _CUT
        if was_cut and reply.tool_calls and "schema" in self._options:
            raise InvalidReply(
                "the reply was cut while it asked for functions, so there is no object; allow more with "
                "max_output_tokens=, or a larger budget",
                partial=reply.text,
                finish_reason=reply.finish_reason,
            )
        self.asked = () if was_cut else reply.tool_calls
        self._results, self._next = [None] * len(self.asked), 0
        if not self.asked:
            self.over = True
        elif len(self._rounds) == self._max_rounds:
            error = ToolRoundsExceeded(
                f"the model still asks for functions after {self._max_rounds} rounds; allow more with max_rounds=, or "
                "pass .run.messages to go on from there"
            )
            error.request_id, error.attempts = reply.id, reply.attempts
            raise error

    async def answer_all(self, runtime: Runtime) -> list[ToolEnded]:
        """Run what is asked for, all of it at once."""
        await runtime.within(self._deadline, self._answer_all(runtime))
        ended = [
            ToolEnded(call, result)
            for call, result in zip(self.asked, self._results, strict=True)
            if result is not None
        ]
        self._answered()
        return ended

    async def _answer_all(self, runtime: Runtime) -> None:
        import anyio

        broken: list[Exception] = []

        async def answer(place: int) -> None:
            try:
                self._results[place] = await self._runner.run(self.asked[place], runtime)
            except BudgetExceeded as error:
                self._failure = self._failure or error
            except Exception as error:  # it would come out of the group in a group
                broken.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for place in range(len(self.asked)):
                group.start_soon(answer, place)
        if broken:
            raise broken[0]

    def next_asked(self) -> ToolCallPart:
        """Give what `answer_next` runs."""
        return self.asked[self._next]

    def answer_next(self) -> ToolEnded | None:
        """Run one function that is asked for, in this thread; None where no budget covered what it did."""
        self._seconds_left()
        place = self._next
        call = self.asked[place]
        ended = None
        try:
            result = self._runner.run_here(call)
        except BudgetExceeded as error:
            self._failure = self._failure or error
        else:
            self._results[place] = result
            ended = ToolEnded(call, result)
        self._next += 1
        if self._next == len(self.asked):
            self._answered()
        return ended

    def _answered(self) -> None:
        """Go on to the next call. Where no budget covered what a function did, all others have run by now."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        results = tuple([result for result in self._results if result is not None])
        self._messages += map(_message, results)
        if self._rounds:
            self._rounds[-1] = ToolRound(self._rounds[-1].reply, results)
        self.asked, self._results = (), []

    def _seconds_left(self) -> float:
        left = 1.0 if self._deadline is None else self._deadline - clock.now()
        if left <= 0:
            raise DeadlineExceeded("the functions and calls did not end within their timeout; pass a longer timeout=")
        return left


def _message(result: ToolResultPart) -> Message:
    return Message("tool", (result,))


def _unanswered(messages: Sequence[Message]) -> tuple[ToolCallPart, ...]:
    """Give the functions that the end of a conversation asks for, and that have no answer."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message.role == "assistant":
            calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
            return tuple([call for call in calls if call.id not in answered])
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        if message.role != "tool" or not results:
            break
        answered |= {result.id for result in results}
    return ()
