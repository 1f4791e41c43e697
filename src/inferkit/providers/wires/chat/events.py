"""From the events of one Chat Completions reply to chunks. Pure: objects in, chunks out, with the state of one reply.

Every chunk carries its event as `raw`. A refusal is text with `finish_reason="refusal"`. Fields that have no place in a
chunk are gathered (see `Others`), and told with the finish reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.core.messages import RefusalPart
from inferkit.providers.wires.chat.finish_reasons import BROKEN, MEANINGS
from inferkit.providers.wires.chat.images import FIELD, image, is_image
from inferkit.providers.wires.chat.logprobs import read_logprobs
from inferkit.providers.wires.chat.others import Others
from inferkit.providers.wires.chat.tool_calls import ToolCalls
from inferkit.providers.wires.chat.usage import read_usage
from inferkit.providers.wires.payload import Malformed
from inferkit.providers.wires.reply_reader import BrokenReplyError

if TYPE_CHECKING:
    from inferkit.core.chunks import ToolCallDelta
    from inferkit.core.messages import Part

__all__ = ["ChatEvents", "plain_text"]

_NOTHING: dict[str, Any] = {}
_REFUSED = (RefusalPart(""),)
_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token
_ANY = object()
_WORDS = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal"})


class ChatEvents:
    """See `Events`."""

    __slots__ = ("_calls", "_index", "_others", "_refused", "_tier", "done", "finished", "id", "light", "model")

    def __init__(self) -> None:
        self.finished = False
        self.done = False
        self.light = False
        self.model: str | None = None
        self.id: str | None = None
        self._refused = False
        self._tier: Any = None
        self._calls: ToolCalls | None = None
        self._index: Any = _ANY  # of the choice that is the reply
        self._others = Others()

    def meet(self, event: dict[str, Any]) -> None:
        """Take what the first event says of the whole reply."""
        model, id_ = event.get("model"), event.get("id")
        self.model = model if isinstance(model, str) else None
        self.id = id_ if isinstance(id_, str) else None

    def read_text(self, event: Any, into: list[Chunk], raw: Any = None) -> bool:
        """Read an event that brings a piece of text and nothing else, as nearly all do; False where it is none.

        `raw` is what the chunk keeps of the event: its bytes, which are smaller by far.
        """
        try:
            choice = event["choices"][0]
            delta = choice["delta"]
            if (
                type(text := delta["content"]) is not str
                or (len(delta) != 1 and (len(delta) != 2 or "role" not in delta))  # noqa: PLR2004 - role and text
                or choice.get("finish_reason")
                or choice.get("index")
                or choice.get("logprobs")
                or event.get("usage")
                or "error" in event
                or "error" in choice
                or choice.get("usage")
            ):
                return False
        except (AttributeError, TypeError, KeyError, IndexError):
            return False
        into.append(_new(Chunk, (text, "", (), None, None, raw, (), None, ())))
        self._index = 0
        return True

    def read(self, event: Any, into: list[Chunk], raw: Any = None) -> None:
        """Read one event; `raw` is as above.

        Raises `Malformed` if it cannot be one of this wire's, and `BrokenReplyError` if it says that the reply broke.
        """
        try:
            self._read(event, event.get("choices") or [], into, raw)
        except (AttributeError, TypeError, KeyError, IndexError):
            raise Malformed("it has an unknown shape") from None

    def read_whole(self, content: Any, into: list[Chunk], raw: Any = None) -> None:
        """Read a reply that is one object. Raises `Malformed` also if there is no reply in it."""
        if not isinstance(content, dict) or not content.get("choices"):
            raise Malformed("it has no choices")
        self.read(content, into, raw)
        self.meet(content)

    def rest(self, into: list[Chunk]) -> None:
        """Tell what was gathered and not told, of a reply that ended without a finish reason, or went on after it."""
        parts, extra = self._others.tell(last=True)
        if parts or extra:
            into.append(Chunk(parts=parts, extra=extra))

    def _read(self, event: dict[str, Any], choices: list[dict[str, Any]], into: list[Chunk], raw: Any) -> None:
        choice = self._chosen(choices)
        delta = choice.get("delta") or choice.get("message") or _NOTHING
        text, reasoning = delta.get("content"), delta.get("reasoning_content") or delta.get("reasoning")
        shown: tuple[Part, ...] = ()
        if text is not None and type(text) is not str:
            text, thought, shown = self._parts(text)
            reasoning = reasoning or thought
        reasoning = reasoning if type(reasoning) is str else ""
        self.light = delta.keys() <= _WORDS
        calls = self._read_calls(delta)
        logprobs = read_logprobs(choice["logprobs"]) if choice.get("logprobs") else ()
        reason = choice.get("finish_reason")
        parts = shown + self._others.gather(event, choice, delta, is_last=not choices or bool(reason))
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._refused = True
            if text or reasoning:
                into.append(Chunk(text or "", reasoning))
            text, reasoning, parts = refusal, "", _REFUSED + parts
        if choice.get("error") or (reason and str(reason).lower() in BROKEN):
            if text or reasoning or calls or parts:
                into.append(Chunk(text or "", reasoning, calls, None, None, raw, parts, None, logprobs))
            raise BrokenReplyError(choice.get("error") or {"code": str(reason)})
        extra = None
        if reason:
            reason = self._meaning(str(reason))
            self.finished = True
            if self._calls is not None:
                calls += self._calls.ids(event.get("id"))
        if self.finished:
            told, extra = self._others.tell()
            parts += told
        counts = event.get("usage") or choice.get("usage")
        if counts is None and "x_groq" in event:
            counts = (event["x_groq"] or _NOTHING).get("usage")
        self._tier = event.get("service_tier") or self._tier
        usage = read_usage(counts, self._tier) if counts else None
        into.append(Chunk(text or "", reasoning, calls, reason or None, usage, raw, parts, extra, logprobs))

    def _chosen(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Give the choice that is the reply, which has index 0 or comes alone; others stay in `raw`."""
        choices = [choice for choice in choices if choice]
        if not choices:
            return _NOTHING
        if self._index is _ANY:
            self._index = next((0 for choice in choices if not choice.get("index")), choices[0].get("index"))
        return next((choice for choice in choices if (choice.get("index") or 0) == self._index), _NOTHING)

    def _read_calls(self, delta: dict[str, Any]) -> tuple[ToolCallDelta, ...]:
        pieces, legacy = delta.get("tool_calls"), delta.get("function_call")
        if not pieces and not legacy:
            return ()
        if self._calls is None:
            self._calls = ToolCalls()
        calls = self._calls.read([piece for piece in pieces if piece]) if pieces else ()
        return (*calls, self._calls.read_legacy(legacy)) if legacy else calls

    def _meaning(self, reason: str) -> str:
        """Give the wire's own word for an end, where there is one; the server's stays among what else it says."""
        meaning = MEANINGS.get(reason.lower(), reason)
        if meaning != reason:
            self._others.add("native_finish_reason", reason)
        return "refusal" if self._refused and meaning == "stop" else meaning

    def _parts(self, content: list[dict[str, Any]]) -> tuple[str, str, tuple[Part, ...]]:
        """Give text, reasoning and images of content that comes as a list of parts, as Mistral's does."""
        texts: list[str] = []
        thoughts: list[str] = []
        shown: list[Part] = []
        for part in content:
            if part.get("type") == "thinking":
                thoughts += [piece["text"] for piece in part["thinking"] if piece.get("type") == "text"]
            elif isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif is_image(part):
                shown.append(image(part, FIELD))
            else:
                self._others.add("content", [part])
        return "".join(texts), "".join(thoughts), tuple(shown)


def plain_text(event: Any) -> tuple[str, dict[str, Any]] | None:
    """Give the text of an event that brings a piece of one and nothing else, and no counts; None for others."""
    found: list[Chunk] = []
    ChatEvents().read_text(event, found)
    return (found[0].text, {}) if found else None
