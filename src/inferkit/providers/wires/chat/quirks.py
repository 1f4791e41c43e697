"""How servers that speak the Chat Completions wire differ, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.providers.wires.prefill import Prefill

__all__ = ["IN_CONTENT", "ChatQuirks"]

IN_CONTENT = "content"
"""The `reasoning_field` of servers whose reasoning stands among the parts of the content."""


@dataclass(frozen=True, slots=True)
class ChatQuirks:
    """One server's ways. The defaults are those of a server about which nothing is known: it is asked for everything.

    What is sent: `max_tokens_field` is its name for the limit of the reply, `renames` its names for other fields, and
    `without` names what it refuses and can do without: fields of the request, hints of the caller's among them
    (`prediction`, `prompt_cache_key`, `prompt_cache_retention`), and those of assistant messages and tool calls that
    only the provider who wrote them understands. `reasoning_field` is the field of an assistant message
    in which it takes its own reasoning back, where it does.

    What it takes as input: `audio` as an object, as plain base64, or not at all, `files` as a `file` or a
    `document_url`, or not at all, and `file_urls` whether they may be addresses. `custom_tools` says whether it knows
    tools that take plain text. A server that does not know how to be told of one tool (`names_tool`) is given that one
    alone, and has to use it. `short_call_ids` is for one that takes no ids of tool calls but its own.

    `prefill` says how it is asked to go on with an assistant's message, where it does that.

    `logprobs` says how it is asked how likely its tokens were: by a `switch`, by a `number` of them, or not at all.

    `thinks_beside` is for one whose limit of the reply leaves out what the model thinks, and which limits that by a
    field of its own, `thinking_budget`: the two share the call's `max_output_tokens` then.

    What comes back: `reasoning_tags` enclose the reasoning that it writes into the text.
    """

    max_tokens_field: str = "max_tokens"
    reasoning_field: str | None = None
    without: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    audio: Literal["object", "plain"] | None = "object"
    files: Literal["file", "document_url"] | None = "file"
    file_urls: bool = True
    custom_tools: bool = True
    names_tool: bool = True
    short_call_ids: bool = False
    logprobs: Literal["switch", "number"] | None = "switch"
    reasoning_tags: tuple[str, str] | None = None
    prefill: Prefill | None = None
    thinks_beside: bool = False
