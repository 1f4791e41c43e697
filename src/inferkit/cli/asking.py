"""What `inferkit ask` does: one call through the configured stack, shown as it comes, and what came of it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from inferkit.cli.configured import configured_client
from inferkit.cli.interrupts import INTERRUPTED, drop_half_made
from inferkit.cli.showing import dollars, exact, write_json
from inferkit.cli.tracing import CommandTrace
from inferkit.core.errors import BudgetExceeded, ConfigurationError, DeadlineExceeded, InferkitError, ProviderError
from inferkit.core.messages import Message
from inferkit.core.printable import printable
from inferkit.runtime import clock
from inferkit.telemetry.environment import is_switched_off
from inferkit.telemetry.tree import trace_tree

if TYPE_CHECKING:
    from inferkit.client.streams import Stream
    from inferkit.core.attempt import Attempt
    from inferkit.core.reply import Reply

__all__ = ["AskOptions", "ask_model"]

_CODES: tuple[tuple[type[Exception], int], ...] = ((BudgetExceeded, 3), (ProviderError, 4), (DeadlineExceeded, 5))
_NOBODY_READS = 141  # as a shell has it for SIGPIPE
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but the end of a line and the tab
_CALL = 16  # characters of an id, of which twelve are its time
_DETAIL = 400  # characters of what a provider said itself


@dataclass(frozen=True)
class AskOptions:
    """The arguments of the command."""

    question: str | None
    model: str | None = None
    system: str | None = None
    user: str | None = None
    max_output_tokens: int | None = None
    timeout: float | None = None
    bypass: bool = False
    as_json: bool = False

    def options(self) -> dict[str, Any]:
        """Give the options of the call."""
        given = {"user": self.user, "max_output_tokens": self.max_output_tokens, "timeout": self.timeout}
        cache = {"cache": "bypass"} if self.bypass else {}
        model = {} if self.model is None else {"model": self.model}
        return {name: value for name, value in given.items() if value is not None} | cache | model


def ask_model(asked: AskOptions) -> int:
    """Do what the command does, and give its exit status. Raises `ConfigurationError` where nothing was asked."""
    messages = _messages(asked.question, asked.system)
    err = Console(stderr=True, highlight=False, markup=False, emoji=False)
    trace = CommandTrace()
    begun = clock.now()
    with configured_client(telemetry=trace.telemetry) as llm:
        stream = llm.stream(messages=messages, **asked.options())
        error = _read(stream, err, show=not asked.as_json)
    reply: Reply = stream.reply
    seconds = clock.now() - begun
    if asked.as_json and not isinstance(error, BrokenPipeError):
        write_json(_as_json(reply, error, seconds) | {"trace": trace.as_json()})
    else:
        _show(err, reply, error, seconds, trace)
    return _send(trace, err) or _code(error)


def _send(trace: CommandTrace, err: Console) -> int:
    """Send the trace where the environment says, once all that was answered is out."""
    sys.stdout.flush()
    try:
        with err.status("sending the trace ...") if err.is_terminal else contextlib.nullcontext():
            for problem in trace.export():
                err.print(Text(printable(problem), style="red"))
    except KeyboardInterrupt as interrupt:
        drop_half_made(interrupt)
        err.print(Text("interrupted; the trace was not sent", style="dim"))
        return INTERRUPTED
    return 0


def _messages(question: str | None, system: str | None) -> list[Message]:
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    asked = "\n\n".join(part for part in (question or "", piped.strip("\n")) if part.strip())
    if not asked:
        raise ConfigurationError('nothing was asked: inferkit ask "What is...?", or pipe a text in')
    return [*([Message.system(system)] if system else []), Message.user(asked)]


def _read(stream: Stream[Any], err: Console, *, show: bool) -> BaseException | None:
    """Read a reply to its end, and give what went wrong. It is settled by then, whatever that was."""
    out = _Out() if show else None
    waiting = err.status("waiting for the first token ...") if err.is_terminal else contextlib.nullcontext()
    try:
        with contextlib.ExitStack() as until_it_comes:
            until_it_comes.enter_context(waiting)
            with stream as reply:
                for chunk in reply:
                    if out is not None and chunk.text:
                        until_it_comes.close()
                        out.write(chunk.text)
    except (InferkitError, KeyboardInterrupt, BrokenPipeError) as error:
        return error
    finally:
        if out is not None:
            out.end()
    return None


class _Out:
    """Writes a reply as it comes. To a terminal goes nothing that would move its cursor or change its colours."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        self._to_terminal = sys.stdout.isatty()
        self._last = "\n"

    def write(self, text: str) -> None:
        """Write a piece. Raises `BrokenPipeError` where nobody reads any more."""
        if self._to_terminal:
            text = _CONTROL.sub("", text)
        self._last = text[-1:] or self._last  # first: an interrupt may come as soon as it is written
        sys.stdout.write(text)
        sys.stdout.flush()

    def end(self) -> None:
        """End the last line."""
        try:
            if self._last != "\n":
                self.write("\n")
        except BrokenPipeError:  # what is left in the buffer would be tried again at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return _NOBODY_READS
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


def _show(err: Console, reply: Reply, error: BaseException | None, seconds: float, trace: CommandTrace) -> None:
    """Say what was tried, what it cost, and what went wrong."""
    err.print()
    if trace.spans:
        err.print(trace_tree(trace.spans, f"trace {reply.trace_id}"))
    elif is_switched_off():
        err.print(Text("no trace: OTEL_SDK_DISABLED switches OpenTelemetry off", style="dim"))
    if reply.attempts or error is None:
        err.print(Text(printable(_summary(reply, error, seconds)), style="dim"))
    if isinstance(error, InferkitError):
        err.print(Text(printable(f"{type(error).__name__}: {error}"), style="red"))
        detail = getattr(error, "detail", None)
        if isinstance(detail, str) and detail:
            err.print(Text(printable(detail[:_DETAIL]), style="red dim"))


def _summary(reply: Reply, error: BaseException | None, seconds: float) -> str:
    estimated = any(attempt.usage.estimated and attempt.cost_nanos for attempt in reply.attempts)
    facts = [f"{dollars(reply.cost_nanos)}{' (estimated)' if estimated else ''}"]
    if reply.saved_nanos:
        facts.append(f"saved {dollars(reply.saved_nanos)}")
    if reply.cache is not None:
        facts.append(f"cache {reply.cache}")
    if reply.degraded:
        facts.append("a smaller model, since the budget did not cover another")
    facts.append(f"{seconds:.2f} s")
    begins = "interrupted; spent " if isinstance(error, KeyboardInterrupt) else "cost "
    return f"{begins}{', '.join(facts)}; call {reply.id[:_CALL]}"


def _as_json(reply: Reply, error: BaseException | None, seconds: float) -> dict[str, Any]:
    said: dict[str, Any] = {
        "call": reply.id,
        "text": reply.text,
        "provider": reply.provider,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "cache": reply.cache,
        "degraded": reply.degraded,
        "cost": exact(reply.cost_nanos),
        "saved": exact(reply.saved_nanos),
        "seconds": round(seconds, 3),
        "input_tokens": reply.usage.input_tokens,
        "output_tokens": reply.usage.output_tokens,
        "attempts": [_attempt(each) for each in reply.attempts],
    }
    if error is not None:
        said["error"] = {"type": type(error).__name__, "message": str(error)}
    return said


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "kind": attempt.kind,
        "model": attempt.name,
        "outcome": attempt.outcome,
        "error": attempt.error,
        "input_tokens": attempt.usage.input_tokens,
        "output_tokens": attempt.usage.output_tokens,
        "estimated": attempt.usage.estimated,
        "cost": exact(attempt.cost_nanos),
        "seconds": round(attempt.seconds, 3),
        "first_chunk_seconds": attempt.first_chunk_seconds,
    }
