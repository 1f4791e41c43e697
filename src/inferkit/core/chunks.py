"""What comes out of a call: chunks of the reply, and the tokens that it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Chunk", "ToolCallDelta", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt or one call.

    `input_tokens` includes cached ones, `output_tokens` includes reasoning, whatever the provider's own way of
    counting. `estimated` is true where the provider reported nothing and the count is inferkit's own: an upper bound,
    unless the client learns its estimates.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        """Add the tokens of another attempt."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. The first piece of an `index` carries `id` and `name`; `arguments` pieces join up."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = field(default="", repr=False)


class Chunk(NamedTuple):
    """A piece of a reply, as it comes. A named tuple, because one is made for every token.

    `finish_reason` (an open set: "stop", "length", "tool_calls", "content_filter", "budget", ...) and `usage` come
    with the last pieces. `raw` is the provider's own event, for what the other fields do not carry.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: Any = None

    def __repr__(self) -> str:
        """Say what the chunk carries, not its words."""
        return f"Chunk({len(self.text)} characters, finish_reason={self.finish_reason!r}, usage={self.usage!r})"
