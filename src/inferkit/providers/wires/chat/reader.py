"""A Chat Completions reply from its bytes, as events that come one by one or as one whole object.

Which of the two it is, its first bytes say, since servers label either as the other. A reply is complete when a
`finish_reason` or `[DONE]` was seen. One that ends without either was cut off, which a close-delimited connection does
not tell, and is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.core.errors import ProviderError, Unavailable
from inferkit.providers.errors import refusal, unusable
from inferkit.providers.sse import EventTooLong, SSEParser
from inferkit.providers.wires.chat.errors import error_in
from inferkit.providers.wires.chat.events import BrokenReplyError, ChatEvents
from inferkit.providers.wires.chat.halves import Halves
from inferkit.providers.wires.chat.tags import Tags
from inferkit.providers.wires.chat.texts import Texts
from inferkit.providers.wires.payload import Malformed, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inferkit.providers.sse import SSEEvent

__all__ = ["MAX_KEPT_BYTES", "ChatReader"]

MAX_KEPT_BYTES = 64 * 1024 * 1024
"""What one reply may take in memory, about, until it is over; a whole one may have half of that as its body."""

_OF_TEXT = 170  # what a chunk takes beside its event, if it is like the others
_OF_WORDS = 300  # if it brings words, and is not
_OF_OTHERS = 800  # if it brings what is gathered
_MAX_BLANK_BYTES = 64 * 1024
_BLANKS = b" \t\r\n\xef\xbb\xbf"  # and the bytes of a BOM
_WHOLE = b"{[<"  # JSON, or a page that says what went wrong


class ChatReader:
    """Reads one reply; see `Reader`.

    `max_kept_bytes` bounds what it may take in memory; `reasoning_tags` are those between which its reasoning stands.
    """

    def __init__(
        self,
        provider: str,
        headers: Mapping[str, str],
        *,
        streamed: bool,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        reasoning_tags: tuple[str, str] | None = None,
    ) -> None:
        self.failure: ProviderError | None = None
        self.done = False
        self.model: str | None = None
        self.id: str | None = None
        self._provider = provider
        self._headers = headers
        self._most = self._room = max_kept_bytes
        self._expects_stream = streamed
        self._events = ChatEvents()
        self._texts = Texts()
        self._halves = Halves()
        self._tags = None if reasoning_tags is None else Tags(*reasoning_tags)
        self._parser: SSEParser | None = None
        self._whole = False
        self._held: list[bytes] = []
        self._size = 0
        self._met = False

    @property
    def complete(self) -> bool:
        """Whether the reply itself has ended."""
        return self._events.finished

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes; give the chunks that end in them."""
        parser = self._parser
        if parser is None:
            return self._feed_unknown(data)
        if parser.between and not self._halves.waiting:
            texts = self._texts.read(data)
            if texts is not None:
                self._room -= len(data) + _OF_TEXT * len(texts)
                if self._room < 0:
                    return self._stop()
                return texts if self._tags is None else self._untagged(texts)
        chunks: list[Chunk] = []
        try:
            self._take(parser.feed(data), chunks)
        except EventTooLong as error:
            self._fail(f"its reply is not usable: {error}")
        except Malformed as error:
            self._fail(f"an event of its stream is not usable: {error}")
        except ProviderError as error:
            self.failure = error
        if self._room < 0:
            return self._stop()
        return chunks if self._tags is None else self._untagged(chunks)

    def _stop(self) -> list[Chunk]:
        self._held = []
        self.failure = Unavailable(
            f"{self._provider}: its reply takes more than {self._most} bytes in memory; set max_output_tokens=, or if "
            "you want it, raise the provider's max_kept_bytes=",
            provider=self._provider,
            status=200,
            code="reply_too_long",
            retryable=False,
        )
        return []

    def end(self) -> list[Chunk]:
        """Say that there are no more bytes; give what they completed."""
        chunks: list[Chunk] = []
        try:
            if self._whole or (self._parser is None and not self._is_labelled_stream):
                self._end_whole(chunks)
            elif not self.done:
                self._end_stream(chunks)
        except Malformed as error:
            self._fail(f"its reply is not usable: {error}")
        except ProviderError as error:
            self.failure = error
        self.done = self.failure is None
        return chunks if self._tags is None else self._untagged(chunks)

    def _untagged(self, chunks: list[Chunk]) -> list[Chunk]:
        assert self._tags is not None
        chunks = self._tags.split(chunks)
        if self.done or self.failure is not None:
            text, reasoning = self._tags.rest()
            if text or reasoning:
                chunks.append(Chunk(text, reasoning))
        return chunks

    def _feed_unknown(self, data: bytes) -> list[Chunk]:
        """Hold what came until it is known what it is, and of a whole reply, everything."""
        self._held.append(data)
        self._size += len(data)
        if not self._whole:
            begin = data.lstrip(_BLANKS)[:1]
            if begin and begin in _WHOLE:
                self._whole = True
            elif begin or (self._is_labelled_stream and self._size > _MAX_BLANK_BYTES):
                self._parser = SSEParser()
                held, self._held = b"".join(self._held), []
                return self.feed(held)
        return self._stop() if self._size > self._most // 2 else []

    @property
    def _is_labelled_stream(self) -> bool:
        kind = self._headers.get("content-type", "").lower()
        return "event-stream" in kind or (self._expects_stream and "json" not in kind and "html" not in kind)

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
            self._meet(content)
        if self._events.read_text(content, chunks, raw):
            self._texts.learn(raw)
            self._room -= len(raw) + _OF_WORDS
            return
        if "error" in content or content.get("object") == "error":
            error = error_in(content)
            if error is not None:
                raise refusal(self._provider, None, self._headers, error)
        try:
            self._events.read(content, chunks, raw)
            self._room -= len(raw) + _OF_WORDS if self._events.light else 2 * len(raw) + _OF_OTHERS
        except BrokenReplyError as broken:
            raise refusal(self._provider, None, self._headers, broken.error) from None

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

    def _meet(self, content: dict[str, Any]) -> None:
        self._met = True
        model, id_ = content.get("model"), content.get("id")
        self.model = model if isinstance(model, str) else None
        self.id = id_ if isinstance(id_, str) else None

    def _end_stream(self, chunks: list[Chunk]) -> None:
        rest = None if self._parser is None else self._parser.close()
        if rest is not None:
            try:
                self._take([rest], chunks)
            except Malformed:  # the end cut it off
                if not self.complete:
                    raise
        if not self.complete and not self.done:
            self._fail("its stream ended before the reply did (no finish reason, no [DONE]); try again")
        elif not self.done:
            self._end_texts(chunks)
            self._events.rest(chunks)

    def _end_whole(self, chunks: list[Chunk]) -> None:
        held, self._held = b"".join(self._held), []
        try:
            content = parse(held.removeprefix(b"\xef\xbb\xbf"))
            error = error_in(content)
            if error is not None:
                raise refusal(self._provider, None, self._headers, error)
            try:
                self._events.read_whole(content, chunks, held)
            except BrokenReplyError as broken:
                raise refusal(self._provider, None, self._headers, broken.error) from None
            self._events.rest(chunks)
            self._meet(content)
        except Malformed as malformed:
            html = held.lstrip()[:1] == b"<" or "html" in self._headers.get("content-type", "").lower()
            hint = "; it sent HTML, so check base_url=" if html else ""
            raise Malformed(f"{malformed}{hint}") from None

    def _fail(self, what: str) -> None:
        self.failure = unusable(self._provider, what, status=200)


def _as_it_is(value: Any) -> Any:
    return value


def _says_why_it_ended(content: dict[str, Any]) -> bool:
    choices = content.get("choices")
    return isinstance(choices, list) and any(isinstance(each, dict) and each.get("finish_reason") for each in choices)
