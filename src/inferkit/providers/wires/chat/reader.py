"""A Chat Completions reply from its bytes: what is peculiar to this wire in how its bytes become events.

A reply is complete when a `finish_reason` or `[DONE]` was seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.providers.wires.chat.errors import error_in
from inferkit.providers.wires.chat.events import ChatEvents, plain_text
from inferkit.providers.wires.chat.halves import Halves
from inferkit.providers.wires.chat.tags import Tags
from inferkit.providers.wires.payload import Malformed, parse
from inferkit.providers.wires.reply_reader import MAX_KEPT_BYTES, OF_WORDS, ReplyReader
from inferkit.providers.wires.texts import PADDING, TextForm, Texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inferkit.providers.sse import SSEEvent

__all__ = ["ChatReader"]

_TEXT = TextForm(
    b"data: ",
    re.compile(rb'"content":\s*"'),
    plain_text,
    re.compile(rb'"obfuscation":\s*' + PADDING),
)


class ChatReader(ReplyReader):
    """Reads one reply; see `Reader`. `reasoning_tags` are those between which its reasoning stands."""

    _events: ChatEvents

    def __init__(
        self,
        provider: str,
        headers: Mapping[str, str],
        *,
        streamed: bool,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        reasoning_tags: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(
            provider,
            headers,
            ChatEvents(),
            error_in=error_in,
            ending="no finish reason, no [DONE]",
            streamed=streamed,
            max_kept_bytes=max_kept_bytes,
            texts=Texts(_TEXT),
        )
        self._halves = Halves()
        self._met = False
        self._tags = None if reasoning_tags is None else Tags(*reasoning_tags)

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes; give the chunks that end in them."""
        known = self._parser is not None
        chunks = super().feed(data)
        return chunks if self._tags is None or not known else self._untagged(chunks)

    @property
    def _waits_for_text(self) -> bool:
        return bool(self._halves.waiting)

    def end(self) -> list[Chunk]:
        """Say that there are no more bytes; give what they completed."""
        chunks = super().end()
        return chunks if self._tags is None else self._untagged(chunks)

    def _untagged(self, chunks: list[Chunk]) -> list[Chunk]:
        assert self._tags is not None
        chunks = self._tags.split(chunks)
        if self.done or self.failure is not None:
            text, reasoning = self._tags.rest()
            if text or reasoning:
                chunks.append(Chunk(text, reasoning))
        return chunks

    def _take(self, events: Iterable[SSEEvent], chunks: list[Chunk]) -> None:
        for event in events:
            raw = event.raw
            if raw == b"[DONE]" or raw.strip() == b"[DONE]":
                self._end_texts(chunks)
                self.done = True
                self._events.rest(chunks)
                return
            content = self._content(event)
            if content is not None:
                if self._halves.waiting and _says_why_it_ended(content):
                    self._end_texts(chunks)
                self._read(content, raw, chunks)

    def _end_texts(self, chunks: list[Chunk]) -> None:
        """Give what waits for the other half of a character, which does not come any more."""
        if self._halves.waiting:
            self._events.read(self._halves.rest(), chunks)

    def _read(self, content: dict[str, Any], raw: bytes, chunks: list[Chunk]) -> None:
        if not self._met:
            self._met = True
            self._events.meet(content)
        if self._events.read_text(content, chunks, raw):
            self._learn(raw)
            self._room -= len(raw) + OF_WORDS
            return
        super()._read(content, raw, chunks)

    def _look_for_error(self, content: Any) -> None:
        if type(content) is not dict or "error" in content or content.get("object") in ("error", "Error"):
            super()._look_for_error(content)

    def _content(self, event: SSEEvent) -> dict[str, Any] | None:
        """Give an event's object; None for a sign of life, of which some have names and odd data."""
        raw = event.raw
        if event.event == "message":
            if not raw or raw == b"null":
                return None
            join = self._halves.join
            content = join(parse(raw, _as_it_is)) if self._halves.waiting else parse(raw, join)
        elif event.event == "error":
            try:
                content = parse(raw)
            except Malformed:
                content = event.data
            return {"error": error_in(content) or content or "error"}
        else:
            try:
                content = parse(raw)
            except Malformed:
                return None
            if content is None:
                return None
        if type(content) is not dict:
            raise Malformed("it is not an object")
        return content

    def _before_the_end(self, chunks: list[Chunk]) -> None:
        self._end_texts(chunks)


def _as_it_is(value: Any) -> Any:
    return value


def _says_why_it_ended(content: dict[str, Any]) -> bool:
    choices = content.get("choices")
    return isinstance(choices, list) and any(isinstance(each, dict) and each.get("finish_reason") for each in choices)
