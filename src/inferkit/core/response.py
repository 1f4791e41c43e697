"""A reply on its way: a stream of chunks that exactly one holder owns.

Whoever holds a `Response` returns it or closes it. What must happen at the end (settling, ending spans, committing to
the cache) hangs on `on_close` and runs exactly once, from the innermost layer outwards, whether the stream was read to
its end, closed early, cancelled, broken or dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from inferkit.core.ending import End, Ending
from inferkit.core.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.core.chunks import Chunk
    from inferkit.core.ending import OnClose
    from inferkit.core.record import Outcome
    from inferkit.runtime.protocol import Runtime

__all__ = ["Body", "End", "Response"]


class Body(Protocol):
    """Where chunks come from. It may have `aclose()`, which may be called while a read waits, and then wakes it."""

    async def __anext__(self) -> Chunk: ...


_OPEN, _MOVED, _ENDED, _CLOSED = range(4)
_CLOSED_MEANWHILE = "the stream was closed while it was being read"


class Response:
    """A stream of chunks and what is known about it. `model`, `id` and `headers` are what the provider said."""

    __slots__ = (
        "_body",
        "_generation",
        "_hooks",
        "_maps",
        "_reading",
        "_runtime",
        "_source",
        "_state",
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
        self._maps: tuple[Callable[[Chunk], Chunk], ...] = ()
        self._hooks: tuple[OnClose, ...] = () if on_close is None else (on_close,)
        self._runtime = runtime
        self._generation = runtime.endings.generation
        self._state = _OPEN
        self._reading = False
        self.model = model
        self.id = id
        self.headers: Mapping[str, str] = headers or {}

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> Chunk:
        if self._state is not _OPEN or self._reading:
            self._refuse_to_read()
        self._reading = True
        try:
            chunk: Chunk = await self._body.__anext__()
            for change in self._maps:
                chunk = change(chunk)
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
            await self._end("error" if isinstance(error, Exception) else "cancelled", error, _CLOSED)
            raise
        self._reading = False
        if self._state is _CLOSED:
            raise StreamError(_CLOSED_MEANWHILE)
        return chunk

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
        change: Callable[[Chunk], Chunk] | None = None,
        *,
        on_close: OnClose | None = None,
    ) -> Response:
        """Hand the stream on with each chunk passed through `change`, and `on_close` called at its end.

        An observer returns the chunk it was given. An error that `change` raises ends the stream.
        """
        new = self._successor(self._body)
        new._source, new._maps, new._hooks = self._source, self._maps, self._hooks
        if change is not None:
            new._maps = (*self._maps, change)
        if on_close is not None:
            new._hooks = (*self._hooks, on_close)
        self._state = _MOVED
        self._body = self._source = None
        self._hooks = ()
        return new

    def through(self, body: Body, *, on_close: OnClose | None = None) -> Response:
        """Hand the stream on as another body, which reads from this response; closing closes both."""
        new = self._successor(body)
        new._source = self
        if on_close is not None:
            new._hooks = (on_close,)
        return new

    def _successor(self, body: Any) -> Response:
        if self._state is _MOVED:
            raise StreamError("this response was handed on already; use the one that through() or map() returned")
        return Response(body, runtime=self._runtime, model=self.model, id=self.id, headers=self.headers)

    async def read(self) -> list[Chunk]:
        """Read the stream to its end and return its chunks."""
        return [chunk async for chunk in self]

    async def aclose(self, *, error: BaseException | None = None) -> None:
        """Close the stream, from any task, any number of times. `error` is what made the holder leave, if anything."""
        cancelled = error is not None and not isinstance(error, Exception | GeneratorExit)
        await self._end("cancelled" if cancelled else "closed", error, _CLOSED)

    async def _end(self, outcome: Outcome, error: BaseException | None, state: int) -> None:
        if self._state is not _OPEN or self._is_inherited():
            return
        self._state = state
        ending = Ending(self._runtime, outcome, error, self._parts())
        if outcome == "completed":  # there is nothing to wait for
            await ending.run(self._runtime)
        else:
            self._runtime.endings.until_exit(ending)
            await self._runtime.conclude(ending.run)

    def _parts(self) -> list[tuple[Any, OnClose | None]]:
        """Take apart what is to be closed and called, this stream's hooks before the body that feeds them."""
        parts: list[tuple[Any, OnClose | None]] = [(None, hook) for hook in reversed(self._hooks)]
        if hasattr(self._body, "aclose"):
            parts.append((self._body, None))
        source = self._source
        self._body = self._source = None
        self._hooks = self._maps = ()
        if source is not None and source._state is _OPEN:
            source._state = _CLOSED
            parts += source._parts()
        return parts

    def _is_inherited(self) -> bool:
        """Say whether a fork lies between: the stream is the parent's then, and the parent ends and settles it."""
        return self._generation != self._runtime.endings.generation

    def __del__(self) -> None:
        if getattr(self, "_state", _CLOSED) is _OPEN and not self._is_inherited():
            self._runtime.endings.take(self.abandon)

    def abandon(self) -> None:
        """End a stream from outside the place it belongs to."""
        if self._state is _OPEN:
            self._state = _CLOSED
            Ending(self._runtime, "abandoned", None, self._parts()).abandon()
