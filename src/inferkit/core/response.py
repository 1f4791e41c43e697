"""A reply on its way: a stream of chunks that exactly one holder owns.

Whoever holds a `Response` returns it or closes it. What must happen at the end (settling, ending spans, committing to
the cache) hangs on `on_close` and runs exactly once, from the innermost layer outwards, whether the stream was read to
its end, closed early, cancelled, broken or dropped.

Inside, chunks travel in batches: all that one read of a socket brought. Observers see a batch in one loop; whoever
iterates over a response is given one chunk at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

from inferkit.core.body import AllAtOnce, End
from inferkit.core.ending import Ending, Open, Told, finish
from inferkit.core.errors import StreamError
from inferkit.core.observers import observed
from inferkit.core.shown import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.attempt import Outcome
    from inferkit.core.body import Batch, Body, Change, ChangeAll, Explain, OnClose
    from inferkit.core.chunks import Chunk
    from inferkit.core.ending import Part
    from inferkit.core.observers import Observer
    from inferkit.runtime.protocol import Runtime

__all__ = ["Response"]

_OPEN, _MOVED, _ENDED, _CLOSED = range(4)
_CLOSED_MEANWHILE = "the stream was closed while it was being read"
_HANDED_ON = "this response was handed on already; use the one that through() or map() returned"


class Response:
    """A stream of chunks and what is known about it. `model`, `id` and `headers` are what the provider said."""

    __slots__ = (
        "_body",
        "_explain",
        "_failure",
        "_generation",
        "_hooks",
        "_maps",
        "_reading",
        "_ready",
        "_runtime",
        "_source",
        "_state",
        "_unread",
        "headers",
        "id",
        "model",
    )

    def __init__(
        self,
        body: Body,
        *,
        runtime: Runtime,
        on_close: OnClose | None = None,
        model: str | None = None,
        id: str | None = None,  # noqa: A002 - the provider's name for it
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._body: Any = body
        self._source: Response | None = None
        self._maps: tuple[Observer, ...] = ()
        self._hooks: tuple[OnClose | Told, ...] = () if on_close is None else (on_close,)
        self._runtime = runtime
        self._generation = runtime.endings.generation
        self._state = _OPEN
        self._reading = False
        self._ready: Batch = []  # read, and not handed over yet; the next one is the last
        self._unread: tuple[Batch, int] | None = None  # a batch to come first, and how many observers have seen it
        self._failure: Exception | None = None  # what an observer raised after chunks that are handed over first
        self._explain: tuple[tuple[Explain, int], ...] = ()  # and how many hooks stand inside, and see what it was
        self.model = model
        self.id = id
        self.headers: Mapping[str, str] = headers or {}

    @classmethod
    def of(
        cls,
        chunks: Sequence[Chunk],
        *,
        runtime: Runtime,
        model: str | None = None,
        id: str | None = None,  # noqa: A002 - the provider's name for it
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Make the response whose chunks are all there already."""
        return cls(AllAtOnce(chunks), runtime=runtime, model=model, id=id, headers=headers)

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> Chunk:
        if not self._ready:
            self._ready = (await self.next_batch())[::-1]
        elif self._state is not _OPEN or self._reading:
            self._refuse_to_read()
        return self._ready.pop()

    async def next_batch(self) -> Batch:  # noqa: C901, PLR0912 - one step, and every way it may end
        """Give all that the next read brings, or what is left of the last; raise `StopAsyncIteration` at the end.

        For the bodies of layers and for those who read everything anyway.
        """
        if self._state is not _OPEN or self._reading:
            self._refuse_to_read()
        if self._ready:
            left, self._ready = self._ready[::-1], []
            return left
        if self._failure is not None and self._unread is None:
            await self._fail(self._failure)
        self._reading = True
        try:
            maps = self._maps
            if self._unread is not None:
                (batch, seen), self._unread = self._unread, None
                maps = maps[seen:]
            else:
                batch = await self._body.__anext__()
                if not isinstance(batch, list):
                    batch = [batch]
            if maps:
                if len(batch) == 1:  # as most are
                    chunk = batch[0]
                    for change, _ in maps:
                        chunk = change(chunk)
                    batch = [chunk]
                else:
                    batch, self._failure = observed(batch, maps)
        except StopAsyncIteration as end:
            self._reading = False
            if self._state is _CLOSED:
                raise StreamError(_CLOSED_MEANWHILE) from end
            await self._end("completed", None, _ENDED)
            raise
        except BaseException as error:
            self._reading = False
            if self._state is _CLOSED and isinstance(error, Exception):
                raise StreamError(_CLOSED_MEANWHILE) from error
            await self._fail(error)
        self._reading = False
        if self._state is _CLOSED:
            raise StreamError(_CLOSED_MEANWHILE)
        return batch or await self.next_batch()  # a read may have brought nothing

    async def _fail(self, failure: BaseException) -> NoReturn:
        """End with a failure, and raise what it means to whoever reads here."""
        meaning, told = failure, 0
        for explain, inside in self._explain:
            hooks = [Told(hook, meaning) for hook in cast("tuple[OnClose, ...]", self._hooks[told:inside])]
            self._hooks = (*self._hooks[:told], *hooks, *self._hooks[inside:])
            meaning, told = explain(meaning), inside
        await self._end("error" if isinstance(meaning, Exception) else "cancelled", meaning, _CLOSED)
        if meaning is failure:
            raise failure
        raise meaning from failure

    def unread(self, batch: Batch) -> None:
        """Put back what was read, so that it comes first once more."""
        self._unread = (batch, len(self._maps))

    def _refuse_to_read(self) -> None:
        if self._reading:
            raise StreamError("the stream is being read by two at once; give each reader a call of its own")
        if self._state is _ENDED:
            raise StopAsyncIteration
        if self._state is _MOVED:
            raise StreamError("this response was handed on by through() or map(); read the one that they returned")
        raise StreamError("the stream is closed; read it before closing, or start another call")

    def map(
        self,
        change: Change | None = None,
        *,
        change_all: ChangeAll | None = None,
        on_close: OnClose | None = None,
        explain: Explain | None = None,
    ) -> Response:
        """Hand the stream on with each chunk passed through `change`, and `on_close` called at its end.

        An observer returns the chunk it was given. An error that `change` raises ends the stream, after the chunks that
        came before. `change_all`, for speed alone, does the same for several chunks, where it can. `explain` is given
        what breaks the stream, and says what that means to its reader.
        """
        if self._state is _MOVED:
            raise StreamError(_HANDED_ON)
        if self._ready:  # somebody has read a part of a batch
            self.unread(self._ready[::-1])
        new: Response = object.__new__(Response)  # every layer of every call comes by here
        new._body, new._source, new._runtime, new._generation = (
            self._body, self._source, self._runtime, self._generation
        )  # fmt: skip
        new._maps = self._maps if change is None else (*self._maps, (change, change_all))
        new._hooks = self._hooks if on_close is None else (*self._hooks, on_close)
        new._explain = self._explain if explain is None else (*self._explain, (explain, len(new._hooks)))
        new._state, new._reading, new._ready = _OPEN, False, []
        new._unread, new._failure = self._unread, self._failure
        new.model, new.id, new.headers = self.model, self.id, self.headers
        self._state = _MOVED
        self._body = self._source = self._unread = self._failure = None
        self._hooks = ()
        return new

    def through(self, body: Body, *, on_close: OnClose | None = None) -> Response:
        """Hand the stream on as another body, which reads from this response; closing closes both."""
        if self._state is _MOVED:
            raise StreamError(_HANDED_ON)
        new = Response(
            body, runtime=self._runtime, on_close=on_close, model=self.model, id=self.id, headers=self.headers
        )
        new._source = self
        return new

    def at_end(self, on_close: OnClose) -> None:
        """Have `on_close` called at the end too: for a holder that returns the stream as it is."""
        if self._state is _MOVED:
            raise StreamError(_HANDED_ON)
        self._hooks = (*self._hooks, on_close)

    @property
    def is_closed(self) -> bool:
        """Whether it is over: read to its end, or closed before."""
        return self._state is not _OPEN

    def __repr__(self) -> str:
        """Say what it is the reply of, and nothing of what it says."""
        return shown(self, "closed" if self.is_closed else "open", model=self.model, id=self.id)

    async def read(self) -> list[Chunk]:
        """Read the stream to its end and return its chunks."""
        chunks: list[Chunk] = []
        try:
            while True:
                chunks += await self.next_batch()
        except StopAsyncIteration:
            return chunks

    async def aclose(self, *, error: BaseException | None = None) -> None:
        """Close the stream, from any task, any number of times. `error` is what made the holder leave, if anything."""
        if self._state is _OPEN:
            cancelled = error is not None and not isinstance(error, Exception | GeneratorExit)
            await self._end("cancelled" if cancelled else "closed", error, _CLOSED)

    async def _end(self, outcome: Outcome, error: BaseException | None, state: int) -> None:
        if self._state is not _OPEN or self._generation != self._runtime.endings.generation:
            return  # over, or of the process that this one was forked from, which ends and settles it
        self._state = state
        parts: list[Part] | None = None
        ending: Ending | None = None
        try:
            parts = self._parts()
            if outcome == "completed":  # there is nothing to wait for
                await finish(parts, End(outcome, error, self._runtime), self._runtime)
            else:
                ending = Ending(self._runtime, outcome, error, parts)
                self._runtime.endings.until_exit(ending)
                await self._runtime.conclude(ending.run)
        except BaseException:  # an interrupt, say; on a loop, what is to be concluded goes on without whoever waited
            if ending is None or self._runtime.blocking:
                Ending(self._runtime, outcome, error, self._parts() if parts is None else parts)  # dropped at once
            raise

    def _parts(self) -> list[Part]:
        """Take apart what is to be closed and called, what comes last first. Nothing is where an interrupt comes."""
        parts: list[Part] = list(reversed(self._hooks))
        if hasattr(self._body, "aclose"):
            parts.append(Open(self._body))
        source = getattr(self._body, "source", self._source)  # a body may read one response after another
        if source is not None and source._state is _OPEN:
            parts += source._parts()
            source._state = _CLOSED
        self._body = self._source = self._unread = self._failure = None
        self._hooks = self._maps = self._explain = ()
        return parts

    def __del__(self) -> None:
        if getattr(self, "_state", _CLOSED) is _OPEN and self._generation == self._runtime.endings.generation:
            self._runtime.endings.take(self.abandon)

    def abandon(self) -> None:
        """End a stream from outside the place it belongs to."""
        if self._state is _OPEN:
            self._state = _CLOSED
            Ending(self._runtime, "abandoned", None, self._parts()).abandon()
