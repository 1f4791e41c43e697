"""What a call gave: the whole reply, put together from its chunks and its record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk, Usage
from inferkit.core.messages import ToolCallPart
from inferkit.core.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from inferkit.core.attempt import Attempt
    from inferkit.core.record import CacheResult, CallRecord

__all__ = ["Reply", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The reply to one call.

    `usage` is that of the model that served it, `cost` that of all attempts, in US dollars (None where a model has no
    known price). For a cache hit the cost is 0 and `saved` is what the call would have cost. `cache` is "hit",
    "coalesced", "miss", "bypass" or None without a cache. `degraded` is true where a budget that did not cover the call
    took it to its `degrade_to`. `attempts` lists what was sent. `id` names the call in the ledger and in traces,
    `trace_id` is the trace's hex id where one was recorded. `raw` holds the provider's own events.
    """

    id: str
    text: str = field(repr=False)
    reasoning: str = field(repr=False)
    tool_calls: tuple[ToolCallPart, ...] = field(repr=False)
    usage: Usage
    cost: Decimal | None
    saved: Decimal
    model: str
    provider: str
    finish_reason: str | None
    cache: CacheResult | None
    degraded: bool
    attempts: tuple[Attempt, ...]
    trace_id: str | None
    raw: tuple[Any, ...] = field(repr=False)

    @classmethod
    def of(cls, chunks: Sequence[Chunk], record: CallRecord) -> Reply:
        """Put a reply together from the chunks received so far."""
        usage = finish_reason = None
        for chunk in chunks:
            usage = chunk.usage or usage
            finish_reason = chunk.finish_reason or finish_reason
        served = record.served
        completed = served if served is not None and served.outcome == "completed" else None
        cost = record.cost_nanos
        return cls(
            id=record.id,
            text="".join([chunk.text for chunk in chunks]),
            reasoning="".join([chunk.reasoning for chunk in chunks if chunk.reasoning]),
            tool_calls=tool_calls(chunks),
            usage=usage or (served.usage if served else Usage()),
            cost=None if cost is None else to_usd(cost),
            saved=to_usd(record.saved_nanos),
            model=completed.model if completed else record.model,
            provider=completed.provider if completed else record.provider,
            finish_reason=finish_reason,
            cache=record.cache,
            degraded=record.degraded is not None,
            attempts=tuple(record.attempts),
            trace_id=record.trace_id,
            raw=tuple([chunk.raw for chunk in chunks if chunk.raw is not None]),
        )


def tool_calls(chunks: Iterable[Chunk]) -> tuple[ToolCallPart, ...]:
    """Join the pieces of tool calls by their index."""
    calls: dict[int, tuple[str, str, list[str]]] = {}
    for chunk in chunks:
        for piece in chunk.tool_calls:
            known_id, known_name, arguments = calls.get(piece.index, ("", "", []))
            calls[piece.index] = (known_id or piece.id or "", known_name or piece.name or "", arguments)
            arguments.append(piece.arguments)
    return tuple(ToolCallPart(call_id, name, "".join(pieces)) for _, (call_id, name, pieces) in sorted(calls.items()))
