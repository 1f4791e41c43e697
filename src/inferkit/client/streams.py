"""A reply being streamed, as the caller holds it: one class for `async for`, one for plain `for`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from inferkit.core.reply import T
from inferkit.core.shown import shown
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from types import TracebackType
    from typing import Self

    from inferkit.client.call import Call
    from inferkit.core.chunks import Chunk
    from inferkit.core.reply import Reply
    from inferkit.runtime.protocol import Runtime

__all__ = ["AsyncStream", "Run", "Stream"]

R = TypeVar("R")


class Run(Protocol):
    """Runs a coroutine of the stack to its result, in whatever way the client was set up for."""

    def __call__(self, step: Callable[[Runtime], Coroutine[Any, Any, R]], /) -> R:
        """Run it, and give its result."""


class _Facts(Generic[T]):
    """What a stream knows of its reply: so far while it runs, and all of it at the end."""

    _call: Call

    def __repr__(self) -> str:
        """Say how far it is, and nothing of what came."""
        return shown(self, *self._call.standing())

    inferkit_knows_who_pays = True  # since it was made: it needs nobody to put scopes in place

    @property
    def reply(self) -> Reply[T]:
        """The reply as received so far; its `parsed` is there once it was read to its end."""
        return self._call.reply

    @property
    def text(self) -> str:
        """The text received so far."""
        return self._call.text

    @property
    def partial_object(self) -> Any:
        """What the text received so far is the beginning of, as plain data; None where that is nothing yet.

        Of a call with `schema=`. It is not validated: that is done at the end, and gives `reply.parsed`.
        """
        return self._call.partial_object


class AsyncStream(_Facts[T]):
    """A reply being streamed. Iterate over its chunks inside `async with`, which closes it however you leave."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def __aenter__(self) -> Self:
        await self._call.begin(current_runtime())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._call.close(error)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        call = self._call
        if not call.ready:
            if not call.opened:
                await call.begin(current_runtime())
            await call.read_on()
        return call.ready.pop()  # runs for every token

    async def objects(self) -> AsyncIterator[Any]:
        """Read the reply, and give its `partial_object` each time that more of it came.

        The last one is whole. Where it is not valid, `InvalidReply` comes after it; the valid one is `reply.parsed`.
        """
        last = None
        async for _ in self:
            found = None if self._call.ready else self._call.partial_object  # once for each read
            if found is not None and found != last:
                last = found
                yield found

    async def aclose(self) -> None:
        """Close the stream; safe from any task, any number of times."""
        await self._call.close()


class Stream(_Facts[T]):
    """A reply being streamed. Iterate over its chunks inside `with`, which closes it however you leave."""

    def __init__(self, call: Call, run: Run) -> None:
        self._call = call
        self._run = run

    def __enter__(self) -> Self:
        self._run(self._call.begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(lambda _: self._call.close(error))

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        call = self._call
        if not call.ready:
            if not call.opened:
                self._run(call.begin)
            try:
                self._run(lambda _: call.read_on())
            except StopAsyncIteration:
                raise StopIteration from None
        return call.ready.pop()

    def objects(self) -> Iterator[Any]:
        """Read the reply, and give its `partial_object` each time that more of it came.

        The last one is whole. Where it is not valid, `InvalidReply` comes after it; the valid one is `reply.parsed`.
        """
        last = None
        for _ in self:
            found = None if self._call.ready else self._call.partial_object  # once for each read
            if found is not None and found != last:
                last = found
                yield found

    def close(self) -> None:
        """Close the stream; safe from any thread, any number of times."""
        self._run(lambda _: self._call.close())
