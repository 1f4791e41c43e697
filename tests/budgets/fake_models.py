"""A model that answers from a list, and a stack of the two layers around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.messages import Message
from inferkit.core.record import CallRecord
from inferkit.core.request import Request, Target
from inferkit.core.response import Response
from inferkit.layers.budget import BudgetLayer
from inferkit.layers.meter import Meter
from inferkit.layers.resolve import Resolve
from inferkit.pricing.price_book import PriceBook
from inferkit.pricing.prices import Price
from inferkit.runtime import clock
from worlds import RUNTIMES as KINDS, run_in as run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.core.chunks import Chunk
    from inferkit.ledger.ledger import Ledger
    from inferkit.runtime.protocol import Runtime

__all__ = ["AT", "BOOK", "KINDS", "Body", "FakeModel", "Stack", "make_request", "run"]

AT = 1_795_000_000.0  # 2026-11-18
BOOK = PriceBook({"test:cheap": Price("1", "2"), "test:dear": Price("10", "20"), "test:free": Price("0", "0")})


class Body:
    """Chunks from a list; an exception in it is raised, and closing is counted."""

    def __init__(self, items: Sequence[Chunk | BaseException]) -> None:
        self.items = list(items)
        self.read = 0
        self.closed = 0

    async def __anext__(self) -> Chunk:
        if self.read == len(self.items):
            raise StopAsyncIteration
        item = self.items[self.read]
        self.read += 1
        if isinstance(item, BaseException):
            raise item
        return item

    async def aclose(self) -> None:
        self.closed += 1


class FakeModel:
    """Answers each request with the next of its replies: chunks, or an exception to raise instead."""

    def __init__(self, *replies: Sequence[Chunk | BaseException] | BaseException) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.bodies: list[Body] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, BaseException):
            raise reply
        body = Body(reply)
        self.bodies.append(body)
        return Response(body, runtime=request.runtime)


class Timed:
    """A runtime whose wall clock is the test's."""

    def __init__(self, runtime: Runtime, clock: Callable[[], float]) -> None:
        self.runtime = runtime
        self.time = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)


class FakeNames:
    """Lets every name stand for the model of that name, or for `candidates`."""

    def __init__(self, candidates: Sequence[str] = ()) -> None:
        self.candidates = candidates

    def resolve(self, name: str) -> tuple[Target, ...]:
        return tuple(Target("test", model, nobody) for model in self.candidates or (name,))


async def nobody(request: Request) -> Response:
    raise AssertionError("these tests hand attempts to their model themselves")


class Stack:
    """Budget layer, meter, model, at the time that `clock` gives; `attempt` stands for what retries."""

    def __init__(
        self,
        ledger: Ledger | None,
        model: Any,
        *,
        candidates: Sequence[str] = (),
        clock: Callable[[], float] = lambda: AT,
        **options: Any,
    ) -> None:
        self.model = model
        self.meter = Meter(BOOK)
        self.clock = clock
        self.names = Resolve(FakeNames(candidates))
        self.budget = BudgetLayer(None if ledger is None else ledger.accounts, prices=BOOK, **options)

    async def attempt(self, request: Request) -> Response:
        return await self.meter(request, self.model)

    async def __call__(self, request: Request) -> Response:
        request = request.replace(runtime=Timed(request.runtime, self.clock))
        return await self.names(request, lambda named: self.budget(named, self.attempt))


def make_request(runtime: Runtime, *scopes: Any, text: str = "hello", model: str = "cheap", **fields: Any) -> Request:
    return Request(
        model=model,
        messages=(Message.user(text),),
        runtime=runtime,
        record=CallRecord(clock),
        provider="test",
        scopes=scopes,
        **fields,
    )
