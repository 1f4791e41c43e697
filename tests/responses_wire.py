"""Recorded events and replies of the Responses wire, for tests."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["HELLO", "USAGE", "call", "event", "message", "reasoning", "response", "said", "stream", "text"]

USAGE = {
    "input_tokens": 25,
    "input_tokens_details": {
        "cached_tokens": 12,
        "cache_write_tokens": 5,
        "cache_write_tokens_details": {"ttl_30m_tokens": 2, "ttl_12h_tokens": 3},
    },
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 34,
}


def event(content: dict[str, Any]) -> bytes:
    """Write one event as OpenAI's servers do."""
    return b"event: %s\ndata: %s\n\n" % (content["type"].encode(), json.dumps(content, ensure_ascii=False).encode())


def text(words: str = "Hello", **more: Any) -> dict[str, Any]:
    """Make a text of a message."""
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": [], **more}


def message(*content: dict[str, Any], id: str = "msg_1", **more: Any) -> dict[str, Any]:  # noqa: A002 - the wire's name
    """Make a message that is whole."""
    head = {"id": id, "type": "message", "status": "completed", "role": "assistant"}
    return {**head, "content": list(content or (text(),)), **more}


def reasoning(*summaries: str, id: str = "rs_1", **more: Any) -> dict[str, Any]:  # noqa: A002 - the wire's name
    """Make reasoning that is whole."""
    summary = [{"type": "summary_text", "text": each} for each in summaries]
    return {"id": id, "type": "reasoning", "summary": summary, "encrypted_content": "c2VhbA==", **more}


def call(name: str = "find", arguments: str = '{"id": 7}', number: int = 1, **more: Any) -> dict[str, Any]:
    """Make a call of a function that is whole."""
    head = {"id": f"fc_{number}", "type": "function_call", "status": "completed"}
    return {**head, "call_id": f"call_{number}", "name": name, "arguments": arguments, **more}


def response(*output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """Make a whole reply."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": "Be brief.",
        "metadata": {},
        "model": "gpt-5-mini-2026-01",
        "output": list(output or (message(),)),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "service_tier": "default",
        "usage": USAGE,
        **more,
    }


def said(*output: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the events that items come in."""
    return [each for place, item in enumerate(output) for each in _of_item(place, item)]


def stream(*output: dict[str, Any], status: str = "completed", **more: Any) -> list[dict[str, Any]]:
    """Make the events of a whole stream."""
    whole = response(*output, status=status, **more)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *said(*whole["output"]),
        {"type": f"response.{status}", "response": whole},
    ]
    return [{**each, "sequence_number": number} for number, each in enumerate(events)]


def _of_item(place: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    at = {"item_id": item.get("id"), "output_index": place}
    begun: dict[str, Any] = item
    middle: list[dict[str, Any]] = []
    if item["type"] == "message":
        begun = {**item, "status": "in_progress", "content": []}
        for index, part in enumerate(item["content"]):
            middle += _of_part({**at, "content_index": index}, part)
    elif item["type"] == "reasoning":
        begun = {**item, "summary": [], "encrypted_content": None}
        for index, part in enumerate(item["summary"]):
            where = {**at, "summary_index": index}
            middle.append({"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}})
            middle += [
                {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
                for piece in _pieces(part["text"])
            ]
            middle.append({"type": "response.reasoning_summary_text.done", **where, "text": part["text"]})
            middle.append({"type": "response.reasoning_summary_part.done", **where, "part": part})
        for index, part in enumerate(item.get("content") or ()):
            where = {**at, "content_index": index}
            middle += [
                {"type": "response.reasoning_text.delta", **where, "delta": piece} for piece in _pieces(part["text"])
            ]
    elif item["type"] in {"function_call", "custom_tool_call"}:
        name, kind = (
            ("arguments", "function_call_arguments")
            if item["type"] == "function_call"
            else ("input", "custom_tool_call_input")
        )
        begun = {**item, name: "", **({"status": "in_progress"} if "status" in item else {})}
        middle += [{"type": f"response.{kind}.delta", **at, "delta": piece} for piece in _pieces(item[name])]
        middle.append({"type": f"response.{kind}.done", **at, name: item[name]})
    return [
        {"type": "response.output_item.added", "output_index": place, "item": begun},
        *middle,
        {"type": "response.output_item.done", "output_index": place, "item": item},
    ]


def _of_part(where: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    if part["type"] == "refusal":
        return [
            {"type": "response.content_part.added", **where, "part": {**part, "refusal": ""}},
            *[{"type": "response.refusal.delta", **where, "delta": piece} for piece in _pieces(part["refusal"])],
            {"type": "response.refusal.done", **where, "refusal": part["refusal"]},
            {"type": "response.content_part.done", **where, "part": part},
        ]
    if part["type"] != "output_text":
        return [{"type": f"response.content_part.{what}", **where, "part": part} for what in ("added", "done")]
    return [
        {"type": "response.content_part.added", **where, "part": text("")},
        *[
            {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": [], "obfuscation": "aZ09"}
            for piece in _pieces(part["text"])
        ],
        *[
            {
                "type": "response.output_text.annotation.added",
                **where,
                "annotation_index": number,
                "annotation": annotation,
            }
            for number, annotation in enumerate(part["annotations"])
        ],
        {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": part["logprobs"]},
        {"type": "response.content_part.done", **where, "part": part},
    ]


def _pieces(words: str) -> list[str]:
    half = (len(words) + 1) // 2
    return [piece for piece in (words[:half], words[half:]) if piece]


HELLO = stream()
