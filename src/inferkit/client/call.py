"""One call from the caller's side: opened once, read step by step, closed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import InferkitError
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.runtime import clock

if TYPE_CHECKING:
    from inferkit.client.engine import Engine
    from inferkit.client.options import CallOptions
    from inferkit.core.body import Batch
    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Messages
    from inferkit.core.response import Response
    from inferkit.runtime.protocol import Runtime

__all__ = ["Call"]


class Call:
    """One call: opened once, read step by step, closed once. What both kinds of stream are made of.

    `chunks` holds those that the caller was given, `ready` what was read with the last of them, its end first.
    """

    def __init__(
        self, engine: Engine, model: str | None, messages: Messages, options: CallOptions, *, stream: bool
    ) -> None:
        self.record = CallRecord(clock)
        self.chunks: list[Chunk] = []
        self.ready: list[Chunk] = []
        self._engine = engine
        self._asked = model, messages, engine.read(options, self.record)  # here, in the caller's own context
        self._stream = stream
        self._response: Response | None = None
        self._deadline: float | None = None
        self._runtime: Runtime | None = None

    @property
    def opened(self) -> bool:
        """Whether the reply has begun."""
        return self._response is not None

    @property
    def reply(self) -> Reply:
        """The reply as received so far."""
        return Reply.of(self.chunks, self.record)

    @property
    def text(self) -> str:
        """The text received so far."""
        return "".join([chunk.text for chunk in self.chunks])

    async def open(self, runtime: Runtime) -> None:
        """Send the call, unless it has been sent."""
        if self._response is not None:
            return
        model, messages, asked = self._asked
        self._runtime = runtime
        try:
            self._response, self._deadline = await self._engine.open(
                model,
                messages,
                asked,
                runtime=runtime,
                record=self.record,
                stream=self._stream,
            )
        except InferkitError as error:
            self.record.sign(error)
            raise
        if self._stream:
            runtime.endings.until_exit(self)

    async def next(self) -> Chunk:
        """Give the next chunk; raise `StopAsyncIteration` at the end."""
        if not self.ready:
            self.ready = (await self._next_batch())[::-1]
        return self.take()

    def take(self) -> Chunk:
        """Give the next chunk of those that are ready."""
        chunk = self.ready.pop()
        self.chunks.append(chunk)
        return chunk

    async def _next_batch(self) -> Batch:
        response = self._response
        assert response is not None
        try:
            if self._deadline is None:
                return await response.next_batch()
            assert self._runtime is not None
            return await self._runtime.within(self._deadline, response.next_batch())
        except InferkitError as error:
            self.record.sign(error, self.text)
            raise

    async def read(self, runtime: Runtime) -> Reply:
        """Send the call and read its reply to the end."""
        await self.open(runtime)
        response = self._response
        assert response is not None
        step = response.next_batch if self._deadline is None else self._next_batch
        try:
            while True:
                self.chunks += await step()
        except StopAsyncIteration:
            pass
        except BaseException as error:
            if isinstance(error, InferkitError):
                self.record.sign(error, self.text)
            await self.close(error)
            raise
        return self.reply

    async def close(self, error: BaseException | None = None) -> None:
        """Close the reply; `error` is what made the reader leave, if anything."""
        self.ready = []
        if self._response is not None:
            await self._response.aclose(error=error)

    def abandon(self) -> None:
        """End a stream that is still open when the interpreter exits."""
        if self._response is not None:
            self._response.abandon()
