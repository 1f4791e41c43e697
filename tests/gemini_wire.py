"""Recorded events and replies of the Gemini wire, for tests."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["CALL", "HELLO", "SIGNED", "USAGE", "answer", "event", "says"]

USAGE = {
    "promptTokenCount": 25,
    "cachedContentTokenCount": 12,
    "candidatesTokenCount": 6,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 34,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 25}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
}
SIGNED = "c2VhbA=="
CALL = {"functionCall": {"name": "find", "args": {"id": 7}}, "thoughtSignature": SIGNED}


def event(content: Any) -> bytes:
    """Write one event as Google's servers do."""
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\r\n\r\n"


def says(*parts: dict[str, Any] | str, finish: str | None = None, usage: Any = None, **fields: Any) -> dict[str, Any]:
    """Make one event of a stream, or with a finish, a whole reply; a text stands for its part."""
    written = [{"text": part} if isinstance(part, str) else part for part in parts]
    candidate: dict[str, Any] = {"content": {"parts": written, "role": "model"}, "index": 0, **fields}
    if finish is not None:
        candidate["finishReason"] = finish
    content = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1"}
    return content if usage is None else content | {"usageMetadata": usage}


def answer(*parts: dict[str, Any] | str, finish: str = "STOP", **fields: Any) -> dict[str, Any]:
    """Make a whole reply."""
    return says(*(parts or ("It is on its way.",)), finish=finish, usage=USAGE, **fields)


HELLO = [
    says("Hel", usage={"promptTokenCount": 25, "candidatesTokenCount": 2, "totalTokenCount": 27}),
    says("lo"),
    says(finish="STOP", usage=USAGE),
]
