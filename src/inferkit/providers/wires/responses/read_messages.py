"""Input items of the Responses wire, read into messages.

What has no field of its own stays as it came, for this wire alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.extras import RESPONSES
from inferkit.providers.wires.payload import others
from inferkit.providers.wires.responses.content import extra_of, read_block, string
from inferkit.providers.wires.responses.write_messages import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.core.messages import Part

__all__ = ["CALLS", "is_own", "message_fields", "read_input", "read_message", "reasoning_part"]

CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
_SAID: dict[str, tuple[type[TextPart | RefusalPart], str]] = {
    "output_text": (TextPart, "text"),
    "refusal": (RefusalPart, "refusal"),
}
_RESULTS = {"function_call_output": "function", "custom_tool_call_output": "custom"}
_OF_OTHERS = frozenset({"mcp_approval_response", "compaction_trigger", "additional_tools", "configuration_update"})
_ITEMS = frozenset({"reasoning", "item_reference", "compaction"})
_BLOCKS = frozenset({"input_text", "input_image", "input_file", "output_text"})


def read_input(given: Any) -> tuple[Message, ...]:
    """Read the input of a request. What the model said in one go, item by item, is one message.

    Raises `ConfigurationError` where it is none.
    """
    if isinstance(given, str):
        return (Message("user", (TextPart(given),)),)
    if not isinstance(given, Sequence) or not given:
        raise ConfigurationError('the "input" of a request is a text, or a list with at least one item')
    return tuple(_grouped(given))


def _grouped(items: Sequence[Any]) -> Iterator[Message]:
    said: list[Part] = []
    custom: set[str] = set()
    for place, item in enumerate(items):
        message = read_message(item, place)
        if message.role == "assistant":
            said += message.parts
            custom.update(part.id for part in message.parts if isinstance(part, ToolCallPart) and part.kind == "custom")
            continue
        if said:
            yield Message("assistant", tuple(said))
            said = []
        yield _of_known(message, custom) if message.role == "tool" else message
    if said:
        yield Message("assistant", tuple(said))


def _of_known(message: Message, custom: set[str]) -> Message:
    """Leave out what kind of tool gave a result, where its call says it."""
    (part,) = message.parts
    if not isinstance(part, ToolResultPart) or part.id not in custom:
        return message
    more = others((part.extra or {}).get(RESPONSES) or {}, {"type"})
    return Message("tool", (ToolResultPart(part.id, part.content, extra={RESPONSES: more} if more else None),))


def is_own(given: Mapping[str, Any]) -> bool:
    """Say whether this is a message or an item in the form of this wire alone."""
    if "role" not in given:
        kind = given.get("type")
        return isinstance(kind, str) and (kind in _ITEMS or kind.endswith(("_call", "_call_output")))
    content = given.get("content")
    return isinstance(content, list) and any(
        isinstance(block, Mapping) and isinstance(block.get("type"), str) and block["type"] in _BLOCKS
        for block in content
    )


def read_message(given: Any, place: int) -> Message:
    """Read one item; `place` is where it stands. Raises `ConfigurationError` for what is none."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"item {place} is a {type(given).__name__}, and not an object")
    kind = given.get("type", "message")
    if not isinstance(kind, str):
        raise ConfigurationError(f'the "type" of item {place} is a text')
    try:
        if kind == "message":
            return _message(given, place)
        if kind in _RESULTS:
            return Message("tool", (_result(given),))
        if kind in CALLS:
            return Message("assistant", (_call(given),))
        if kind == "reasoning":
            return Message("assistant", (reasoning_part(given),))
        of_others = kind.endswith("_output") or kind in _OF_OTHERS
        return Message("user" if of_others else "assistant", (OpaquePart(kind, dict(given), RESPONSES),))
    except ConfigurationError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigurationError(f'item {place} is not in the form of "{kind}"') from None


def _message(given: Mapping[str, Any], place: int) -> Message:
    role: Any = given.get("role")
    content = given.get("content")
    if not isinstance(content, str) and (not isinstance(content, Sequence) or isinstance(content, bytes)):
        raise ConfigurationError(f'the "content" of item {place} is a text, or a list of parts')
    if role == "assistant":
        return Message("assistant", tuple(_words(given, [content] if isinstance(content, str) else content)))
    if role not in ("user", "system", "developer"):
        raise ConfigurationError(f'the "role" of item {place} is "user", "assistant", "system" or "developer"')
    parts = (TextPart(content),) if isinstance(content, str) else tuple(map(read_block, content))
    more = others(given, {"type", "role", "content"})
    if role == "developer":
        more["role"] = role
    return Message("user" if role == "user" else "system", parts, {RESPONSES: more} if more else None)


def _words(given: Mapping[str, Any], content: Sequence[Any]) -> Iterator[Part]:
    last = len(content) - 1
    for place, block in enumerate(content):
        about = message_fields(given, is_last=place == last)
        if isinstance(block, str):
            yield TextPart(block, {RESPONSES: {MESSAGE: about}} if about else None)
            continue
        kind, said = _SAID[block["type"]]
        more = {name: value for name, value in others(block, {"type", said}).items() if value != []}
        if about:
            more[MESSAGE] = about
        yield kind(string(block[said]), {RESPONSES: more} if more else None)


def message_fields(item: Mapping[str, Any], *, is_last: bool) -> dict[str, Any]:
    """Give what a message of the model's says of itself: its last part knows all, those before it whose they are."""
    if not is_last and item.get("id") is not None:
        return {"id": item["id"]}
    known = {"type", "role", "content"}
    return others(item, known if is_last else known | {"status"})


def reasoning_part(item: Mapping[str, Any]) -> ReasoningPart:
    """Read reasoning. Where its words alone do not say how they came, it keeps that besides."""
    fields = others(item, {"type", "summary", "content", "encrypted_content"})
    summary, content = item.get("summary") or [], item.get("content") or []
    text = "\n\n".join(filter(None, [string(each["text"]) for each in (*summary, *content)]))
    if content or summary not in ([], [{"type": "summary_text", "text": text}]):
        fields["summary"] = summary
    if content:
        fields["content"] = content
    seal = item.get("encrypted_content")
    return ReasoningPart(text, None if seal is None else string(seal), {RESPONSES: fields})


def _call(item: Mapping[str, Any]) -> ToolCallPart:
    kind, said = CALLS[item["type"]]
    extra = extra_of(item, {"type", "call_id", "name", said})
    return ToolCallPart(string(item["call_id"]), string(item["name"]), string(item[said]), extra, kind)


def _result(item: Mapping[str, Any]) -> ToolResultPart:
    output = item["output"]
    more = others(item, {"type", "call_id", "output"})
    texts = [output] if isinstance(output, str) else [each.get("text", "") for each in output]
    if not isinstance(output, str):
        more["output"] = list(output)
    if _RESULTS[item["type"]] == "custom":
        more["type"] = item["type"]
    return ToolResultPart(string(item["call_id"]), "".join(texts), extra={RESPONSES: more} if more else None)
