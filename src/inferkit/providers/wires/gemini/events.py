"""From the events of one Gemini reply to chunks. Pure: objects in, chunks out, with the state of one reply.

Every event is a reply by itself, with the parts that it adds: texts and thoughts piece by piece, calls of functions too
where that was asked for (`GrowingCall`), and all else whole. A part that has more than its words (a signature) is
sealed with it, apart from the words before it. The counts of tokens come with every event, and hold for all of the
reply until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, TextPart
from inferkit.providers.wires.extras import GEMINI
from inferkit.providers.wires.gemini.calls import arguments_of, made_id
from inferkit.providers.wires.gemini.finish_reasons import MEANINGS
from inferkit.providers.wires.gemini.logprobs import read_logprobs
from inferkit.providers.wires.gemini.media import decoded
from inferkit.providers.wires.gemini.models import generation
from inferkit.providers.wires.gemini.piecemeal import GrowingCall
from inferkit.providers.wires.gemini.read_messages import kind_of, others
from inferkit.providers.wires.gemini.usage import GeminiCounts
from inferkit.providers.wires.gemini.write_messages import SIGNATURE
from inferkit.providers.wires.payload import Malformed
from inferkit.providers.wires.reply_reader import BrokenReplyError

if TYPE_CHECKING:
    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage

__all__ = ["GeminiEvents", "plain_text"]

_OF_EVENT = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_OF_CANDIDATE = frozenset({"content", "index", "logprobsResult"})
_OF_CALL = frozenset({"id", "name", "args", "partialArgs", "willContinue"})
_NOT_BLOCKED = frozenset({"BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"})
_BY_QUERY = (3, 0)  # the generation from which each search is billed, and not each answer that was searched for


class GeminiEvents:
    """See `Events`. `counts` are those of the reply by now."""

    __slots__ = (
        "_calls", "_growing", "_known_searches", "_open", "_searches", "counts", "done", "finished", "id", "light",
        "model",
    )  # fmt: skip

    def __init__(self) -> None:
        self.finished = False
        self.done = False
        self.light = False
        self.model: str | None = None
        self.id: str | None = None
        self._calls = 0
        self._growing: GrowingCall | None = None
        self._open: set[type[TextPart | ReasoningPart]] = set()  # kinds of words that came, and nothing has sealed
        self.counts = GeminiCounts()
        self._searches = self._known_searches = 0

    def read(self, event: dict[str, Any], into: list[Chunk], raw: Any = None) -> None:
        """See `Events`."""
        try:
            self._read(event, into, raw)
        except (AttributeError, TypeError, KeyError, ValueError):
            raise Malformed("it has an unknown shape") from None

    def read_whole(self, content: Any, into: list[Chunk], raw: Any = None) -> None:
        """See `Events`. A stream may come as one list, where a server passes over `alt=sse`."""
        if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
            for each in content:
                self.read(each, into, raw if each is content[-1] else None)
            if not self.finished:
                raise Malformed("it was cut off: no finish reason")
            return
        if not isinstance(content, dict):
            raise Malformed("it is not an object")
        self.read(content, into, raw)
        if not content.get("candidates"):
            raise Malformed("it has no candidates")
        self.finished = True

    def rest(self, into: list[Chunk]) -> None:
        """See `Events`."""
        self._close(ReasoningPart, into)

    def _read(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        self.model = _text(event.get("modelVersion")) or self.model
        self.id = _text(event.get("responseId")) or self.id
        candidate = _first(event.get("candidates") or ())
        chunks: list[Chunk] = []
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._part(part, chunks)
        reason = self._reason(candidate.get("finishReason"), chunks)
        extra = {**others(event, _OF_EVENT), **others(candidate, _OF_CANDIDATE)}
        about = Chunk(
            finish_reason=reason,
            usage=self._report(event.get("usageMetadata"), candidate),
            event=raw,
            extra=extra or None,
            logprobs=read_logprobs(candidate.get("logprobsResult")),
        )
        if chunks:
            text, reasoning, calls, _, _, _, parts, _, _ = chunks.pop()
            about = about._replace(text=text, reasoning=reasoning, tool_calls=calls, parts=parts)
        self.light = bool(about.text) and not (extra or reason or about.parts or about.tool_calls or about.logprobs)
        blocked = _blocked(event.get("promptFeedback"))
        if blocked is None or about.has_content:
            into += chunks
            if about != Chunk(event=raw):
                into.append(about)
        if blocked is not None:
            raise BrokenReplyError(blocked, self.counts.now(self._searches))

    def _reason(self, word: Any, chunks: list[Chunk]) -> str | None:
        if word is None:
            return None
        if type(word) is not str:
            raise TypeError
        self.finished = True
        self._close(ReasoningPart, chunks)
        if word in ("STOP", "FUNCTION_CALL"):  # or else it was cut, and stays so
            self._end_call(chunks)
        return "tool_calls" if word == "STOP" and self._calls else MEANINGS.get(word, word)

    def _report(self, counts: Any, candidate: dict[str, Any]) -> Usage | None:
        """Give what was counted by now, with the searches that were made, if something is new."""
        grounding = candidate.get("groundingMetadata")
        queries = grounding.get("webSearchQueries") if isinstance(grounding, dict) else None
        if isinstance(queries, list) and queries:
            known = generation(self.model or "")
            by_query = known is None or known >= _BY_QUERY
            self._searches = max(self._searches, len(queries) if by_query else 1)
        if counts is None and self._searches == self._known_searches:
            return None
        self._known_searches = self._searches
        self.counts.report(counts)
        return self.counts.now(self._searches)

    def _part(self, part: dict[str, Any], into: list[Chunk]) -> None:
        kind = kind_of(part)
        thought = part.get("thought") is True
        if kind == "text":
            self._words(part, into, ReasoningPart if thought else TextPart)
            return
        self._close(ReasoningPart, into)
        if kind == "functionCall":
            self._call(part, into)
        else:
            into.append(Chunk(parts=(_other(part, kind),)))

    def _words(self, part: dict[str, Any], into: list[Chunk], kind: type[TextPart | ReasoningPart]) -> None:
        text = part["text"]
        if type(text) is not str:
            raise TypeError
        extra = {name: value for name, value in part.items() if name not in {"text", "thought"} and value}
        if kind is TextPart:
            self._close(ReasoningPart, into)
        words = Chunk(text) if kind is TextPart else Chunk(reasoning=text)
        if extra:
            self._close(kind, into)
            into.append(words._replace(parts=(_seal(kind, extra),)))
        elif text:
            self._open.add(kind)
            into.append(words)

    def _close(self, kind: type[TextPart | ReasoningPart], into: list[Chunk]) -> None:
        """Seal the words that came, so that what seals the next ones is not taken for theirs."""
        if kind in self._open:
            self._open.remove(kind)
            into.append(Chunk(parts=(_seal(kind, {}),)))

    def _call(self, part: dict[str, Any], into: list[Chunk]) -> None:
        call = part["functionCall"]
        extra = others(part, {"functionCall"})
        more = others(call, _OF_CALL)
        if more:
            extra["functionCall"] = more
        growing, name, id_ = self._growing, _text(call.get("name")), _text(call.get("id"))
        if growing is not None and (name is None or (id_ is not None and id_ == growing.id)):
            self._go_on(growing, call, extra, into)
            return
        self._end_call(into)
        if name is None:
            if not self._calls or call.keys() - {"willContinue"}:
                raise TypeError
            return  # the end of one that has ended
        comes_on = bool(call.get("partialArgs")) or call.get("willContinue") is True
        arguments = "" if comes_on else arguments_of(call.get("args"))
        index, self._calls = self._calls, self._calls + 1
        id_ = id_ or made_id(self.id, index, name, arguments)
        into.append(Chunk(tool_calls=(ToolCallDelta(index, id_, name, arguments, {GEMINI: extra} if extra else None),)))
        if comes_on:
            self._growing = growing = GrowingCall(index, id_, extra)
            self._go_on(growing, call, {}, into)

    def _go_on(self, growing: GrowingCall, call: dict[str, Any], extra: dict[str, Any], into: list[Chunk]) -> None:
        """Add to the arguments of a call, and end it where nothing more is to come."""
        growing.extra.update(extra)
        arguments = growing.add(call.get("partialArgs"))
        if arguments:
            into.append(Chunk(tool_calls=(ToolCallDelta(growing.index, arguments=arguments),)))
        if call.get("willContinue") is not True:
            self._end_call(into)

    def _end_call(self, into: list[Chunk]) -> None:
        growing, self._growing = self._growing, None
        if growing is not None:
            extra = {GEMINI: {**growing.begun_with, **growing.extra}} if growing.extra else None
            into.append(Chunk(tool_calls=(ToolCallDelta(growing.index, arguments=growing.end(), extra=extra),)))


def plain_text(event: Any) -> tuple[str, dict[str, Any]] | None:
    """Give the text of an event that brings one and nothing else but counts, with these; None for others."""
    try:
        (candidate,), counts = event["candidates"], event["usageMetadata"]
        (part,) = candidate["content"]["parts"]
        text, role = part["text"], candidate["content"].keys() - {"parts"}
        if (
            type(text) is not str
            or type(counts) is not dict
            or part.keys() != {"text"}
            or not role <= {"role"}
            or not candidate.keys() - {"content"} <= {"index"}
            or candidate.get("index")
            or not event.keys() <= _OF_EVENT
        ):
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return text, counts


def _seal(kind: type[TextPart | ReasoningPart], extra: dict[str, Any]) -> Part:
    if kind is TextPart:
        return TextPart("", {GEMINI: extra} if extra else None)
    signature = extra.pop(SIGNATURE, None)
    return ReasoningPart("", signature, {GEMINI: extra})


def _other(part: dict[str, Any], kind: str) -> Part:
    """Give an image as one, and what has no part of its own here as it came."""
    inline: Any = part.get("inlineData")
    if kind == "inlineData" and inline.keys() == {"mimeType", "data"} and inline["mimeType"].startswith("image/"):
        extra = {GEMINI: others(part, {"inlineData"})}
        return ImagePart(data=decoded(inline["data"]), media_type=inline["mimeType"], extra=extra)
    return OpaquePart(kind, part, GEMINI)


def _first(candidates: Any) -> dict[str, Any]:
    """Give the candidate that is the reply, which has index 0; others stay in `raw`."""
    found: dict[str, Any] = next((each for each in candidates if not each.get("index")), {})
    return found


def _blocked(feedback: Any) -> dict[str, Any] | None:
    """Give the error that a prompt's being blocked is; None where it is not."""
    reason = _text(feedback.get("blockReason")) if isinstance(feedback, dict) else None
    if reason is None or reason in _NOT_BLOCKED:
        return None
    return {"type": "content_filter", "code": reason, "message": feedback.get("blockReasonMessage")}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
