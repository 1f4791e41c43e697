"""A reply from its bytes, as events that come one by one or as one whole object: what the readers of all wires share.

Which of the two it is, its first bytes say, since servers label either as the other. A reply that ends before its wire
says that it is over was cut off, which a close-delimited connection does not tell, and is an error.

It is longer than other modules: every byte of every reply passes here, and the ways through it (texts that are known by
what is around them, events one by one, one whole object) leave each other in the middle of a read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.body import TextBatch
from inferkit.core.errors import ProviderError, Unavailable
from inferkit.providers.errors import refusal, unusable
from inferkit.providers.sse import CR, EventTooLong, SSEParser
from inferkit.providers.wires.payload import Malformed, parse
from inferkit.providers.wires.texts import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inferkit.core.chunks import Chunk
    from inferkit.core.usage import Usage
    from inferkit.providers.sse import SSEEvent
    from inferkit.providers.wires.protocol import Events
    from inferkit.providers.wires.texts import Texts

__all__ = ["MAX_KEPT_BYTES", "OF_WORDS", "BrokenReplyError", "ReplyReader"]

MAX_KEPT_BYTES = 64 * 1024 * 1024
"""What one reply may take in memory, about, until it is over; a whole one may have half of that as its body."""

OF_WORDS = 300
"""Bytes that a chunk takes beside its event, if it brings words."""

_MOST_APART = 8  # events of a read that are read one by one, since they teach how the others may be read
_OF_OTHERS = 800  # if it brings what is gathered
_MAX_BLANK_BYTES = 64 * 1024
_BLANKS = b" \t\r\n\xef\xbb\xbf"  # and the bytes of a BOM
_NOTHING = (b"null", b"[DONE]")  # what servers send that speak several wires
_WHOLE = b"{[<"  # JSON, or a page that says what went wrong


class BrokenReplyError(Exception):
    """The provider says that it broke off. `error` is its error object, or one that is made of its word for that.

    `usage` is what it says that it took.
    """

    def __init__(self, error: Any, usage: Usage | None = None) -> None:
        super().__init__()
        self.error = error
        self.usage = usage

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive copying between processes."""
        return type(self), (self.error, self.usage), self.__dict__


class ReplyReader:
    """Reads one reply; see `Reader`. What a wire's events mean, its `events` know.

    `error_in` gives the error object of a payload, or None, and `ending` says in words what a stream is known to be
    over by. `max_kept_bytes` bounds what a reply may take in memory. `texts` reads what brings pieces of text alone.
    `whole` says that what comes is one object.
    """

    def __init__(
        self,
        provider: str,
        headers: Mapping[str, str],
        events: Events,
        *,
        error_in: Callable[[Any], Any],
        ending: str,
        streamed: bool,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        texts: Texts | None = None,
    ) -> None:
        self.failure: ProviderError | None = None
        self.done = False
        self._provider = provider
        self._headers = headers
        self._events: Any = events
        self._error_in = error_in
        self._ending = ending
        self._texts = texts
        self._most = self._room = max_kept_bytes
        self._expects_stream = streamed
        self._parser: SSEParser | Any = None
        self.whole = False
        self._held: list[bytes] = []
        self._size = 0

    def make_parser(self) -> Any:
        """Make what gives the events of a stream."""
        return SSEParser()

    @property
    def complete(self) -> bool:
        """Whether the reply itself has ended."""
        finished: bool = self._events.finished
        return finished

    @property
    def model(self) -> str | None:
        """The model that the provider says it is."""
        model: str | None = self._events.model
        return model

    @property
    def id(self) -> str | None:
        """The provider's name for the reply."""
        id_: str | None = self._events.id
        return id_

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes; give the chunks that end in them."""
        parser = self._parser
        if parser is None:
            return self._feed_unknown(data)
        chunks: list[Chunk] = []
        texts = self._texts
        if texts is not None:
            size = 0
            if parser.between and not self._waits_for_text:
                found, size = texts.read(data)
                self._room -= size + texts.size * len(found)
                if size == len(data):  # as nearly always
                    return self._stop() if self._room < 0 else found
                chunks = found  # what is left may be a part of an event, which brings nothing yet
            data, chunks = self._read_apart(parser, data, size, texts, chunks)
        if data and not self.done and self.failure is None:
            chunks = self._decoded(parser, data, chunks)
        return self._stop() if self._room < 0 else chunks

    def _read_apart(
        self, parser: SSEParser, data: bytes, size: int, texts: Texts, chunks: list[Chunk]
    ) -> tuple[bytes, list[Chunk]]:
        """Read events after which more may be plain texts, and those; give what is left to be decoded, and all chunks.

        So many bytes of `data` were plain texts, and are read.
        """
        end = b"\n\r\n" if CR in data else b"\n\n"
        data = data[size:]
        for _ in range(_MOST_APART):
            if not (size or texts.wants_more) and parser.between and not self._waits_for_text:
                break
            # one that may teach what is around its text, or the rest of one that was cut: those after it may be plain
            first = data.find(end) + len(end)
            if not len(end) <= first < len(data):
                break
            chunks = self._decoded(parser, data[:first], chunks)
            data = data[first:]
            if self.done or self.failure is not None:
                break
            size = 0
            if parser.between and not self._waits_for_text:
                found, size = texts.read(data)
                self._room -= size + texts.size * len(found)
                chunks = joined(chunks, found)
                data = data[size:]
        return data, chunks

    def _decoded(self, parser: SSEParser, data: bytes, before: list[Chunk]) -> list[Chunk]:
        """Read bytes as the events that they are; give their chunks after those before them."""
        if type(before) is not TextBatch:
            self._decode(parser, data, before)
            return before
        chunks: list[Chunk] = []
        self._decode(parser, data, chunks)
        return before.followed_by(chunks) if chunks else before

    def _decode(self, parser: SSEParser, data: bytes, chunks: list[Chunk]) -> None:
        try:
            self._take(parser.feed(data), chunks)
        except EventTooLong as error:
            self._fail(f"its reply is not usable: {error}")
        except Malformed as error:
            self._fail(f"an event of its stream is not usable: {error}")
        except ProviderError as error:
            self.failure = error

    def end(self) -> list[Chunk]:
        """Say that there are no more bytes; give what they completed."""
        chunks: list[Chunk] = []
        try:
            if self.whole or (self._parser is None and not self._is_labelled_stream):
                self._end_whole(chunks)
            elif not self.done:
                self._end_stream(chunks)
        except Malformed as error:
            self._fail(f"its reply is not usable: {error}")
        except ProviderError as error:
            self.failure = error
        self.done = self.failure is None
        return chunks

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

    def _feed_unknown(self, data: bytes) -> list[Chunk]:
        """Hold what came until it is known what it is, and of a whole reply, everything."""
        self._held.append(data)
        self._size += len(data)
        if not self.whole:
            begin = data.lstrip(_BLANKS)[:1]
            if begin and begin in _WHOLE:
                self.whole = True
            elif begin or (self._is_labelled_stream and self._size > _MAX_BLANK_BYTES):
                self._parser = self.make_parser()
                held, self._held = b"".join(self._held), []
                return self.feed(held)
        return self._stop() if self._size > self._most // 2 else []

    @property
    def _is_labelled_stream(self) -> bool:
        kind = self._headers.get("content-type", "").lower()
        return "event-stream" in kind or (self._expects_stream and "json" not in kind and "html" not in kind)

    def _take(self, events: Iterable[SSEEvent], chunks: list[Chunk]) -> None:
        read = self._events
        for event in events:
            content = self._content(event)
            if content is None:
                continue
            self._read(content, event.raw, chunks)
            if read.done:
                self.done = True
                return

    def _content(self, event: SSEEvent) -> dict[str, Any] | None:
        """Give an event's object; None for a sign of life, of which some have odd data or none."""
        raw = event.raw
        if not raw or raw in _NOTHING:
            return None
        content = parse(raw)
        if type(content) is not dict:
            raise Malformed("it is not an object")
        return content

    def _read(self, content: dict[str, Any], raw: bytes, chunks: list[Chunk]) -> None:
        self._look_for_error(content)
        events = self._events
        try:
            events.read(content, chunks, raw)
        except BrokenReplyError as broken:
            raise self._refused(broken) from None
        if events.light:
            self._room -= len(raw) + OF_WORDS
            self._learn(raw)
        else:
            self._learn(None)
            self._room -= 2 * len(raw) + _OF_OTHERS

    def _refused(self, broken: BrokenReplyError) -> ProviderError:
        error = refusal(self._provider, None, self._headers, broken.error)
        error.usage = broken.usage
        return error

    @property
    def _waits_for_text(self) -> bool:
        """Whether something is held that must come before the next text."""
        return False

    def _learn(self, raw: bytes | None) -> None:
        """Learn from an event that brought words, or forget, where it brought something else."""
        if self._texts is None:
            return
        if raw is None:
            self._texts.forget()
        else:
            self._texts.learn(raw)

    def _look_for_error(self, content: Any) -> None:
        error = self._error_in(content)
        if error is not None:
            raise refusal(self._provider, None, self._headers, error)

    def _end_stream(self, chunks: list[Chunk]) -> None:
        rest = None if self._parser is None else self._parser.close()
        if rest is not None:
            try:
                self._take([rest], chunks)
            except Malformed:  # the end cut it off
                if not self.complete:
                    raise
        if not self.complete and not self.done:
            self._fail(f"its stream ended before the reply did ({self._ending}); try again")
        elif not self.done:
            self._before_the_end(chunks)
            self._events.rest(chunks)

    def _before_the_end(self, chunks: list[Chunk]) -> None:
        """Give what waited for more."""

    def _end_whole(self, chunks: list[Chunk]) -> None:
        held, self._held = b"".join(self._held), []
        try:
            content = parse(held.removeprefix(b"\xef\xbb\xbf"))
            self._look_for_error(content)
            try:
                self._events.read_whole(content, chunks, held)
            except BrokenReplyError as broken:
                raise self._refused(broken) from None
            self._events.rest(chunks)
        except Malformed as malformed:
            html = held.lstrip()[:1] == b"<" or "html" in self._headers.get("content-type", "").lower()
            hint = "; it sent HTML, so check base_url=" if html else ""
            raise Malformed(f"{malformed}{hint}") from None

    def _fail(self, what: str) -> None:
        self.failure = unusable(self._provider, what, status=200)
