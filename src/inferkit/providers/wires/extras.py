"""What messages, parts and tools carry for one provider alone, told from what they carry for another.

A part that one wire read keeps what only that wire understands under the wire's name; what Chat Completions read, and
what a caller adds himself, stands there as it is. A conversation that goes on over another wire leaves the former
behind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import AudioPart, FilePart, ImagePart, OpaquePart, ReasoningPart, TextPart
from inferkit.core.request import WIRES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from inferkit.core.messages import Message, Part

    LeaveOut = Callable[[str], object]
    """Is told what of a request is not sent."""

__all__ = ["ANTHROPIC", "CHAT", "GEMINI", "RESPONSES", "LeaveOut", "is_foreign", "own", "without_foreign"]

CHAT, ANTHROPIC, RESPONSES, GEMINI = "chat", "anthropic", "responses", "gemini"
_OF_CHAT = frozenset(
    {"field", "reasoning_details", "extra_content", "function", "custom", "image_url", "input_audio", "file", "content"}
)
"""Where Chat Completions keeps what it read of a part."""
_MARKERS = {
    "cache_control": frozenset({CHAT, ANTHROPIC}),
    "prompt_cache_breakpoint": frozenset({CHAT, RESPONSES}),
}
"""What callers add for some wires, and others refuse."""


def own(extra: Mapping[str, Any] | None, wire: str) -> dict[str, Any]:
    """Give what of an `extra` is for a wire."""
    if not extra:
        return {}
    mine = {name: value for name, value in extra.items() if _is_for(name, wire)}
    mine.update(extra.get(wire) or {})
    return mine


def is_foreign(extra: Mapping[str, Any] | None, wire: str) -> bool:
    """Say whether an `extra` was written by another wire, so that what it stands with is not for this one."""
    if not extra:
        return False
    others = WIRES - {wire}
    return any(name in others or (wire != CHAT and name in _OF_CHAT) for name in extra)


def _is_for(name: str, wire: str) -> bool:
    if name in WIRES:
        return False
    if name in _OF_CHAT:
        return wire == CHAT
    return wire in _MARKERS.get(name, WIRES)


def without_foreign(message: Message, wire: str, leave_out: LeaveOut) -> Message:
    """Give a message without what other wires wrote and only they understand; mostly the message itself."""
    if not is_foreign(message.extra, wire) and not any(_is_foreign_part(part, wire) for part in message.parts):
        return message
    parts = tuple(_own_parts(message, wire, leave_out))
    return replace(message, parts=parts, extra=own(message.extra, wire) or None)


def _is_foreign_part(part: Part, wire: str) -> bool:
    return part.wire != wire if isinstance(part, OpaquePart) else is_foreign(part.extra, wire)


def _own_parts(message: Message, wire: str, leave_out: LeaveOut) -> Iterator[Part]:
    for part in message.parts:
        if not _is_foreign_part(part, wire):
            yield part
        elif isinstance(part, OpaquePart):
            leave_out(part.kind)
        elif isinstance(part, ReasoningPart):
            leave_out("reasoning")
            yield ReasoningPart(part.text)
        elif message.role == "assistant" and isinstance(part, ImagePart | AudioPart | FilePart):
            leave_out("images in replies")
        elif not isinstance(part, TextPart) or part.text:  # an empty one was there for its signature
            yield replace(part, extra=own(part.extra, wire) or None)
