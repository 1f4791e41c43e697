"""From messages to the input items of the Responses wire.

https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.extras import RESPONSES, own, without_foreign
from inferkit.providers.wires.payload import others
from inferkit.providers.wires.responses.content import is_block, write_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from inferkit.core.messages import Message
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["MESSAGE", "words_block", "write_call", "write_input", "write_instructions", "write_reasoning"]

MESSAGE = "message"
"""Where a part of a reply keeps what its whole message says of itself, its id for one."""

_LONGEST_ID = 64


def write_instructions(messages: Sequence[Message]) -> tuple[str | None, Sequence[Message]]:
    """Give what a system message at the beginning says, if there is one, and the rest of the conversation."""
    first = messages[0]
    part = first.parts[0] if len(first.parts) == 1 else None
    plain = isinstance(part, TextPart) and not own(part.extra, RESPONSES) and not own(first.extra, RESPONSES)
    if first.role != "system" or len(messages) == 1 or not plain or not isinstance(part, TextPart):
        return None, messages
    return part.text, messages[1:]


def write_input(messages: Iterable[Message], leave_out: LeaveOut, *, stored: bool = False) -> list[dict[str, Any]]:
    """Give the items of a conversation, in their order.

    `stored` says that the provider keeps what it says, and finds reasoning by its id. Raises `NotTakenError` and
    `ConfigurationError` for what this wire has no place for. What another wire wrote and only that understands is left
    out, and `leave_out` is told what it is.
    """
    items: list[dict[str, Any]] = []
    custom: set[str] = set()
    for given in messages:
        message = without_foreign(given, RESPONSES, leave_out)
        if message.role == "assistant":
            custom.update(part.id for part in message.parts if isinstance(part, ToolCallPart) and part.kind == "custom")
            items += _of_model(message, leave_out, stored=stored)
        else:
            items += _of_user(message, custom)
    return items


def _of_user(message: Message, custom: set[str]) -> Iterator[dict[str, Any]]:
    extra = own(message.extra, RESPONSES)
    role = "system" if message.role == "system" else "user"
    blocks: list[dict[str, Any]] = []

    def said() -> Iterator[dict[str, Any]]:
        if blocks:
            yield {"role": role, "content": _shortest(blocks, "input_text"), **extra}
            blocks.clear()

    for part in message.parts:
        if isinstance(part, ToolResultPart):
            yield from said()
            yield _result(part, custom) | extra
        elif isinstance(part, OpaquePart) and not is_block(part):
            yield from said()
            yield dict(part.value)
        elif role == "system" and not isinstance(part, TextPart | OpaquePart):
            raise ConfigurationError("a system message holds text only; show images and files in a user message")
        else:
            blocks.append(write_block(part))
    yield from said()


def _result(part: ToolResultPart, custom: set[str]) -> dict[str, Any]:
    kind = "custom_tool_call_output" if part.id in custom else "function_call_output"
    return {"type": kind, "call_id": _id(part.id), "output": part.content, **own(part.extra, RESPONSES)}


class _MessageOfWords:
    """The texts and refusals that one message of the model's holds, as far as they are together."""

    def __init__(self, extra: dict[str, Any]) -> None:
        self._extra = extra
        self._blocks: list[dict[str, Any]] = []
        self._about: dict[str, Any] = {}

    def add(self, part: TextPart | RefusalPart) -> Iterator[dict[str, Any]]:
        """Take a part; give the message before it, where that is another one."""
        extra = own(part.extra, RESPONSES)
        about = extra.pop(MESSAGE, None) or {}
        if self._blocks and not _is_one(about, self._about):
            yield from self.end()
        self._about |= about
        self._blocks.append(words_block(part, extra))

    def end(self) -> Iterator[dict[str, Any]]:
        """Give the message."""
        blocks, about, extra = self._blocks, self._about, self._extra
        self._blocks, self._about = [], {}
        if not blocks:
            return
        if "id" not in about:
            yield {"role": "assistant", "content": _shortest(blocks, "output_text"), **about, **extra}
            return
        for block in blocks:
            if block["type"] == "output_text":
                block.setdefault("annotations", [])
        head = {"type": "message", "role": "assistant", "content": blocks}
        yield {**head, "status": "completed", **about, **extra}


def _is_one(about: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether words belong to one message, by what it says of itself; of how it ended, its last ones know."""
    if "id" in about or "id" in other:
        return about.get("id") == other.get("id")
    return others(about, {"status"}) == others(other, {"status"})


def words_block(part: TextPart | RefusalPart, extra: dict[str, Any]) -> dict[str, Any]:
    """Write what the model said, within its message."""
    if isinstance(part, TextPart):
        return {"type": "output_text", "text": part.text, **extra}
    return {"type": "refusal", "refusal": part.text, **extra}


def _of_model(message: Message, leave_out: LeaveOut, *, stored: bool) -> Iterator[dict[str, Any]]:
    words = _MessageOfWords(own(message.extra, RESPONSES))
    for part in message.parts:
        if isinstance(part, TextPart | RefusalPart):
            yield from words.add(part)
            continue
        yield from words.end()
        if isinstance(part, ToolCallPart):
            yield write_call(part)
        elif isinstance(part, ReasoningPart):
            if _goes_back(part, stored=stored):
                yield write_reasoning(part)
            else:
                leave_out("reasoning")
        elif isinstance(part, OpaquePart):
            yield dict(part.value)
        elif isinstance(part, ImagePart):
            leave_out("images in replies")
        else:
            raise ConfigurationError("this provider takes results, sound and files in messages of others only")
    yield from words.end()


def write_call(part: ToolCallPart) -> dict[str, Any]:
    """Write a call of a tool."""
    kind, said = ("custom_tool_call", "input") if part.kind == "custom" else ("function_call", "arguments")
    called = {"type": kind, "call_id": _id(part.id), "name": part.name, said: part.arguments}
    return called | own(part.extra, RESPONSES)


def write_reasoning(part: ReasoningPart) -> dict[str, Any]:
    """Write reasoning as it came; the words of one summary are those of the part."""
    item: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": part.text}]}
    if not part.text:
        item["summary"] = []
    if part.signature is not None:
        item["encrypted_content"] = part.signature
    return item | own(part.extra, RESPONSES)


def _goes_back(part: ReasoningPart, *, stored: bool) -> bool:
    """Say whether the provider understands this reasoning: its own, encrypted, in full, or kept by itself."""
    extra = part.extra or {}
    return part.signature is not None or (RESPONSES in extra and (stored or "content" in extra[RESPONSES]))


def _shortest(blocks: list[dict[str, Any]], kind: str) -> str | list[dict[str, Any]]:
    """Give one plain text as a string."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == kind:
        text: str = blocks[0]["text"]
        return text
    return list(blocks)


def _id(id_: str) -> str:
    """Give a call's id as the wire takes it; one that is too long for it is made anew, always the same."""
    if len(id_) <= _LONGEST_ID:
        return id_
    return f"call_{blake2b(id_.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"
