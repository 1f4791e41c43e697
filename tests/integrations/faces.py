"""The SDKs that people have, each asked in its own way: what a test says of one, it says of all."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import openai
from google import genai

from inferkit.integrations import async_http_client, http_client, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FACES", "TOOL", "Face", "empties_apart", "joined"]

PARAMETERS = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
TOOL = {"name": "find", "description": "Find an order.", "parameters": PARAMETERS}


@dataclass(frozen=True)
class Face:
    """One SDK on one of its APIs.

    `bare` makes its client for a server, plain or async, `under` the same on top of an inferkit client. `ask` makes a
    call with fields of its own, and gives what came as plain data: an object, or the events of a stream.
    """

    name: str
    bare: Callable[..., Any]
    under: Callable[..., Any]
    call: Callable[..., Any]
    tools: dict[str, Any]
    status_error: Any

    def __str__(self) -> str:
        return self.name

    def ask(self, sdk: Any, *, stream: bool = False, model: str = "m-1", **more: Any) -> Any:
        came = self.call(sdk, "Where is my order?", model, stream, more)
        return [_plain(event) for event in came] if stream else _plain(came)

    def ask_bare(self, url: str, *, stream: bool = False, **more: Any) -> Any:
        """Ask a server by the SDK alone."""
        with closing(self.bare(url)) as sdk:
            return self.ask(sdk, stream=stream, **more)

    async def ask_async(self, sdk: Any, *, stream: bool = False, model: str = "m-1", **more: Any) -> Any:
        came = await self.call(sdk, "Where is my order?", model, stream, more)
        return [_plain(event) async for event in came] if stream else _plain(came)


def _plain(answer: Any) -> Any:
    return answer.model_dump(exclude={"sdk_http_response"}, warnings=False, by_alias=False)


def _openai(url: str, *, is_async: bool = False, **more: Any) -> Any:
    return (openai.AsyncOpenAI if is_async else openai.OpenAI)(api_key="sk-test", base_url=url, **more)


def _anthropic(url: str, *, is_async: bool = False, **more: Any) -> Any:
    kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(api_key="sk-test", base_url=url.removesuffix("/v1"), **more)


def _genai(url: str, *, is_async: bool = False, timeout: float | None = None, **more: Any) -> Any:
    more |= {} if timeout is None else {"timeout": int(timeout * 1000)}
    client = genai.Client(api_key="sk-test", http_options={"base_url": url.removesuffix("/v1"), **more})
    return client.aio if is_async else client


def _wrapped(bare: Callable[..., Any]) -> Callable[..., Any]:
    return lambda url, llm, *, is_async=False, timeout=600, **more: wrap(
        bare(url, is_async=is_async, timeout=timeout), llm, **more
    )


def _genai_under(url: str, llm: Any, *, is_async: bool = False, timeout: float | None = None, **more: Any) -> Any:
    clients = {"httpx_client": http_client(llm, **more), "httpx_async_client": async_http_client(llm, **more)}
    return _genai(url, is_async=is_async, timeout=timeout, **clients)


def _chat(sdk: Any, text: str, model: str, stream: bool, more: dict[str, Any]) -> Any:
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    messages = [{"role": "user", "content": text}]
    return sdk.chat.completions.create(model=model, messages=messages, stream=stream, **usage, **more)


def _responses(sdk: Any, text: str, model: str, stream: bool, more: dict[str, Any]) -> Any:
    return sdk.responses.create(model=model, input=text, stream=stream, **more)


def _messages(sdk: Any, text: str, model: str, stream: bool, more: dict[str, Any]) -> Any:
    messages = [{"role": "user", "content": text}]
    return sdk.messages.create(model=model, messages=messages, max_tokens=500, stream=stream, **more)


def _content(sdk: Any, text: str, model: str, stream: bool, more: dict[str, Any]) -> Any:
    headers = more.pop("extra_headers", None)
    config = more | ({"http_options": {"headers": headers}} if headers else {})
    config["automatic_function_calling"] = {"disable": True}
    method = sdk.models.generate_content_stream if stream else sdk.models.generate_content
    return method(model=model, contents=text, config=config)


FACES = [
    Face(
        "chat", _openai, _wrapped(_openai), _chat, {"tools": [{"type": "function", "function": TOOL}]},
        openai.APIStatusError,
    ),
    Face("responses", _openai, _wrapped(_openai), _responses, {"tools": [{"type": "function", **TOOL}]},
         openai.APIStatusError),
    Face(
        "anthropic", _anthropic, _wrapped(_anthropic), _messages,
        {"tools": [{"name": "find", "description": "Find an order.", "input_schema": PARAMETERS}]},
        anthropic.APIStatusError,
    ),
    Face(
        "gemini", _genai, _genai_under, _content,
        {"tools": [{"function_declarations": [
            {"name": "find", "description": "Find an order.", "parameters_json_schema": PARAMETERS}]}]},
        genai.errors.APIError,
    ),
]  # fmt: skip
FACE = {face.name: face for face in FACES}

_OF_THE_HOUR = frozenset({"created", "created_at", "completed_at", "obfuscation", "sequence_number"})


def empties_apart(plain: Any) -> Any:
    """Leave out of an SDK's object what is nothing, and what no two answers have in common."""
    if isinstance(plain, dict):
        kept = {name: empties_apart(value) for name, value in plain.items() if name not in _OF_THE_HOUR}
        return {name: value for name, value in kept.items() if value not in (None, 0, "", [], {})}
    if isinstance(plain, list):
        return [empties_apart(each) for each in plain]
    return plain


def joined(face: Face, came: Any) -> dict[str, Any]:
    """Give what a reply says, streamed or whole: its text, its calls of functions, and the tokens it took."""
    return _JOINED[face.name](came if isinstance(came, list) else [came])


def _join_chat(events: list[dict[str, Any]]) -> dict[str, Any]:
    text, calls, usage, reason = "", {}, None, None
    for event in events:
        usage = event["usage"] or usage
        for choice in event["choices"]:
            said = choice.get("delta") or choice["message"]
            text += said["content"] or ""
            reason = choice["finish_reason"] or reason
            for place, call in enumerate(said["tool_calls"] or ()):
                name, arguments = calls.get(call.get("index", place), ("", ""))
                called = call["function"]
                calls[call.get("index", place)] = (name or called["name"], arguments + (called["arguments"] or ""))
    return _facts(text, calls.values(), usage and (usage["prompt_tokens"], usage["completion_tokens"]), reason)


def _join_responses(events: list[dict[str, Any]]) -> dict[str, Any]:
    whole = events[-1].get("response") or events[-1]
    texts = [part["text"] for item in whole["output"] if item["type"] == "message" for part in item["content"]]
    calls = [(item["name"], item["arguments"]) for item in whole["output"] if item["type"] == "function_call"]
    if len(events) > 1:
        deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == "".join(texts)
    usage = whole["usage"]
    return _facts("".join(texts), calls, (usage["input_tokens"], usage["output_tokens"]), whole["status"])


def _join_messages(events: list[dict[str, Any]]) -> dict[str, Any]:
    if len(events) == 1:
        blocks, usage, reason = events[0]["content"], events[0]["usage"], events[0]["stop_reason"]
    else:
        blocks, usage, reason = _blocks(events)
    text = "".join([block["text"] for block in blocks if block["type"] == "text"])
    calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    return _facts(text, calls, (usage["input_tokens"], usage["output_tokens"]), reason)


def _blocks(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    import json

    blocks, usage, reason = [], {}, ""
    for event in events:
        if event["type"] == "message_start":
            usage = dict(event["message"]["usage"])
        elif event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            blocks[-1]["text"] = (blocks[-1].get("text") or "") + (event["delta"].get("text") or "")
            blocks[-1]["json"] += event["delta"].get("partial_json") or ""
        elif event["type"] == "content_block_stop" and blocks[-1]["json"]:
            blocks[-1]["input"] = json.loads(blocks[-1]["json"])
        elif event["type"] == "message_delta":
            usage |= {name: value for name, value in event["usage"].items() if value is not None}
            reason = event["delta"]["stop_reason"]
    return blocks, usage, reason


def _join_content(events: list[dict[str, Any]]) -> dict[str, Any]:
    text, calls, usage, reason = "", [], None, None
    for event in events:
        usage = event["usage_metadata"] or usage
        for candidate in event["candidates"]:
            reason = candidate["finish_reason"] or reason
            for part in (candidate["content"] or {}).get("parts") or ():
                text += part["text"] or ""
                if part["function_call"]:
                    calls.append((part["function_call"]["name"], part["function_call"]["args"]))
    return _facts(text, calls, (usage["prompt_token_count"], usage["candidates_token_count"]), reason)


def _facts(text: str, calls: Any, usage: Any, reason: Any) -> dict[str, Any]:
    import json

    read = [(name, json.loads(given) if isinstance(given, str) else given) for name, given in calls]
    return {"text": text, "calls": read, "usage": usage, "ended": str(getattr(reason, "value", reason))}


_JOINED = {"chat": _join_chat, "responses": _join_responses, "anthropic": _join_messages, "gemini": _join_content}
