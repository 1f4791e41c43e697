"""What a run of calls and functions came to: its rounds, the conversation, and what all of it cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias

from inferkit.core.money import format_usd, to_usd
from inferkit.core.reply import T, tool_calls
from inferkit.core.shown import shown
from inferkit.core.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal

    from inferkit.core.attempt import Attempt
    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Message, ToolCallPart, ToolResultPart
    from inferkit.core.reply import Reply

__all__ = ["ToolEnded", "ToolEvent", "ToolRound", "ToolRun", "ToolStarted"]


class ToolStarted(NamedTuple):
    """A function is about to run, because the model asked for it: `call` says which, and with what."""

    call: ToolCallPart


class ToolEnded(NamedTuple):
    """A function has run. `result` is what the model is told of it; its `is_error` says that it failed."""

    call: ToolCallPart
    result: ToolResultPart


ToolEvent: TypeAlias = "Chunk | ToolStarted | ToolEnded"
"""What a stream of `stream_tools` gives: pieces of replies, and functions that run in between."""


class ToolRound(NamedTuple):
    """One call, and what the functions gave that its reply asked for, in the order of `reply.tool_calls`."""

    reply: Reply[Any]
    results: tuple[ToolResultPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ToolRun(Generic[T]):
    """All that `run_tools` did; as the `run` of an error or of a stream, all that it did so far.

    `messages` is the conversation, from the question to the last reply or result: append to it, and go on. `attempts`
    are all requests that were sent for it, those that failed too: what they took and cost is `usage` and `cost_nanos`
    (nano-dollars; None where a model has no known price). A round from the cache took and cost nothing. `trace_id` is
    the trace's hex id where one was recorded.
    """

    messages: tuple[Message, ...] = field(repr=False)
    rounds: tuple[ToolRound, ...] = field(repr=False)
    attempts: tuple[Attempt, ...] = field(repr=False)
    trace_id: str | None = None

    def __repr__(self) -> str:
        """Say how much was done, and nothing of what was said."""
        calls = [call.name for each in self.rounds for call in each.reply.tool_calls]
        cost = None if self.cost_nanos is None else format_usd(self.cost_nanos)
        return shown(
            self, f"{len(self.rounds)} rounds", f"{len(self.messages)} messages", tool_calls=calls,
            attempts=len(self.attempts), cost=cost, trace_id=self.trace_id,
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way to another process, as a part of an error: what reads arguments stays behind."""
        rounds = [(replace(each.reply, tool_calls=tool_calls(each.reply.chunks)), each.results) for each in self.rounds]
        return _rebuild, (self.messages, rounds, self.attempts, self.trace_id)

    @property
    def reply(self) -> Reply[T]:
        """The last reply. Raises `LookupError` where an error came before any."""
        if not self.rounds:
            raise LookupError("no reply came; what was asked is in .messages")
        return self.rounds[-1].reply

    @property
    def text(self) -> str:
        """The text of the last reply."""
        return self.reply.text

    @property
    def parsed(self) -> T:
        """The valid object of the last reply, where `schema=` asked for one."""
        return self.reply.parsed

    @property
    def usage(self) -> Usage:
        """What all attempts took."""
        total = Usage()
        for attempt in self.attempts:
            total += attempt.usage
        return total

    @property
    def cost_nanos(self) -> int | None:
        """What all attempts cost, in nano-dollars; None where a model has no known price."""
        costs = [attempt.cost_nanos for attempt in self.attempts]
        return sum([each for each in costs if each is not None]) if None not in costs else None

    @property
    def cost(self) -> Decimal | None:
        """What all attempts cost, in US dollars; None where a model has no known price."""
        return None if self.cost_nanos is None else to_usd(self.cost_nanos)


def _rebuild(
    messages: tuple[Message, ...],
    rounds: list[tuple[Reply[Any], tuple[ToolResultPart, ...]]],
    attempts: tuple[Attempt, ...],
    trace_id: str | None,
) -> ToolRun[Any]:
    return ToolRun(
        messages=messages, rounds=tuple([ToolRound(*each) for each in rounds]), attempts=attempts, trace_id=trace_id
    )
