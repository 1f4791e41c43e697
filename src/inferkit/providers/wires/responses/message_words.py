"""The words of a reply's messages while they come, text by text and refusal by refusal, each sealed at its end."""

from __future__ import annotations

from typing import Any

from inferkit.core.chunks import Chunk
from inferkit.core.messages import RefusalPart, TextPart
from inferkit.providers.wires.extras import RESPONSES
from inferkit.providers.wires.payload import others
from inferkit.providers.wires.responses.content import string
from inferkit.providers.wires.responses.read_messages import message_fields
from inferkit.providers.wires.responses.write_messages import MESSAGE
from inferkit.providers.wires.token_logprobs import read_tokens

__all__ = ["MessageWords"]

_REFUSED = (RefusalPart(""),)
_WORDS = {"output_text": "text", "refusal": "refusal"}


class _OpenWords:
    """One text or refusal while it comes. `key` is where it stands: its item, and its place in there."""

    __slots__ = ("annotations", "came", "key", "kind", "more")

    def __init__(self, key: tuple[Any, Any], kind: str) -> None:
        self.key = key
        self.kind = kind
        self.came = False
        self.annotations: list[Any] = []
        self.more: dict[str, Any] = {}


class MessageWords:
    """Reads the events and items of one reply's messages."""

    __slots__ = ("_heads", "_open", "_seen", "refused")

    def __init__(self) -> None:
        self.refused = False
        self._heads: dict[Any, dict[str, Any]] = {}  # messages, as they began
        self._open: _OpenWords | None = None
        self._seen: set[tuple[Any, Any]] = set()  # texts and refusals that have begun

    def begin_message(self, place: Any, item: dict[str, Any]) -> None:
        """Take a message of which nothing has come."""
        self._heads[place] = item

    def text(self, event: dict[str, Any], into: list[Chunk]) -> tuple[Any, ...]:
        """Go on with the text that a piece belongs to; give how likely its tokens were."""
        words, key = self._open, _key(event)
        if words is None or words.key != key:
            words = self._turn_to(key, "text", into)
        words.came = True
        told = event.get("logprobs")
        return tuple(read_tokens(told)) if told else ()

    def refuse(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Take a piece of a refusal."""
        self._say(self._turn_to(_key(event), "refusal", into), string(event["delta"]), into, raw)

    def annotate(self, event: dict[str, Any], into: list[Chunk]) -> None:
        """Take an annotation of a text."""
        self._turn_to(_key(event), "text", into).annotations.append(event["annotation"])

    def begin_part(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Begin a text or refusal, which may have words already."""
        part = event["part"]
        said = _WORDS.get(part["type"])
        if said is not None:
            words = self._turn_to(_key(event), said, into)
            if part.get(said):
                self._say(words, string(part[said]), into, raw)

    def end_part(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Take a text or refusal that is whole."""
        self._take_part(_key(event), event["part"], into, raw)

    def end_message(self, place: Any, item: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Take a message that is whole; parts of it may have come before."""
        self._heads.setdefault(place, item)
        for index, part in enumerate(item["content"]):
            key = (place, index)
            if key not in self._seen or (self._open is not None and self._open.key == key):
                self._take_part(key, part, into, raw)
        self.seal(into, item)

    def seal(self, into: list[Chunk], item: dict[str, Any] | None = None) -> None:
        """End what is open; `item` is its message where that is whole."""
        words, self._open = self._open, None
        if words is None or not words.came:
            return
        extra = words.more
        if words.annotations:
            extra["annotations"] = words.annotations
        about = message_fields(item or self._heads.get(words.key[0], {}), is_last=item is not None)
        if about:
            extra[MESSAGE] = about
        if extra:
            seal = (TextPart if words.kind == "text" else RefusalPart)("", {RESPONSES: extra})
            into.append(Chunk(parts=(seal,)))

    def _turn_to(self, key: tuple[Any, Any], kind: str, into: list[Chunk]) -> _OpenWords:
        """Go on with a text or refusal; what was open before is sealed."""
        words = self._open
        if words is None or words.key != key:
            self.seal(into)
            words = self._open = _OpenWords(key, kind)
            self._seen.add(key)
        return words

    def _say(self, words: _OpenWords, text: str, into: list[Chunk], raw: Any, logprobs: Any = None) -> None:
        words.came = True
        if words.kind == "text":
            into.append(Chunk(text, event=raw, logprobs=tuple(read_tokens(logprobs))))
        else:
            self.refused = True
            into.append(Chunk(text, event=raw, parts=_REFUSED))

    def _take_part(self, key: tuple[Any, Any], part: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        said = _WORDS.get(part["type"])
        if said is None:
            return
        words = self._turn_to(key, said, into)
        if not words.came and part[said]:
            self._say(words, string(part[said]), into, raw, part.get("logprobs"))
        words.annotations = list(part.get("annotations") or words.annotations)
        words.more = others(part, {"type", said, "annotations", "logprobs"})


def _key(event: dict[str, Any]) -> tuple[Any, Any]:
    return event.get("output_index"), event.get("content_index") or 0
