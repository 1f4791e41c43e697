"""Requests and recorded replies for the adapter's tests."""

from __future__ import annotations

from typing import Any

from inferkit.core.messages import Message
from inferkit.core.record import CallRecord
from inferkit.core.request import Request
from inferkit.runtime import clock
from wire import event


def ask(runtime: Any, *messages: Message, stream: bool = True, **fields: Any) -> Request:
    """Make a request as the client would."""
    fields.setdefault("model", "gpt-5-mini")
    return Request(
        messages=messages or (Message.user("Where is my order?"),),
        runtime=runtime,
        record=CallRecord(clock),
        stream=stream,
        **fields,
    )


def delta(text: str | None = None, *, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make one event of a recorded stream."""
    if text is not None:
        fields["content"] = text
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-5-mini-2026-01",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish}],
        "usage": None,
        "obfuscation": "aZ09",
    }


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 12},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
USAGE_EVENT = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}

HELLO = [event(delta("Hel")), event(delta("lo", finish="stop")), event(USAGE_EVENT), event("[DONE]")]


def completion(text: str = "It is on its way.", **message: Any) -> dict[str, Any]:
    """Make a whole reply."""
    return {
        "id": "chatcmpl-2",
        "object": "chat.completion",
        "model": "gpt-5-mini-2026-01",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }
