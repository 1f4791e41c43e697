"""What inferkit's reply is in Pydantic AI's words, whole and piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai.messages import (
    BinaryContent,
    FilePart,
    ModelResponse,
    TextPart as TheirText,
    ThinkingPart,
    ToolCallPart as TheirCall,
)
from pydantic_ai.models import StreamedResponse
from pydantic_ai.usage import RequestUsage

from inferkit.core.errors import InferkitError
from inferkit.core.messages import (
    AudioPart,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from inferkit.integrations.asking import PRIVATE, facts_of
from inferkit.integrations.pydantic_ai.failures import raise_theirs
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pydantic_ai.messages import FinishReason, ModelResponsePart, ModelResponseStreamEvent

    from inferkit.client.call import Call
    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Part
    from inferkit.core.reply import Reply
    from inferkit.integrations.asking import Question

__all__ = ["Streamed", "as_response"]

_REASONS = {
    "stop": "stop", "length": "length", "budget": "length", "content_filter": "content_filter",
    "tool_calls": "tool_call", "refusal": "content_filter", "error": "error",
}  # fmt: skip


def as_response(reply: Reply) -> ModelResponse:
    """Give a whole reply."""
    parts: list[ModelResponsePart] = []
    opaque: list[tuple[int, str, Any, str]] = []
    for part in reply.message.parts:
        if isinstance(part, OpaquePart):
            opaque.append((len(parts) + len(opaque), part.kind, part.value, part.wire))
        else:
            parts += _as_parts(part)
    return ModelResponse(
        parts=parts,
        usage=_usage(reply),
        model_name=reply.model,
        timestamp=_now(),
        provider_name=reply.provider,
        provider_details=_details(reply, opaque),
        provider_response_id=reply.id,
        finish_reason=_reason(reply),
    )


def _as_parts(part: Part) -> Iterator[ModelResponsePart]:
    if isinstance(part, TextPart | RefusalPart):
        yield TheirText(part.text, **_seal(part.extra))
    elif isinstance(part, ReasoningPart):
        seal = _seal(part.extra) or ({"provider_name": PRIVATE} if part.signature else {})
        yield ThinkingPart(part.text, signature=part.signature, **seal)
    elif isinstance(part, ToolCallPart):
        yield TheirCall(part.name, part.arguments, part.id, **_seal(part.extra))
    elif isinstance(part, ImagePart | AudioPart) and part.data is not None and part.media_type is not None:
        yield FilePart(BinaryContent(part.data, media_type=part.media_type))


def _seal(extra: Any) -> dict[str, Any]:
    return {} if extra is None else {"provider_name": PRIVATE, "provider_details": {"extra": dict(extra)}}


def _usage(reply: Reply) -> RequestUsage:
    """Give the tokens; what it cost is among the details in nano-dollars, which a run adds up."""
    usage = reply.usage
    details = {"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {}
    if reply.cost_nanos is not None:
        details["cost_nanos"] = reply.cost_nanos
    return RequestUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        input_audio_tokens=usage.details.input_audio_tokens,
        output_audio_tokens=usage.details.output_audio_tokens,
        details=details,
    )


def _details(reply: Reply, opaque: list[tuple[int, str, Any, str]]) -> dict[str, Any]:
    details = {**facts_of(reply), "finish_reason": reply.finish_reason}
    return {**details, "opaque": [list(each) for each in opaque]} if opaque else details


def _reason(reply: Reply) -> FinishReason | None:
    return cast("FinishReason | None", _REASONS.get(reply.finish_reason or ""))


def _now() -> datetime:
    return datetime.fromtimestamp(clock.time(), UTC)


@dataclass
class Streamed(StreamedResponse):
    """A reply that comes piece by piece."""

    _call: Call = field(kw_only=True)
    _question: Question = field(kw_only=True)
    _asked: str = field(kw_only=True)
    _began: datetime = field(default_factory=_now, kw_only=True)
    _number: int = field(default=0, init=False)
    _kind: str = field(default="", init=False)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        opaque: list[tuple[int, str, Any, str]] = []
        try:
            while True:
                for chunk in await self._call.read_batch():
                    for event in self._read(chunk, opaque):
                        yield event
        except StopAsyncIteration:
            pass
        except InferkitError as error:
            self._finish(opaque)
            raise_theirs(error, self._asked, in_stream=True)
        self._question.note_unsent(self._call.record)
        self._finish(opaque)

    def _read(self, chunk: Chunk, opaque: list[tuple[int, str, Any, str]]) -> Iterator[ModelResponseStreamEvent]:
        """Give what a chunk brings: its reasoning, its text, then parts, which seal what came before, then calls."""
        manager = self._parts_manager
        if chunk.reasoning:
            yield from manager.handle_thinking_delta(vendor_part_id=self._run("thinking"), content=chunk.reasoning)
        if chunk.text:
            yield from manager.handle_text_delta(vendor_part_id=self._run("text"), content=chunk.text)
        for part in chunk.parts:
            yield from self._part(part, opaque)
        for call in chunk.tool_calls:
            self._kind = ""
            yield from manager.handle_tool_call_delta_events(
                vendor_part_id=f"call {call.index}",
                tool_name=call.name,
                args=call.arguments or None,
                tool_call_id=call.id,
                **_seal(call.extra),
            )

    def _part(self, part: Part, opaque: list[tuple[int, str, Any, str]]) -> Iterator[ModelResponseStreamEvent]:
        manager = self._parts_manager
        if isinstance(part, ReasoningPart) and not part.text and self._kind == "thinking":
            seal = _seal(part.extra) or {"provider_name": PRIVATE}
            yield from manager.handle_thinking_delta(
                vendor_part_id=self._run("thinking"), signature=part.signature, **seal
            )
            self._kind = ""
        elif isinstance(part, TextPart | RefusalPart) and not part.text:
            if part.extra is not None and self._kind == "text":
                yield from manager.handle_text_delta(vendor_part_id=self._run("text"), content="", **_seal(part.extra))
                self._kind = ""
        elif isinstance(part, OpaquePart):
            opaque.append((len(manager.get_parts()) + len(opaque), part.kind, part.value, part.wire))
        else:
            self._kind = ""
            for number, each in enumerate(_as_parts(part)):
                yield manager.handle_part(vendor_part_id=f"part {self._number} {number}", part=each)
            self._number += 1

    def _run(self, kind: str) -> str:
        """Give the name of the words that these go on with: those of one kind that follow each other are one part."""
        if self._kind != kind:
            self._kind = kind
            self._number += 1
        return f"{kind} {self._number}"

    def _finish(self, opaque: list[tuple[int, str, Any, str]]) -> None:
        reply = self._call.reply
        self._usage = _usage(reply)
        self.finish_reason = _reason(reply)
        self.provider_response_id = reply.id
        self.provider_details = _details(reply, opaque)

    async def close_stream(self) -> None:
        """Leave the reply, wherever it is: its connection is closed, and what came is settled."""
        await self._call.close()

    @property
    def model_name(self) -> str:
        """The name of the model that serves the call."""
        return self._call.record.model or self._asked

    @property
    def provider_name(self) -> str | None:
        """The name of the provider that serves the call."""
        return self._call.record.provider or None

    @property
    def provider_url(self) -> None:
        """Nothing: which server answers is inferkit's business."""
        return

    @property
    def timestamp(self) -> datetime:
        """When the reply began."""
        return self._began
