"""What a response is made of: a body that gives batches of chunks, and what happens at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from inferkit.core.chunks import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from inferkit.core.attempt import Outcome
    from inferkit.core.usage import Usage
    from inferkit.runtime.protocol import Runtime

__all__ = [
    "AllAtOnce", "AllThenFailure", "Batch", "Body", "Change", "ChangeAll", "End", "Explain", "OnClose", "TextBatch",
]  # fmt: skip

Batch: TypeAlias = list[Chunk]
"""What one read brought, in its order."""


class TextBatch(Batch):
    """A batch whose first chunks bring text and nothing else, but for what is counted with each, as its reader says.

    `texts` has their texts, and `usage` what they count together, as `Usage.last_of` puts it, where their wire counts
    with every event: it is that of the last, unless this says nothing of something. So nobody needs to look at each
    of them again to know that it is plain. What comes after them, as at the end of a reply, may be anything. Where the
    batch is changed, `texts` is None: it says no more.
    """

    __slots__ = ("texts", "usage")

    texts: list[str] | None
    usage: Usage | None

    @classmethod
    def of(cls, chunks: Iterable[Chunk], texts: list[str] | None, usage: Usage | None) -> Self:
        """Make one of chunks, the first of which have these texts."""
        batch = cls(chunks)
        batch.texts = texts
        batch.usage = usage
        return batch

    def followed_by(self, others: Sequence[Chunk]) -> Self:
        """Put others after them."""
        return self.of([*self, *others], self.texts, self.usage)


def _forgets(name: str) -> Callable[..., Any]:
    change = getattr(list, name)

    def changed(self: TextBatch, *given: Any, **options: Any) -> Any:
        self.texts = None
        return change(self, *given, **options)

    return changed


for _name in (
    "__delitem__", "__iadd__", "__imul__", "__setitem__", "append", "clear", "extend", "insert", "pop", "remove",
    "reverse", "sort",
):  # fmt: skip
    setattr(TextBatch, _name, _forgets(_name))


class Body(Protocol):
    """Where chunks come from, a batch a step; a body may also give single chunks, as an async generator of them does.

    It raises what went wrong after the chunks that came before it. It may have `aclose()`, which may be called while a
    read waits, and then wakes it; and which may give the batch that had been received by then and that nobody read.
    """

    async def __anext__(self) -> Batch | Chunk:
        """Give what the next read brings; raise `StopAsyncIteration` at the end."""


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ended, for those who must act on it.

    `outcome` is "completed", "closed" (left early), "cancelled", "abandoned" (garbage-collected unread) or "error".
    `runtime` is where the ending runs: not always the runtime of the call, since a stream may be dropped anywhere.
    `late` is what had been received of a stream that was left, and what no observer was shown.
    """

    outcome: Outcome
    error: BaseException | None
    runtime: Runtime
    late: Sequence[Chunk] = ()


OnClose: TypeAlias = Callable[[End], Awaitable[None] | None]
Change: TypeAlias = Callable[[Chunk], Chunk]
ChangeAll: TypeAlias = Callable[[Batch], Batch | None]
"""Does for several chunks what a `Change` does for each; or gives None and has done nothing: they come singly then."""
Explain: TypeAlias = Callable[[BaseException], BaseException]


class AllAtOnce:
    """The body of a reply whose chunks are all there."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = list(chunks)

    async def __anext__(self) -> Batch:
        """Give all of them; then it is over."""
        if not self._chunks:
            raise StopAsyncIteration
        chunks, self._chunks = self._chunks, []
        return chunks


class AllThenFailure:
    """The body of a reply of which all is there that will ever come, since it broke off."""

    __slots__ = ("_chunks", "_failure")

    def __init__(self, chunks: Sequence[Chunk], failure: Exception) -> None:
        self._chunks = list(chunks)
        self._failure: Exception | None = failure

    async def __anext__(self) -> Batch:
        """Give all of them; then raise what broke it off."""
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            return chunks
        failure, self._failure = self._failure, None
        if failure is None:
            raise StopAsyncIteration
        try:
            raise failure
        finally:
            failure = None  # its traceback holds this frame: a cycle that would keep the chunks alive
