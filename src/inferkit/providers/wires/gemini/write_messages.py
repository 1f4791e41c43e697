"""From messages to the JSON of the Gemini wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.extras import GEMINI, is_foreign, own
from inferkit.providers.wires.gemini.calls import INVALID, is_made, object_of
from inferkit.providers.wires.gemini.media import write_medium

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.core.messages import Message, Part
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["SIGNATURE", "UNSIGNED", "is_plain", "write_call", "write_messages", "write_system", "write_words"]

SIGNATURE = "thoughtSignature"
UNSIGNED = "skip_thought_signature_validator"
"""What stands for the signature of a call that another model made, where one is demanded.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thought-signatures
"""


def write_system(messages: Iterable[Message]) -> dict[str, Any] | None:
    """Give what system messages say, wherever they stand: this wire has one place for it."""
    parts = []
    for message in messages:
        if message.role == "system":
            if not all(isinstance(part, TextPart) for part in message.parts):
                raise ConfigurationError("a system message holds text only; show images and files in a user message")
            parts += [write_words(part) for part in message.parts if isinstance(part, TextPart) and part.text]
    return {"parts": parts} if parts else None


def write_messages(messages: Sequence[Message], leave_out: LeaveOut, *, signed: bool) -> list[dict[str, Any]]:
    """Give the turns of a conversation; results of tools that follow each other are one.

    `signed` says that the model demands a signature on the first call of a turn. Raises `ConfigurationError` for what
    this wire has no place for. What another wire wrote and only that understands is left out, and `leave_out` is told
    what it is.
    """
    names = {part.id: part.name for one in messages for part in one.parts if isinstance(part, ToolCallPart)}
    turns: list[dict[str, Any]] = []
    results = False
    for message in messages:
        if message.role == "system":
            continue
        of_model = message.role == "assistant"
        parts = [
            written
            for part in message.parts
            for written in (_of_model(part, leave_out) if of_model else _of_user(part, names, leave_out))
        ]
        if not parts:
            continue
        if of_model and signed:
            _sign(parts)
        extra = own(message.extra, GEMINI)
        if results and message.role == "tool" and not extra:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": "model" if of_model else "user", "parts": parts, **extra})
        results = message.role == "tool" and not extra
    return turns


def _sign(parts: list[dict[str, Any]]) -> None:
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault(SIGNATURE, UNSIGNED)


def _of_user(part: Part, names: Mapping[str, str], leave_out: LeaveOut) -> Iterator[dict[str, Any]]:
    if isinstance(part, TextPart):
        if part.text or own(part.extra, GEMINI):
            yield write_words(part)
    elif isinstance(part, ToolResultPart):
        yield _result(part, names)
    elif isinstance(part, ImagePart | AudioPart | FilePart):
        yield {**write_medium(part, leave_out), **own(part.extra, GEMINI)}
    elif isinstance(part, OpaquePart):
        yield from _opaque(part, leave_out)
    else:
        raise ConfigurationError(f"a {type(part).__name__} belongs in assistant messages; use Message.assistant(...)")


def _of_model(part: Part, leave_out: LeaveOut) -> Iterator[dict[str, Any]]:
    if isinstance(part, TextPart | RefusalPart):
        if part.text or own(part.extra, GEMINI):
            yield write_words(part)
    elif isinstance(part, ToolCallPart):
        yield write_call(part)
    elif isinstance(part, ReasoningPart):
        if part.extra and GEMINI in part.extra:
            yield write_words(part)
        else:
            leave_out("reasoning")
    elif isinstance(part, OpaquePart):
        yield from _opaque(part, leave_out)
    elif isinstance(part, ToolResultPart):
        raise ConfigurationError("the result of a tool is a message of its own; use Message.tool(id, content)")
    elif is_foreign(part.extra, GEMINI):
        leave_out("images in replies")
    else:
        yield {**write_medium(part, leave_out), **own(part.extra, GEMINI)}


def write_words(part: TextPart | RefusalPart | ReasoningPart) -> dict[str, Any]:
    """Write a text, or a thought."""
    extra = own(part.extra, GEMINI)
    if not isinstance(part, ReasoningPart):
        return {"text": part.text, **extra}
    seal = {SIGNATURE: part.signature} if part.signature is not None else {}
    return {"text": part.text, "thought": True, **seal, **extra}


def write_call(part: ToolCallPart) -> dict[str, Any]:
    """Write a call, without its id where that was made here."""
    if part.kind == "custom":
        given: dict[str, Any] = {"input": part.arguments}
    else:
        found = object_of(part.arguments or "{}")
        given = {INVALID: part.arguments} if found is None else found
    named = {} if is_made(part.id) else {"id": part.id}
    extra = {**_signature_elsewhere(part), **own(part.extra, GEMINI)}
    return {"functionCall": {**named, "name": part.name, "args": given, **extra.pop("functionCall", {})}, **extra}


def _signature_elsewhere(part: ToolCallPart) -> dict[str, Any]:
    """Give the signature that came over Google's Chat Completions, which is the same one."""
    found: Any = (part.extra or {}).get("extra_content")
    for name in ("google", "thought_signature"):
        found = found.get(name) if isinstance(found, dict) else None
    return {SIGNATURE: found} if isinstance(found, str) else {}


def _opaque(part: OpaquePart, leave_out: LeaveOut) -> Iterator[dict[str, Any]]:
    if part.wire == GEMINI and isinstance(part.value, dict):
        yield part.value
    else:
        leave_out(part.kind)


def _result(part: ToolResultPart, names: Mapping[str, str]) -> dict[str, Any]:
    """Write a result. The wire wants the function's name, which the call has, and an object."""
    extra = own(part.extra, GEMINI)
    name = names.get(part.id)
    if name is None and "name" not in extra:
        raise ConfigurationError(
            "a message answers a tool call that is not in the conversation, and this provider needs the function's "
            "name; keep the assistant's message with the call before it"
        )
    named = {} if is_made(part.id) else {"id": part.id}
    outer = extra.pop("part", {})
    return {"functionResponse": {**named, "name": name, "response": _response(part), **extra}, **outer}


def _response(part: ToolResultPart) -> dict[str, Any]:
    if part.is_error:
        return {"error": part.content}
    given = object_of(part.content)
    if given is None or is_plain(given):
        return {"output": part.content}
    return given


def is_plain(response: Mapping[str, Any]) -> bool:
    """Say whether a response is one text, which went well or did not."""
    return (
        len(response) == 1
        and isinstance(next(iter(response.values())), str)
        and not response.keys().isdisjoint({"output", "error"})
    )
