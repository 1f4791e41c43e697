"""`run_tools` as it goes: the chunks of each reply, and in between which functions run, and have run."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic

from inferkit.client.streams import AsyncStream, Stream
from inferkit.core.errors import StreamError
from inferkit.core.reply import T
from inferkit.core.shown import shown
from inferkit.core.tool_run import ToolStarted
from inferkit.runtime.loops import current_runtime
from inferkit.runtime.writer import endings, until_exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType
    from typing import Self

    from inferkit.client.streams import Run
    from inferkit.client.tool_loop import ToolLoop
    from inferkit.core.tool_run import ToolEvent, ToolRun

__all__ = ["AsyncToolStream", "ToolStream"]


class _Events(Generic[T]):
    """What both kinds of stream are made of: the loop, the reply that is being read, and the events that wait."""

    inferkit_knows_who_pays = True  # the loop noted it when it was made
    _reading: Stream[Any] | AsyncStream[Any] | None = None

    def __init__(self, loop: ToolLoop) -> None:
        self._loop = loop
        self._waiting: deque[ToolEvent] = deque()
        self._announced = self._busy = self._closed = False
        until_exit(self)

    def __repr__(self) -> str:
        """Say how far it is, and nothing of what came."""
        state = "closed" if self._closed else "ended" if self._loop.ended else "open"
        return shown(self, state, f"{len(self._loop.so_far().rounds)} rounds")

    @property
    def run(self) -> ToolRun[T]:
        """All that was done so far; at the end of the stream, all of it."""
        return self._loop.so_far()

    @property
    def text(self) -> str:
        """The text so far of the reply that is being read; between replies and at the end, that of the last."""
        if self._reading is not None:
            return self._reading.text
        rounds = self._loop.so_far().rounds
        return rounds[-1].reply.text if rounds else ""

    def _take(self) -> None:
        """Take the reply that was read to its end."""
        assert self._reading is not None
        reply, self._reading = self._reading.reply, None
        self._loop.take(reply)

    def _refuse_to_read(self) -> None:
        if self._busy:
            raise StreamError("the stream is being read by two at once; give each reader one of its own")
        if self._closed or (self._loop.ended and not self._loop.over):
            raise StreamError("the stream is closed; read it before closing, or start another one")

    def abandon(self) -> None:
        """End what its replies do not end by themselves, where it is dropped or the interpreter exits."""
        self._loop.end()

    def __del__(self) -> None:
        if hasattr(self, "_loop") and not self._loop.ended:
            endings.take(self._loop.end)


class AsyncToolStream(_Events[T]):
    """`run_tools` as it goes. Iterate over its events inside `async with`, which closes it however you leave."""

    _reading: AsyncStream[Any] | None

    async def __aenter__(self) -> Self:
        if not self._loop.asked and self._reading is None:
            self._refuse_to_read()
            with self._loop.step():
                await self._open()
        return self

    async def _open(self) -> None:
        self._reading = AsyncStream(self._loop.next_call())
        await self._reading.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(error)

    def __aiter__(self) -> AsyncIterator[ToolEvent]:
        return self

    async def __anext__(self) -> ToolEvent:
        self._refuse_to_read()
        if self._waiting:
            return self._waiting.popleft()
        self._busy = True
        try:
            if self._reading is not None:
                try:
                    return await self._reading.__anext__()
                except StopAsyncIteration:
                    pass
                except BaseException as error:
                    self._loop.end(error)
                    raise
            return await self._turn()
        finally:
            self._busy = False

    async def _turn(self) -> ToolEvent:
        """Go on from the end of a reply, or from functions that have run, to the next event."""
        loop = self._loop
        if not loop.ended:
            with loop.step():
                if self._reading is not None:
                    self._take()
                while not loop.over:
                    if not loop.asked:
                        await self._open()
                        try:
                            return await self._reading.__anext__()  # type: ignore[union-attr]  # it was opened
                        except StopAsyncIteration:
                            self._take()
                    elif self._announced:
                        self._announced = False
                        self._waiting += await loop.answer_all(current_runtime())
                    else:
                        self._announced = True
                        self._waiting += map(ToolStarted, loop.asked)
                    if self._closed:
                        raise StreamError("the stream was closed while it was being read")
                    if self._waiting:
                        return self._waiting.popleft()
            loop.end()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the stream; safe from any task, any number of times."""
        await self._close(None)

    async def _close(self, error: BaseException | None) -> None:
        self._closed = True
        try:
            if self._reading is not None:
                await self._reading.__aexit__(None, error, None)
        finally:
            self._loop.end()


class ToolStream(_Events[T]):
    """`run_tools` as it goes. Iterate over its events inside `with`, which closes it however you leave."""

    _reading: Stream[Any] | None

    def __init__(self, loop: ToolLoop, run: Run) -> None:
        super().__init__(loop)
        self._run = run

    def __enter__(self) -> Self:
        if not self._loop.asked and self._reading is None:
            self._refuse_to_read()
            with self._loop.step():
                self._open()
        return self

    def _open(self) -> None:
        self._reading = Stream(self._loop.next_call(), self._run)
        self._reading.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def __iter__(self) -> Iterator[ToolEvent]:
        return self

    def __next__(self) -> ToolEvent:
        self._refuse_to_read()
        self._busy = True
        try:
            if self._reading is not None:
                try:
                    return next(self._reading)
                except StopIteration:
                    pass
                except BaseException as error:
                    self._loop.end(error)
                    raise
            return self._turn()
        finally:
            self._busy = False

    def _turn(self) -> ToolEvent:
        """Go on from the end of a reply, or from a function that has run, to the next event."""
        loop = self._loop
        if not loop.ended:
            with loop.step():
                if self._reading is not None:
                    self._take()
                while not loop.over:
                    if not loop.asked:
                        self._open()
                        try:
                            return next(self._reading)  # type: ignore[arg-type]  # it was opened
                        except StopIteration:
                            self._take()
                    elif self._announced:
                        self._announced = False
                        ended = loop.answer_next()
                        if ended is not None:
                            return ended
                    else:
                        self._announced = True
                        return ToolStarted(loop.next_asked())
            loop.end()
        raise StopIteration

    def close(self) -> None:
        """Close the stream; safe from any thread, any number of times."""
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        self._closed = True
        try:
            if self._reading is not None:
                self._reading.__exit__(None, error, None)
        finally:
            self._loop.end()
