"""What a Chat Completions reply says in fields of its own kind: gathered from its events, and told when it is whole.

Images are parts at once. Audio and the details of reasoning (signatures, encrypted thoughts) come in pieces and become
parts at the end. All other fields become the chunk's `extra`: those of the message, of the choice (logprobs), and, from
the last events, of the reply as a whole (citations, the service tier).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.messages import OpaquePart, ReasoningPart
from inferkit.providers.wires.chat.images import FIELD, image, is_image
from inferkit.providers.wires.chat.write_messages import DETAILS

if TYPE_CHECKING:
    from inferkit.core.messages import Part

__all__ = ["Others"]

_OF_TEXT = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"})
_OF_DELTA = _OF_TEXT | {FIELD, "audio", DETAILS}
_OF_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "usage", "error"})
_OF_EVENT = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation", "x_groq", "error"})
_MOST_TELLINGS = 8
_CUT = frozenset({"text", "summary", "data", "transcript", "arguments"})  # the texts within a field that come in pieces


class Others:
    """The fields of one reply that have no place in a chunk."""

    __slots__ = ("_audio", "_details", "_extra", "_tellings", "_untold")

    def __init__(self) -> None:
        self._audio: _Pieces | None = None
        self._details: dict[Any, _Pieces] = {}
        self._extra: dict[str, _Pieces] = {}
        self._tellings = 0
        self._untold = False

    def gather(
        self, event: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any], *, is_last: bool
    ) -> tuple[Part, ...]:
        """Take what an event says beside text, reasoning and tool calls; give the images that it brings."""
        if not delta.keys() <= _OF_DELTA:
            for name in delta.keys() - _OF_DELTA:
                self._add(name, delta[name], joins=True)
        if not choice.keys() <= _OF_CHOICE:
            for name in choice.keys() - _OF_CHOICE:
                self._add(name, choice[name], joins=name == "logprobs")
        if is_last:
            for name in event.keys() - _OF_EVENT:
                self._add(name, event[name], joins=False)
        return () if delta.keys() <= _OF_TEXT else self._gather_parts(delta)

    def _gather_parts(self, delta: dict[str, Any]) -> tuple[Part, ...]:
        images: list[Part] = []
        for given in delta.get(FIELD) or ():
            if is_image(given):
                images.append(image(given, FIELD))
            else:
                self._add(FIELD, [given], joins=True)
        for detail in delta.get(DETAILS) or ():
            index = detail.get("index")
            place = len(self._details) if index is None else (index, detail.get("type"))
            self._details.setdefault(place, _Pieces()).add(detail)
        audio = delta.get("audio")
        if audio:
            self._audio = self._audio or _Pieces()
            self._audio.add(audio)
        return tuple(images)

    def tell(self, *, last: bool = False) -> tuple[tuple[Part, ...], dict[str, Any] | None]:
        """Give the parts that are whole now, and what else there is to say, if it was not told yet.

        Each telling is of everything, so after a few of them the rest waits for the `last` one.
        """
        parts: tuple[Part, ...] = ()
        if self._tellings >= _MOST_TELLINGS and not last:
            return parts, None
        if self._details:
            details = [each.whole() for each in self._details.values()]
            parts += (ReasoningPart("", None, {DETAILS: details}),)
            self._details = {}
        if self._audio is not None:
            parts += (OpaquePart("audio", self._audio.whole()),)
            self._audio = None
        if not self._untold:
            return parts, None
        self._untold = False
        self._tellings += 1
        return parts, {name: pieces.whole() for name, pieces in self._extra.items()}

    def add(self, name: str, value: Any) -> None:
        """Take one more thing that is to be told, where the provider has not said it under that name."""
        if isinstance(value, list) or name not in self._extra:
            self._add(name, value, joins=isinstance(value, list))

    def _add(self, name: str, value: Any, *, joins: bool) -> None:
        if value is None or value in ("", [], {}):
            return
        known = self._extra.get(name)
        if known is None or not joins:
            if known is not None and known.whole() == value:
                return
            known = self._extra[name] = _Pieces()
        known.add(value, joins=True)
        self._untold = True


class _Pieces:
    """A value that comes in pieces: lists and texts join, mappings name by name; of anything else the last holds."""

    __slots__ = ("_kept", "_texts")

    def __init__(self) -> None:
        self._kept: Any = None
        self._texts: list[str] = []

    def add(self, piece: Any, *, joins: bool = False) -> None:
        """Take a piece; `joins` says whether a text goes on with what came before."""
        if piece is None:
            return
        if isinstance(piece, str) and joins:
            self._kept = None
            self._texts.append(piece)
        elif isinstance(piece, list):
            if not isinstance(self._kept, list):
                self._kept = []
            self._kept += piece
        elif isinstance(piece, dict):
            if not isinstance(self._kept, dict):
                self._kept = {}
            for name, value in piece.items():
                self._kept.setdefault(name, _Pieces()).add(value, joins=name in _CUT)
        else:
            self._kept = piece

    def whole(self) -> Any:
        """Give the value as it stands, as plain data."""
        if isinstance(self._kept, dict):
            return {name: pieces.whole() for name, pieces in self._kept.items()}
        if isinstance(self._kept, list):
            return list(self._kept)
        return "".join(self._texts) if self._kept is None and self._texts else self._kept
