"""What inferkit's reply is in LangChain's words, whole and piece by piece."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from inferkit.core.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from inferkit.integrations.asking import PRIVATE, facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Part
    from inferkit.core.reply import Reply

__all__ = ["Pieces", "as_message", "last_piece"]


def as_message(reply: Reply) -> AIMessage:
    """Give a whole reply."""
    parts = reply.message.parts
    blocks = [block for part in parts for block in _blocks(part)]
    plain = len(blocks) <= 1 and all(block["type"] == "text" for block in blocks)
    calls, wrong = [], []
    for call in reply.tool_calls:
        arguments = _read(call.arguments)
        if isinstance(arguments, dict):
            calls.append(tool_call(name=call.name, args=arguments, id=call.id))
        else:
            wrong.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error="no JSON object"))
    return AIMessage(
        content="".join([block["text"] for block in blocks]) if plain else blocks,  # type: ignore[arg-type]
        tool_calls=calls,
        invalid_tool_calls=wrong,
        usage_metadata=_usage(reply),
        response_metadata=_facts(reply),
        additional_kwargs=_kept(parts),
        id=f"run-{reply.id}",
    )


class Pieces:
    """A reply that comes piece by piece. A plain text comes as texts; from the first other thing on, blocks come."""

    def __init__(self) -> None:
        self._kind = ""
        self._number = -1

    def read(self, chunk: Chunk) -> ChatGenerationChunk | None:
        """Give what a chunk brings: reasoning, text, parts, which seal what came before, and calls; else None."""
        blocks: list[dict[str, Any]] = []
        if chunk.reasoning:
            blocks.append({"type": "reasoning", "reasoning": chunk.reasoning, "index": self._run("reasoning")})
        if chunk.text:
            blocks.append({"type": "text", "text": chunk.text, "index": self._run("text")})
        for part in chunk.parts:
            blocks += self._sealing(part)
        calls = [
            tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index)
            for call in chunk.tool_calls
        ]
        if not blocks and not calls:
            return None
        if self._number <= 0 and all(block["type"] == "text" for block in blocks):
            text = "".join([block["text"] for block in blocks])
            message = AIMessageChunk(content=text, tool_call_chunks=calls)
        else:
            message = AIMessageChunk(content=blocks, tool_call_chunks=calls)  # type: ignore[arg-type]
        return ChatGenerationChunk(message=message)

    def _sealing(self, part: Part) -> Iterator[dict[str, Any]]:
        if isinstance(part, TextPart | RefusalPart) and not part.text:  # its seal comes with the last piece
            self._kind = "" if part.extra is not None else self._kind
            return
        for block in _blocks(part):
            kind = block["type"]
            yield {**block, "index": self._run(kind)}
            if kind != "text":
                self._kind = ""

    def _run(self, kind: str) -> int:
        """Give the number of the block that these go on with: words of one kind that follow each other are one."""
        if self._kind != kind:
            self._kind = kind
            self._number += 1
        return self._number


def last_piece(reply: Reply) -> ChatGenerationChunk:
    """Give the end of a streamed reply, which tells about the whole."""
    message = AIMessageChunk(
        content="",
        usage_metadata=_usage(reply),
        response_metadata=_facts(reply),
        additional_kwargs=_kept(reply.message.parts),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message, generation_info={"finish_reason": reply.finish_reason})


def _blocks(part: Part) -> Iterator[dict[str, Any]]:
    """Give a part as one of LangChain's standard blocks, with what only its provider understands."""
    if isinstance(part, TextPart | RefusalPart):
        if part.text:
            yield {"type": "text", "text": part.text}
    elif isinstance(part, ReasoningPart):
        yield {"type": "reasoning", "reasoning": part.text, **_extras(part.extra, part.signature)}
    elif isinstance(part, ImagePart | AudioPart | FilePart) and part.data is not None:
        kind = "image" if isinstance(part, ImagePart) else "audio" if isinstance(part, AudioPart) else "file"
        yield {"type": kind, "base64": b64encode(part.data).decode(), "mime_type": part.media_type}
    elif isinstance(part, ImagePart):
        yield {"type": "image", "url": part.url}


def _extras(extra: Any, signature: str | None = None) -> dict[str, Any]:
    extras: dict[str, Any] = {} if signature is None else {"signature": signature}
    if extra is not None:
        extras[PRIVATE] = dict(extra)
    return {"extras": extras} if extras else {}


def _kept(parts: Sequence[Part]) -> dict[str, Any]:
    """Give what has no place in LangChain's forms, and goes back to its provider with the message."""
    calls = {part.id: dict(part.extra) for part in parts if isinstance(part, ToolCallPart) and part.extra}
    opaque = [
        [place, part.kind, part.value, part.wire] for place, part in enumerate(parts) if isinstance(part, OpaquePart)
    ]
    kept: dict[str, Any] = {**({"calls": calls} if calls else {}), **({"opaque": opaque} if opaque else {})}
    texts = [part.extra for part in parts if isinstance(part, TextPart | RefusalPart) and part.text]
    if any(texts):
        kept["texts"] = [extra and dict(extra) for extra in texts]
    sealed = any(isinstance(part, ReasoningPart) for part in parts)
    return {PRIVATE: kept} if kept or sealed else {}


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None


def _usage(reply: Reply) -> UsageMetadata:
    usage = reply.usage
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(
            cache_read=usage.cache_read_tokens, cache_creation=usage.cache_write_tokens
        ),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


def _facts(reply: Reply) -> dict[str, Any]:
    names = {"model_name": reply.model, "model_provider": PRIVATE, "finish_reason": reply.finish_reason}
    return {**names, PRIVATE: facts_of(reply)}
