"""Recorded events and replies of the Anthropic wire, for tests."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["HELLO", "USAGE", "delta", "event", "message", "start", "stop", "stream"]

USAGE = {
    "input_tokens": 8,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 12,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
    "output_tokens": 1,
    "service_tier": "standard",
}


def event(content: dict[str, Any]) -> bytes:
    """Write one event as Anthropic's servers do."""
    return b"event: %s\ndata: %s\n\n" % (content["type"].encode(), json.dumps(content, ensure_ascii=False).encode())


def begin(**fields: Any) -> dict[str, Any]:
    """Make the first event of a stream."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929"}
    body = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": USAGE}
    return {"type": "message_start", "message": head | body | fields}


def start(index: int, **block: Any) -> dict[str, Any]:
    """Make the event that begins a block."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    """Make an event with a piece of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    """Make the event that ends a block."""
    return {"type": "content_block_stop", "index": index}


def ending(reason: str = "end_turn", *, output: int = 9, **usage: Any) -> list[dict[str, Any]]:
    """Make the events that end a reply."""
    said = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": said, "usage": {"output_tokens": output, **usage}},
        {"type": "message_stop"},
    ]


def stream(*events: dict[str, Any], reason: str = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    """Make the events of a whole stream around those of its blocks."""
    return [begin(), *events, *ending(reason, **usage)]


HELLO = stream(
    start(0, type="text", text=""),
    {"type": "ping"},
    delta(0, "text_delta", text="Hel"),
    delta(0, "text_delta", text="lo"),
    stop(0),
)


def message(*blocks: dict[str, Any], reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    """Make a whole reply."""
    return {
        "id": "msg_2",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": list(blocks or ({"type": "text", "text": "It is on its way."},)),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {**USAGE, "output_tokens": 9, **usage},
    }
