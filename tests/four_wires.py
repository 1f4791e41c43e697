"""What a server says on each of the four wires, whole or streamed as the request asks, and the adapter to hear it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic_wire
import gemini_wire
import responses_wire
from chat_wire import completion, delta
from inferkit import Anthropic, Gemini, OpenAIChat, OpenAIResponses
from wire import SSE_HEAD, UNTIL_CLOSED, chunked, event, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wire import Received

__all__ = ["NAMES", "adapter", "answer", "messages_of"]

PIECE = 9  # characters of a streamed text that come at once


@dataclass(frozen=True)
class _Said:
    """What a reply says: a text, or calls of functions, as their names and arguments, with the tokens they took."""

    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    input: int
    output: int

    @property
    def pieces(self) -> list[str]:
        return [self.text[at : at + PIECE] for at in range(0, len(self.text), PIECE)]


def _chat(said: _Said, *, stream: bool) -> dict[str, Any] | list[bytes]:
    calls = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for place, (name, arguments) in enumerate(said.calls)
    ]
    reason = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": said.input, "completion_tokens": said.output, "total_tokens": said.input + said.output}
    if stream:
        pieces = [delta(piece) for piece in said.pieces]
        pieces += [delta(tool_calls=[{**call, "index": place}]) for place, call in enumerate(calls)]
        last = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage}
        return [*map(event, [*pieces, delta(finish=reason), last]), event("[DONE]")]
    whole = completion(said.text, **({"tool_calls": calls} if calls else {}))
    whole["choices"][0]["finish_reason"] = reason
    return whole | {"usage": usage}


def _anthropic(said: _Said, *, stream: bool) -> dict[str, Any] | list[bytes]:
    reason = "tool_use" if said.calls else "end_turn"
    usage = {
        "input_tokens": said.input, "output_tokens": said.output, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0, "cache_creation": None,
    }  # fmt: skip
    calls = [
        {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": arguments}
        for place, (name, arguments) in enumerate(said.calls)
    ]
    if not stream:
        texts = [{"type": "text", "text": said.text}] if said.text else []
        return anthropic_wire.message(*texts, *calls, reason=reason, **usage)
    events = []
    if said.text:
        events += [
            anthropic_wire.start(0, type="text", text=""),
            *[anthropic_wire.delta(0, "text_delta", text=piece) for piece in said.pieces],
            anthropic_wire.stop(0),
        ]
    for place, call in enumerate(calls, start=bool(said.text)):
        events += [
            anthropic_wire.start(place, **{**call, "input": {}}),
            anthropic_wire.delta(place, "input_json_delta", partial_json=json.dumps(call["input"])),
            anthropic_wire.stop(place),
        ]
    begin = anthropic_wire.begin(usage={**usage, "output_tokens": 1})
    ends = anthropic_wire.ending(reason, output=said.output)
    return [anthropic_wire.event(each) for each in (begin, *events, *ends)]


def _gemini(said: _Said, *, stream: bool) -> dict[str, Any] | list[bytes]:
    calls = [{"functionCall": {"name": name, "args": arguments}} for name, arguments in said.calls]
    usage = {
        "promptTokenCount": said.input, "candidatesTokenCount": said.output,
        "totalTokenCount": said.input + said.output,
    }  # fmt: skip
    texts = said.pieces if stream else [said.text] if said.text else []
    parts: list[Any] = [*texts, *calls]
    if not stream:
        return gemini_wire.says(*parts, finish="STOP", usage=usage)
    events = [*map(gemini_wire.says, parts[:-1]), gemini_wire.says(*parts[-1:], finish="STOP", usage=usage)]
    return [gemini_wire.event(each) for each in events]


def _responses(said: _Said, *, stream: bool) -> dict[str, Any] | list[bytes]:
    output = [responses_wire.message(responses_wire.text(said.text))] if said.text else []
    output += [responses_wire.call(name, json.dumps(arguments), place) for place, (name, arguments) in
               enumerate(said.calls)]  # fmt: skip
    usage = {
        "input_tokens": said.input, "output_tokens": said.output, "total_tokens": said.input + said.output,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    if not stream:
        return responses_wire.response(*output, usage=usage)
    events = []
    for each in responses_wire.stream(*output, usage=usage):
        if each["type"] != "response.output_text.delta":
            events.append(each)
        elif each["delta"] == said.text[: len(each["delta"])]:  # the first of its two halves
            events += [{**each, "delta": piece} for piece in said.pieces]
    return [responses_wire.event(each) for each in events]


_WIRES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "chat": (_chat, OpenAIChat),
    "responses": (_responses, OpenAIResponses),
    "anthropic": (_anthropic, Anthropic),
    "gemini": (_gemini, Gemini),
}
NAMES = list(_WIRES)


def adapter(name: str, url: str, **options: Any) -> Any:
    """Give what speaks a wire with the server at an address."""
    return _WIRES[name][1](base_url=url, api_key="sk-test", **options)


def answer(
    name: str,
    received: Received,
    text: str = "",
    *calls: tuple[str, dict[str, Any]],
    tokens: tuple[int, int] = (20, 9),
    half: bool = False,
) -> Iterator[Any]:
    """Answer a request with a text, calls of functions, or both. A stream of `half` of it waits there to be closed."""
    stream = b'"stream": true' in received.body or b'"stream":true' in received.body or ":stream" in received.line
    said = _WIRES[name][0](_Said(text, calls, *tokens), stream=stream)
    if not stream:
        yield reply(said)
        return
    yield SSE_HEAD
    for piece in said[: len(said) // 2] if half else said:
        yield chunked(piece)
    yield UNTIL_CLOSED if half else chunked(b"")


def messages_of(name: str, sent: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the conversation in a request."""
    found: list[dict[str, Any]] = sent[{"gemini": "contents", "responses": "input"}.get(name, "messages")]
    return found
