"""What a call gave: the whole reply, put together from its chunks and its record.

It is longer than other modules, since what a reply shows of itself and leaves out is best read beside its fields.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from inferkit.core.errors import ConfigurationError, InferkitError
from inferkit.core.messages import Message, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.money import format_usd, to_usd
from inferkit.core.shown import folded_html, html_of, shortened, shown, shows_text, table_html, text_html
from inferkit.core.usage import NO_DETAILS, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from inferkit.core.attempt import Attempt
    from inferkit.core.chunks import Chunk, TokenLogprob
    from inferkit.core.record import CacheResult, CallRecord

if TYPE_CHECKING:  # who writes `Reply` means one of anything
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
    S = TypeVar("S")
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Reply", "T", "parts_of", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reply(Generic[T]):
    """The reply to one call.

    `usage` is that of the model that served it, `cost_nanos` what all attempts cost, in nano-dollars (None where a
    model has no known price), `reported_nanos` what their providers say that they cost, where all that were paid say
    it. For a cache hit `cost_nanos` is 0, and `saved_nanos` is what the call would have cost.
    `cache` is "hit", "coalesced", "miss", "bypass" or None without a cache. `degraded` is true where a budget that
    did not cover the call took it to its `degrade_to`. `attempts` lists what was sent. `id` names the call in the
    ledger and in traces, `trace_id` is the trace's hex id where one was recorded. `message` is what goes on with
    the conversation: append it, and what only the provider understands goes back with it. `extra` is what else the
    provider said of the reply (citations, logprobs, its service tier), under its own names. `left_out` names what of
    the request its provider was not sent, since only another one understands it. `seams` are the places in `text`,
    in characters, at which its stream broke and went on. `landed` is the place from which on the words are those of
    a local model, which ended a reply that its budget cut (`on_exceed="land"`); None where none did. `chunks` are
    the pieces that it came in, `raw` holds the provider's own events. `parsed` is the valid object of a call with
    `schema=`.
    """

    id: str
    text: str = field(repr=False)
    reasoning: str = field(repr=False)
    tool_calls: tuple[ToolCallPart, ...] = field(repr=False)
    usage: Usage
    cost_nanos: int | None
    reported_nanos: int | None = None
    saved_nanos: int
    model: str
    provider: str
    finish_reason: str | None
    cache: CacheResult | None
    degraded: bool
    attempts: tuple[Attempt, ...]
    trace_id: str | None
    extra: Mapping[str, Any] = field(repr=False)
    left_out: tuple[str, ...] = ()
    seams: tuple[int, ...] = ()
    landed: int | None = None
    chunks: tuple[Chunk, ...] = field(repr=False, compare=False)
    parsed: T = field(default=cast("T", None), repr=False, compare=False)

    @classmethod
    def of(cls, chunks: Sequence[Chunk], record: CallRecord, parsed: Any = None) -> Reply:
        """Put a reply together from the chunks received so far."""
        usage = finish_reason = None
        extra: dict[str, Any] = {}
        texts: list[str] = []
        thoughts: list[str] = []
        calls = False
        for chunk in chunks:
            texts.append(chunk.text)
            if chunk.reasoning:
                thoughts.append(chunk.reasoning)
            calls = calls or bool(chunk.tool_calls)
            usage = chunk.usage or usage
            finish_reason = chunk.finish_reason or finish_reason
            if chunk.extra:
                extra.update(deepcopy(dict(chunk.extra)))  # the cache keeps the chunk, and this is the caller's
        served = record.served
        if served is not None and (usage is None or served.usage.estimated):
            usage = served.usage  # a report that came before the end says less than what was booked
        completed = served if served is not None and served.outcome == "completed" else None
        return cls(
            id=record.id,
            text="".join(texts),
            reasoning="".join(thoughts),
            tool_calls=tool_calls(chunks) if calls else (),
            usage=usage or Usage(),
            cost_nanos=record.cost_nanos,
            reported_nanos=None if usage is None or usage.details is NO_DETAILS else record.reported_nanos,
            saved_nanos=record.saved_nanos,
            model=completed.model if completed else record.model,
            provider=completed.provider if completed else record.provider,
            finish_reason=finish_reason,
            cache=record.cache,
            degraded=record.degraded is not None,
            attempts=tuple(record.attempts),
            trace_id=record.trace_id,
            extra=extra,
            left_out=record.left_out,
            seams=record.seams,
            landed=record.landed,
            chunks=tuple(chunks),
            parsed=parsed,
        )

    def __repr__(self) -> str:
        """Say what kind of reply it is; of its text the size, or with `INFERKIT_SHOW_TEXT=1` the beginning."""
        text = repr(shortened(self.text)) if shows_text() else f"{len(self.text)} characters"
        return shown(
            self,
            text,
            model=":".join(filter(None, (self.provider, self.model))),
            finish_reason=self.finish_reason,
            tool_calls=[call.name for call in self.tool_calls],
            input_tokens=self.usage.input_tokens,
            output_tokens=self.usage.output_tokens,
            cost=_dollars(self.cost_nanos),
            cache=self.cache,
            degraded=self.degraded,
            attempts=len(self.attempts) if len(self.attempts) > 1 else None,
            id=self.id,
        )

    def _repr_html_(self) -> str:
        """Show it in a notebook: its text as it came, which is never taken for HTML, and what it cost."""
        usage, saved = self.usage, f", {_dollars(self.saved_nanos)} saved" if self.saved_nanos else ""
        calls = [f"{call.name}({call.arguments})" for call in self.tool_calls]
        facts = [
            ("model", ":".join(filter(None, (self.provider, self.model)))),
            ("finish reason", self.finish_reason or "none yet"),
            ("tokens", f"{usage.input_tokens:,} in, {usage.output_tokens:,} out{', estimated' * usage.estimated}"),
            ("cost", f"{_dollars(self.cost_nanos) or 'no known price'}{saved}"),
            ("cache", self.cache or "none"),
            ("attempts", ", ".join(f"{each.kind} {each.name}: {each.outcome}" for each in self.attempts) or "none"),
            ("id", self.id),
        ]
        reasoning = folded_html("reasoning", self.reasoning) if self.reasoning else ""
        asked = folded_html("tool calls", "\n".join(calls)) if calls else ""
        return html_of("Reply", text_html(self.text), reasoning, asked, table_html(facts))

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as plain data, which JSON can hold: `from_dict` makes the same reply of it.

        Keys and `usage`, costs and `attempts` are those of its fields; `chunks` has what else there is, the provider's
        own events too. Raises `ConfigurationError` where something in it cannot be JSON.
        """
        from inferkit.core.plain import plain_attempt, plain_call, plain_chunk, plain_object, plain_usage, plain_value

        plain = {name: plain_value(getattr(self, name), name) for name in _PLAIN}
        return plain | {
            "tool_calls": [plain_call(call) for call in self.tool_calls],
            "usage": plain_usage(self.usage),
            "attempts": [plain_attempt(attempt) for attempt in self.attempts],
            "chunks": [plain_chunk(chunk) for chunk in self.chunks],
            "parsed": plain_object(self.parsed),
        }

    @overload
    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, schema: type[S]) -> Reply[S]: ...

    @overload
    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, schema: Mapping[str, Any] | None = ...) -> Reply[Any]: ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, schema: Any = None) -> Reply[Any]:
        """Make a reply of what `to_dict` gave, also by way of JSON. With `schema`, its `parsed` is of that type again.

        The `values` of its tool calls are plain data. Raises `ConfigurationError` for what is no such reply, and
        `InvalidReply` for an object that is no valid one of `schema`.
        """
        from inferkit.core.plain import attempt_from, call_from, chunk_from, object_from, usage_from

        try:
            fields = {name: data[name] for name in _PLAIN if name in data}
            fields |= {name: tuple(fields[name]) for name in _TUPLES if name in fields}
            fields["usage"] = usage_from(data["usage"])
            for name, read in (("tool_calls", call_from), ("attempts", attempt_from), ("chunks", chunk_from)):
                fields[name] = tuple([read(each) for each in data[name]])
            return cls(**fields, parsed=object_from(data.get("parsed"), schema))
        except InferkitError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"this is no reply that Reply.to_dict gave ({type(error).__name__}); pass what it gave, whole"
            ) from error

    @property
    def cost(self) -> Decimal | None:
        """What all attempts cost, in US dollars; None where a model has no known price."""
        return None if self.cost_nanos is None else to_usd(self.cost_nanos)

    @property
    def reported_cost(self) -> Decimal | None:
        """What their providers say that all attempts cost, in US dollars; None where they do not say it."""
        return None if self.reported_nanos is None else to_usd(self.reported_nanos)

    @property
    def saved(self) -> Decimal:
        """What a cache hit would have cost, in US dollars."""
        return to_usd(self.saved_nanos)

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """How likely the model found each of its tokens; none where `logprobs=True` did not ask, or nobody said."""
        return tuple([one for chunk in self.chunks for one in chunk.logprobs])

    @property
    def confidence(self) -> float | None:
        """How sure the model was of its own words, from 0 to 1: e to the power of the mean log-probability.

        None where no log-probabilities came. It compares replies of one model to questions of one kind, and says
        nothing of whether they are true.
        """
        logprobs = [one.logprob for chunk in self.chunks for one in chunk.logprobs]
        return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs))) if logprobs else None

    @property
    def message(self) -> Message:
        """The reply as a message of the conversation, with its parts in the order in which they came."""
        return Message("assistant", tuple(parts_of(self.chunks)))

    @property
    def raw(self) -> tuple[Any, ...]:
        """The provider's own events; none for a cache hit."""
        return tuple([chunk.raw for chunk in self.chunks if chunk.event is not None])


def _dollars(nanos: int | None) -> str | None:
    return None if nanos is None else format_usd(nanos)


_APART = {"tool_calls", "usage", "attempts", "chunks", "parsed"}
_PLAIN = tuple(each.name for each in fields(Reply) if each.name not in _APART)
_TUPLES = ("left_out", "seams")


def tool_calls(chunks: Iterable[Chunk]) -> tuple[ToolCallPart, ...]:
    """Join the pieces of tool calls by their index."""
    return tuple([call for _, call in sorted(_calls(chunks).items())])


def _calls(chunks: Iterable[Chunk]) -> dict[int, ToolCallPart]:
    calls: dict[int, tuple[str, str, list[str], dict[str, Any], str]] = {}
    for chunk in chunks:
        for piece in chunk.tool_calls:
            known_id, known_name, arguments, extra, kind = calls.get(piece.index, ("", "", [], {}, piece.kind))
            calls[piece.index] = (known_id or piece.id or "", known_name or piece.name or "", arguments, extra, kind)
            arguments.append(piece.arguments)
            extra.update(piece.extra or {})
    return {
        index: ToolCallPart(call_id, name, "".join(pieces), extra or None, kind)
        for index, (call_id, name, pieces, extra, kind) in calls.items()
    }


class _Run:
    """Words of one kind that follow each other, and become one part."""

    __slots__ = ("kind", "seal", "words")

    def __init__(self, kind: type[TextPart | ReasoningPart | RefusalPart]) -> None:
        self.kind = kind
        self.words: list[str] = []
        self.seal: TextPart | ReasoningPart | RefusalPart | None = None

    def part(self) -> Part:
        words = "".join(self.words)
        return self.kind(words) if self.seal is None else replace(self.seal, text=words)


def parts_of(chunks: Sequence[Chunk]) -> Iterable[Part]:
    """Put the parts of a reply together, in the order in which they came."""
    pieces: list[_Run | Part | int] = []
    calls = _calls(chunks)
    placed: set[int] = set()
    for chunk in chunks:
        if chunk.reasoning:
            _run_on(pieces, ReasoningPart).words.append(chunk.reasoning)
        if chunk.text:
            refused = any(isinstance(part, RefusalPart) for part in chunk.parts)
            _run_on(pieces, RefusalPart if refused else TextPart).words.append(chunk.text)
        for part in chunk.parts:
            if isinstance(part, RefusalPart) and not part.text and part.extra is None:
                continue
            run = _sealed_by(part, pieces)
            if run is None:
                pieces.append(part)
            else:
                run.seal = part  # type: ignore[assignment]  # only words seal
        for call in chunk.tool_calls:
            if call.index not in placed:
                placed.add(call.index)
                pieces.append(call.index)
    for piece in pieces:
        yield piece.part() if isinstance(piece, _Run) else calls[piece] if isinstance(piece, int) else piece


def _run_on(pieces: list[_Run | Part | int], kind: type[TextPart | ReasoningPart | RefusalPart]) -> _Run:
    """Give the run that words of a kind go on with, or begin one."""
    last = pieces[-1] if pieces else None
    if isinstance(last, _Run) and last.kind is kind and last.seal is None:
        return last
    run = _Run(kind)
    pieces.append(run)
    return run


def _sealed_by(part: Part, pieces: Sequence[_Run | Part | int]) -> _Run | None:
    """Give the words that a part without words belongs to."""
    if not isinstance(part, TextPart | ReasoningPart | RefusalPart) or part.text:
        return None
    for piece in reversed(pieces):
        if isinstance(piece, _Run) and piece.kind is type(part):
            return None if piece.seal is not None else piece
    return None
