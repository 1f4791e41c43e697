"""From chunks to the bytes of a Responses reply, as events or as one whole object: what `ResponsesEvents` reads."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.core.chunks import Chunk
from inferkit.core.messages import OpaquePart, ReasoningPart, RefusalPart, TextPart
from inferkit.providers.wires.extras import RESPONSES, is_foreign, own
from inferkit.providers.wires.payload import write
from inferkit.providers.wires.responses.events import ECHOED
from inferkit.providers.wires.responses.finish_reasons import CUT_OFF
from inferkit.providers.wires.responses.usage import write_usage
from inferkit.providers.wires.responses.written_items import (
    WrittenCall,
    WrittenMessage,
    WrittenReasoning,
    id_in,
    opaque_events,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inferkit.core.chunks import ToolCallDelta
    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage
    from inferkit.providers.wires.responses.written_items import Event

__all__ = ["ResponsesWriter"]

_OWN = frozenset({"id", "object", "created_at", "model", "output", "usage", "status", "error", "output_text"}) | ECHOED


class _Ids(NamedTuple):
    """The ids of the message and of the reasoning that words belong to, as far as what follows them knows."""

    message: str | None
    reasoning: str | None


class ResponsesWriter:
    """Writes one reply; see `Writer`."""

    def __init__(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wire's name
        created: int,
        streamed: bool,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self._repeated = {name: value for name, value in (asked or {}).items() if name in ECHOED and value is not None}
        self._head = {"id": id, "object": "response", "created_at": created, "model": model}
        self._streamed = streamed
        self._chunks: list[Chunk] = []
        self._number = 0
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._message: WrittenMessage | None = None
        self._reasoning: WrittenReasoning | None = None
        self._calls: dict[int, WrittenCall] = {}
        self._ended: set[int] = set()  # calls that others have followed
        self._count = 0
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._extra: dict[str, Any] = {}

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        """Give the events of these chunks."""
        if not self._streamed:
            self._chunks += chunks
            return b""
        return b"".join([self._bytes(event) for event in self._events(list(chunks))])

    def end(self) -> bytes:
        """Give the bytes that end the reply."""
        events = chain(self._events(self._chunks), self._close())
        if not self._streamed:
            for _ in events:
                pass
            return write(self._whole())
        written = [self._bytes(event) for event in events]
        whole = self._whole()
        return b"".join([*written, self._bytes((str(whole["status"]), {"response": whole}))])

    def _bytes(self, event: Event) -> bytes:
        kind, fields = event
        kind = f"response.{kind}"
        data = write({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    def _events(self, chunks: list[Chunk]) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            begun = self._response("in_progress", None)
            yield "created", {"response": begun}
            yield "in_progress", {"response": begun}
        for chunk, ids in zip(chunks, _ids_ahead(chunks), strict=True):
            yield from self._of_chunk(chunk, ids)

    def _of_chunk(self, chunk: Chunk, ids: _Ids) -> Iterator[Event]:
        self._usage = chunk.usage or self._usage
        self._reason = chunk.finish_reason or self._reason
        self._extra |= chunk.extra or {}
        if chunk.reasoning:
            yield from self._think(chunk.reasoning, chunk, ids.reasoning)
        if chunk.text or (chunk.logprobs and self._message is not None and self._message.kind is TextPart):
            refused = any(isinstance(part, RefusalPart) for part in chunk.parts)
            yield from self._say(RefusalPart if refused else TextPart, chunk, ids.message)
        for part in chunk.parts:
            yield from self._part(part)
        for call in chunk.tool_calls:
            yield from self._call(call)

    def _think(self, text: str, chunk: Chunk | None, id_: str | None) -> Iterator[Event]:
        if self._reasoning is None or self._reasoning.seal is not None:
            yield from self._close()
            id_ = _told_id(chunk) or id_ or self._new_id("rs")
            self._reasoning = WrittenReasoning(id_, self._next())
            yield from self._reasoning.begin()
        if text:
            yield from self._reasoning.say(text)

    def _say(self, kind: type[TextPart | RefusalPart], chunk: Chunk, id_: str | None) -> Iterator[Event]:
        message = self._message
        if message is not None and not chunk.text:  # how likely the tokens were, told afterwards
            yield from message.late(chunk.logprobs)
            return
        if message is None or message.sealed is not None:
            id_ = _told_id(chunk) or id_
            if message is None or id_ != message.id:
                yield from self._close()
                message = self._message = WrittenMessage(id_ or self._new_id("msg"), self._next())
                yield from message.begin()
        yield from message.say(kind, chunk.text, chunk.logprobs)

    def _part(self, part: Part) -> Iterator[Event]:
        if isinstance(part, TextPart | RefusalPart):
            if part.text:
                if self._message is not None:
                    yield from self._message.seal((self._message.kind or TextPart)(""))
                yield from self._say(type(part), Chunk(part.text), id_in(part))
            if self._message is not None and (part.text or part.extra):
                yield from self._message.seal(part)
        elif isinstance(part, ReasoningPart):
            yield from self._seal_thought(part)
        elif isinstance(part, OpaquePart) and part.wire == RESPONSES:
            yield from self._close()
            yield from opaque_events(part.value, self._next())
            self._output.append(part.value)

    def _seal_thought(self, part: ReasoningPart) -> Iterator[Event]:
        """Take what seals the reasoning that is open, or reasoning that comes whole."""
        foreign = is_foreign(part.extra, RESPONSES)
        if part.text or (not foreign and (self._reasoning is None or self._reasoning.seal is not None)):
            yield from self._close()
            yield from self._think(part.text, None, id_in(part))
        if self._reasoning is not None and self._reasoning.seal is None:
            self._reasoning.seal = ReasoningPart("") if foreign else part  # another wire's seal is none here

    def _call(self, piece: ToolCallDelta) -> Iterator[Event]:
        call = self._calls.get(piece.index)
        if call is None:
            if piece.index in self._ended and not (piece.name or piece.arguments.strip()):
                return
            if all(open_.is_whole for open_ in self._calls.values()):  # those of some servers come in turns
                self._ended |= self._calls.keys()
                yield from self._close()
            id_ = own(piece.extra, RESPONSES).get("id")
            prefix = "ctc" if piece.kind == "custom" else "fc"
            place = self._next()
            call = WrittenCall(piece, id_ if isinstance(id_, str) else self._new_id(prefix), place)
            self._calls[piece.index] = call
        yield from call.add(piece)

    def _close(self) -> Iterator[Event]:
        """End what is open."""
        open_ = [each for each in (self._reasoning, self._message, *self._calls.values()) if each is not None]
        self._reasoning = self._message = None
        self._calls = {}
        for each in open_:
            yield from each.end()
            self._output.append(each.item)

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._head['id']}_{self._count}"

    def _whole(self) -> dict[str, Any]:
        told = self._extra.get("incomplete_details")
        cut = CUT_OFF.get(self._reason or "")
        details = told if isinstance(told, dict) else None if cut is None else {"reason": cut}
        return self._response("completed" if details is None else "incomplete", details)

    def _response(self, status: str, incomplete: dict[str, Any] | None) -> dict[str, Any]:
        said = {name: value for name, value in self._extra.items() if name not in _OWN}
        tier = None if self._usage is None else self._usage.details.service_tier
        if tier is not None:
            said["service_tier"] = tier
        return {
            **self._head,
            "status": status,
            "error": None,
            "instructions": None,
            "metadata": {},
            "output": list(self._output),
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": None if self._usage is None else write_usage(self._usage),
            **self._repeated,
            **said,
            "incomplete_details": incomplete,
        }


def _ids_ahead(chunks: list[Chunk]) -> list[_Ids]:
    """Say for each chunk under which ids the items come that its words belong to: what seals them says it."""
    found: list[_Ids] = []
    ids = _Ids(None, None)
    for chunk in reversed(chunks):
        for part in reversed(chunk.parts):
            if isinstance(part, TextPart | RefusalPart) and part.extra:
                ids = ids._replace(message=None if part.text else id_in(part))
            elif isinstance(part, ReasoningPart):
                ids = ids._replace(reasoning=None if part.text else id_in(part))
        found.append(ids)
    return found[::-1]


def _told_id(chunk: Chunk | None) -> str | None:
    """Give the id of the item that the provider's own event belongs to, where it is one of this wire."""
    event = None if chunk is None else chunk.event
    if chunk is None or not isinstance(event, bytes) or b'"item_id"' not in event:
        return None
    raw = chunk.raw
    id_ = raw.get("item_id") if isinstance(raw, dict) else None
    return id_ if isinstance(id_, str) else None
