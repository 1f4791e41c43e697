"""The items of a reply in the form of the Responses wire, written piece by piece: each gives its events, and itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from inferkit.core.messages import ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.providers.wires.extras import RESPONSES, own
from inferkit.providers.wires.payload import Malformed, others, parse
from inferkit.providers.wires.responses.write_messages import MESSAGE, words_block, write_call, write_reasoning
from inferkit.providers.wires.token_logprobs import write_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.core.chunks import TokenLogprob, ToolCallDelta

    Event: TypeAlias = tuple[str, dict[str, Any]]
    """What happened, and the fields of its event."""

__all__ = ["WrittenCall", "WrittenMessage", "WrittenReasoning", "id_in", "opaque_events"]


def id_in(part: TextPart | RefusalPart | ReasoningPart) -> str | None:
    """Give the id of the item that a part came in, where it knows that."""
    extra = own(part.extra, RESPONSES)
    id_ = (extra if isinstance(part, ReasoningPart) else extra.get(MESSAGE) or {}).get("id")
    return id_ if isinstance(id_, str) else None


def opaque_events(item: dict[str, Any], place: int) -> Iterator[Event]:
    """Give the events of an item that is there at once."""
    yield "output_item.added", {"output_index": place, "item": item}
    yield "output_item.done", {"output_index": place, "item": item}


class _Item:
    """What all items have in common."""

    def __init__(self, id_: str, place: int) -> None:
        self.id = id_
        self.place = place
        self.item: dict[str, Any] = {}

    def _added(self, item: dict[str, Any]) -> Event:
        return "output_item.added", {"output_index": self.place, "item": item}

    def _done(self, item: dict[str, Any]) -> Event:
        self.item = item
        return "output_item.done", {"output_index": self.place, "item": item}

    def _at(self, **more: Any) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.place, **more}


class WrittenMessage(_Item):
    """A message: texts and refusals, one after the other."""

    def __init__(self, id_: str, place: int) -> None:
        super().__init__(id_, place)
        self.kind: type[TextPart | RefusalPart] | None = None  # of what is open
        self.sealed: dict[str, Any] | None = None
        self._content: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._about: dict[str, Any] = {}

    def begin(self) -> Iterator[Event]:
        """Begin it."""
        yield self._added(self._head() | {"status": "in_progress", "content": []})

    def say(
        self, kind: type[TextPart | RefusalPart], text: str, logprobs: Iterable[TokenLogprob] = ()
    ) -> Iterator[Event]:
        """Go on with what is open, or begin another text or refusal."""
        if self.kind is not kind or self.sealed is not None:
            yield from self._close()
            self.kind = kind
            yield "content_part.added", self._at(content_index=len(self._content), part=self._block("", ()))
        self._texts.append(text)
        where = self._at(content_index=len(self._content), delta=text)
        if kind is RefusalPart:
            yield "refusal.delta", where
        else:
            tokens = write_tokens(logprobs)
            self._logprobs += tokens
            yield "output_text.delta", where | {"logprobs": tokens}

    def late(self, logprobs: Iterable[TokenLogprob]) -> Iterator[Event]:
        """Take how likely the tokens of the text were that is open."""
        tokens = write_tokens(logprobs)
        self._logprobs += tokens
        yield "output_text.delta", self._at(content_index=len(self._content), delta="", logprobs=tokens)

    def seal(self, part: TextPart | RefusalPart) -> Iterator[Event]:
        """Take what is said of the words that are open."""
        if self.kind is not type(part) or self.sealed is not None:
            return
        extra = own(part.extra, RESPONSES)
        self._about |= extra.pop(MESSAGE, None) or {}
        self.sealed = extra
        for number, annotation in enumerate(extra.get("annotations") or ()):
            where = self._at(content_index=len(self._content))
            yield "output_text.annotation.added", where | {"annotation_index": number, "annotation": annotation}

    def end(self) -> Iterator[Event]:
        """End it."""
        yield from self._close()
        about = {**self._about, "id": self.id}
        yield self._done(self._head() | {"status": "completed", "content": self._content} | about)

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant"}

    def _block(self, text: str, logprobs: Iterable[dict[str, Any]]) -> dict[str, Any]:
        assert self.kind is not None
        block = words_block(self.kind(text), self.sealed or {})
        if self.kind is TextPart:
            block = {"annotations": [], "logprobs": list(logprobs), **block}
        return block

    def _close(self) -> Iterator[Event]:
        if self.kind is None:
            return
        text = "".join(self._texts)
        block = self._block(text, self._logprobs)
        where = self._at(content_index=len(self._content))
        if self.kind is RefusalPart:
            yield "refusal.done", where | {"refusal": text}
        else:
            yield "output_text.done", where | {"text": text, "logprobs": self._logprobs}
        yield "content_part.done", where | {"part": block}
        self._content.append(block)
        self.kind, self.sealed, self._texts, self._logprobs = None, None, [], []


class WrittenReasoning(_Item):
    """Reasoning: what came of it is one summary, until its seal says more."""

    def __init__(self, id_: str, place: int) -> None:
        super().__init__(id_, place)
        self.seal: ReasoningPart | None = None
        self._texts: list[str] = []

    def begin(self) -> Iterator[Event]:
        """Begin it."""
        yield self._added({"id": self.id, "type": "reasoning", "summary": []})

    def say(self, text: str) -> Iterator[Event]:
        """Go on with it."""
        if not self._texts:
            yield "reasoning_summary_part.added", self._summary(part={"type": "summary_text", "text": ""})
        self._texts.append(text)
        yield "reasoning_summary_text.delta", self._summary(delta=text)

    def end(self) -> Iterator[Event]:
        """End it. What is encrypted is bound to its id, and goes back under that alone."""
        text = "".join(self._texts)
        if self._texts:
            yield "reasoning_summary_text.done", self._summary(text=text)
            yield "reasoning_summary_part.done", self._summary(part={"type": "summary_text", "text": text})
        part = ReasoningPart(text)
        if self.seal is not None and id_in(self.seal) in (None, self.id):
            part = ReasoningPart(text, self.seal.signature, {RESPONSES: own(self.seal.extra, RESPONSES)})
        yield self._done({**write_reasoning(part), "id": self.id})

    def _summary(self, **more: Any) -> dict[str, Any]:
        return self._at(summary_index=0, **more)


class WrittenCall(_Item):
    """A call of a tool. It begins when its name is known."""

    def __init__(self, call: ToolCallDelta, id_: str, place: int) -> None:
        super().__init__(id_, place)
        self._call = ToolCallPart(call.id or f"call_{id_}", "", "", kind=call.kind)
        self._name = ""
        self._extra: dict[str, Any] = {}
        self._begun = False
        self._arguments: list[str] = []

    def add(self, piece: ToolCallDelta) -> Iterator[Event]:
        """Take a piece of it."""
        self._name = self._name or piece.name or ""
        self._extra |= own(piece.extra, RESPONSES)
        if self._name and not self._begun:
            yield from self._begin()
        if piece.arguments:
            self._arguments.append(piece.arguments)
            if self._begun:
                yield self._delta(piece.arguments)

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are an object that nothing can follow."""
        if self._call.kind == "custom":
            return False
        try:
            return isinstance(parse("".join(self._arguments).encode()), dict)
        except (Malformed, UnicodeError):
            return False

    def end(self) -> Iterator[Event]:
        """End it."""
        if not self._begun:
            yield from self._begin()
        arguments = "".join(self._arguments)
        said = "input" if self._call.kind == "custom" else "arguments"
        yield f"{self._kind}.done", self._at(**{said: arguments})
        yield self._done(self._whole(arguments, "completed"))

    @property
    def _kind(self) -> str:
        return "custom_tool_call_input" if self._call.kind == "custom" else "function_call_arguments"

    def _begin(self) -> Iterator[Event]:
        self._begun = True
        yield self._added(self._whole("", "in_progress"))
        for piece in self._arguments:
            yield self._delta(piece)

    def _delta(self, piece: str) -> Event:
        return f"{self._kind}.delta", self._at(delta=piece)

    def _whole(self, arguments: str, status: str) -> dict[str, Any]:
        call = write_call(ToolCallPart(self._call.id, self._name, arguments, kind=self._call.kind))
        if self._call.kind != "custom":  # which has none
            call["status"] = status
        extra = self._extra if status == "completed" else others(self._extra, {"status"})
        return {**call, **extra, "id": self.id}
