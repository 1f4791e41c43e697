"""What a Chat Completions server refused and can do without, told from the words of its refusal.

Only what is sent of our own accord is left out: the request for usage, the name of the limit, and what messages hold
for another provider alone; and what is said to the prompt cache, which is a hint. What else the caller asked for is
never left out.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from inferkit.core.messages import ReasoningPart, ToolCallPart
from inferkit.providers.wires.chat.quirks import IN_CONTENT
from inferkit.providers.wires.chat.write_messages import DETAILS, SIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.core.request import Request
    from inferkit.providers.wires.chat.quirks import ChatQuirks

__all__ = ["lighter"]

_STATUSES = {400, 422}
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_WANTED = re.compile(
    rb"must be (?:passed|provided|included|sent)|is required|is missing|missing required", re.IGNORECASE
)


def lighter(request: Request, quirks: ChatQuirks, status: int, body: bytes) -> ChatQuirks | None:
    """Give the quirks of a server that is not sent what `body` names as refused; None where it names nothing such."""
    if status not in _STATUSES or _WANTED.search(body):
        return None
    refused = frozenset(name for name in _sent(request, quirks) if _names(body, name))
    if refused:
        return replace(quirks, without=quirks.without | refused)
    limit = quirks.max_tokens_field
    other = _OTHER_LIMIT.get(limit)
    if other is None or request.max_output_tokens is None or not _names(body, limit):
        return None
    return replace(quirks, max_tokens_field=other)


def _sent(request: Request, quirks: ChatQuirks) -> Iterator[str]:
    """Name what was sent and can be left out."""
    if request.stream and "stream_options" not in quirks.without and "stream_options" not in request.extra:
        yield "stream_options"
    for name in ("prompt_cache_key", "prompt_cache_retention"):
        if getattr(request, name) is not None and name not in quirks.without and name not in request.extra:
            yield name
    for message in request.messages:
        for part in message.parts:
            extra = getattr(part, "extra", None) or {}
            if isinstance(part, ReasoningPart):
                into = quirks.reasoning_field or extra.get("field")
                if into is not None and into != IN_CONTENT and into not in quirks.without:
                    yield into
                    if DETAILS in extra and DETAILS not in quirks.without:
                        yield DETAILS
            elif isinstance(part, ToolCallPart) and SIGNED in extra and SIGNED not in quirks.without:
                yield SIGNED


def _names(body: bytes, field: str) -> bool:
    """Say whether a refusal names a field, as a word of its own."""
    return re.search(rb"(?<![A-Za-z0-9_])" + re.escape(field.encode()) + rb"(?![A-Za-z0-9_])", body) is not None
