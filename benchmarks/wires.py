"""What each wire's server sends, ready-made: a whole reply, and a stream of text, as the providers write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EVENTS", "INPUT_TOKENS", "MODEL", "SPOKEN", "Spoken", "chat_stream", "chat_whole"]

EVENTS = 400
"""Pieces of text in a stream."""

INPUT_TOKENS = 20
MODEL = "gpt-4o-mini"
_TEXT = "Your order left the warehouse this morning and arrives on Thursday. Is there anything else? "
_WORDS = [f"{word} " for word in _TEXT.split()]
_CREATED = 1760000000


def _line(content: Any, *, end: bytes = b"\n\n", padding: str = "") -> bytes:
    written = json.dumps(content)
    return b"data: " + f"{written[:-1]}{padding}{written[-1]}".encode() + end


def _named(content: dict[str, Any], padding: str = "") -> bytes:
    return f"event: {content['type']}\n".encode() + _line(content, padding=padding)


def _word(number: int) -> str:
    return _WORDS[number % len(_WORDS)]


def _chat_usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": output, "total_tokens": INPUT_TOKENS + output}


def _chat_event(delta: dict[str, str], *, finish: str | None = None, **more: Any) -> bytes:
    return _line(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": MODEL,
            "system_fingerprint": "fp_0000000000",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            **more,
        }
    )


def chat_stream(events: int, output: int) -> list[bytes]:
    """Give the events of a Chat Completions stream; the last of `events` says that it is over, and `[DONE]` follows."""
    texts = [_chat_event({"content": _word(number)}) for number in range(events - 1)]
    return [*texts, _chat_event({}, finish="stop", usage=_chat_usage(output)), b"data: [DONE]\n\n"]


def chat_whole(output: int) -> dict[str, Any]:
    """Give a whole Chat Completions reply."""
    message = {"role": "assistant", "content": _TEXT * 4}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": _CREATED,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _chat_usage(output),
    }


def _responses_whole() -> dict[str, Any]:
    text = {"type": "output_text", "text": _TEXT * 4, "annotations": [], "logprobs": []}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED,
        "status": "completed",
        "model": MODEL,
        "output": [
            {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]},
        ],
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": EVENTS, "total_tokens": INPUT_TOKENS + EVENTS},
    }


def _responses_stream() -> list[bytes]:
    whole = _responses_whole()
    (message,) = whole["output"]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {**message["content"][0], "text": ""}
    texts = [
        {
            "type": "response.output_text.delta",
            **where,
            "delta": _word(number),
            "logprobs": [],
            "obfuscation": "aZ09xYbQ2m"[: 10 - len(_word(number)) % 10],
        }
        for number in range(EVENTS)
    ]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
        {"type": "response.content_part.added", **where, "part": part},
        *texts,
        {"type": "response.content_part.done", **where, "part": message["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": whole},
    ]
    return [_named({**event, "sequence_number": number}) for number, event in enumerate(events)]


def _anthropic_whole() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-20250514",
        "content": [{"type": "text", "text": _TEXT * 4}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": EVENTS},
    }


def _anthropic_stream() -> list[bytes]:
    whole = _anthropic_whole()
    begun = {**whole, "content": [], "stop_reason": None, "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 1}}
    texts: list[dict[str, Any]] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _word(number)}}
        for number in range(EVENTS)
    ]
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        _named({"type": "message_start", "message": begun}),
        _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        *[_named(text, " " * (number % 12)) for number, text in enumerate(texts)],
        _named({"type": "content_block_stop", "index": 0}),
        _named({"type": "message_delta", "delta": ended, "usage": {"output_tokens": EVENTS}}),
        _named({"type": "message_stop"}),
    ]


def _gemini_reply(text: str, output: int, **more: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}],
        "usageMetadata": {
            "promptTokenCount": INPUT_TOKENS,
            "candidatesTokenCount": output,
            "totalTokenCount": INPUT_TOKENS + output,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": INPUT_TOKENS}],
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "kT2bZ9-aMc",
    }


def _gemini_stream() -> list[bytes]:
    texts = [_gemini_reply(_word(number), number + 1) for number in range(EVENTS - 1)]
    last = _gemini_reply(_word(EVENTS - 1), EVENTS, finishReason="STOP")
    return [_line(event, end=b"\r\n\r\n") for event in [*texts, last]]


class Spoken(NamedTuple):
    """How one wire's server is spoken to, and what it says.

    `path` stands for a stream where `streamed_path` is not another one, and `adapter` is the name of the class in
    `inferkit`; `payload` is what is posted besides the question.
    """

    adapter: str
    base: str
    path: str
    model: str
    whole: Callable[[], dict[str, Any]]
    stream: Callable[[], list[bytes]]
    streamed_path: str | None = None


SPOKEN = {
    "chat": Spoken(
        "OpenAIChat",
        "/v1",
        "/chat/completions",
        MODEL,
        lambda: chat_whole(EVENTS),
        lambda: chat_stream(EVENTS, EVENTS),
    ),
    "responses": Spoken("OpenAIResponses", "/v1", "/responses", MODEL, _responses_whole, _responses_stream),
    "anthropic": Spoken(
        "Anthropic", "/v1", "/messages", "claude-sonnet-4-20250514", _anthropic_whole, _anthropic_stream
    ),
    "gemini": Spoken(
        "Gemini",
        "/v1beta",
        "/models/gemini-2.5-flash:generateContent",
        "gemini-2.5-flash",
        lambda: _gemini_reply(_TEXT * 4, EVENTS, finishReason="STOP"),
        _gemini_stream,
        "/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    ),
}
"""By the name of the wire."""
