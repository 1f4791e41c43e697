"""The layers that money passes, around a model, without a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit import testing
from inferkit.core.request import Request, Target
from inferkit.core.response import Response
from inferkit.layers.budget import BudgetLayer
from inferkit.layers.meter import Meter
from inferkit.layers.resolve import Resolve
from inferkit.pricing.likely import LikelyTokens
from inferkit.pricing.price_book import PriceBook
from inferkit.pricing.prices import Price
from inferkit.pricing.tokens import Seen
from inferkit.providers.wires.chat.fields import COST_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.budgets.scope import Scope
    from inferkit.core.chunks import Chunk
    from inferkit.ledger.ledger import Ledger
    from inferkit.runtime.protocol import Runtime

AT = 1_795_000_000.0  # 2026-11-18
BOOK = PriceBook({"test:cheap": Price("1", "2"), "test:dear": Price("10", "20"), "test:free": Price("0", "0")})


class Around:
    """A runtime of which a test does something itself."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)


class Timed(Around):
    """A runtime whose wall clock is the test's."""

    def __init__(self, runtime: Runtime, clock: Callable[[], float]) -> None:
        super().__init__(runtime)
        self.time = clock
        self.passed = 0.0  # seconds

    def now(self) -> float:
        return self.runtime.now() + self.passed


def late(error: BaseException) -> Callable[[Request], BaseException]:
    """Fail when there was time enough to write any reply to its end."""

    def script(request: Request) -> BaseException:
        request.runtime.passed += 3600  # type: ignore[attr-defined]  # of a `Timed`
        return error

    return script


def likely_input(request: Request) -> int:
    """How many input tokens are booked for a request to a model of which nothing is known."""
    return LikelyTokens().input(request)


def likely_output(text: str) -> int:
    """How many tokens are booked for a reply that was this chunk, likewise."""
    seen = Seen()
    seen.pieces, seen.chars, seen.chunks = [text], len(text), 1
    return LikelyTokens().output(testing.make_request("Hi"), seen, 0, 0)


class FakeNames:
    """Lets every name stand for the model of that name, or for `candidates`."""

    def __init__(self, candidates: Sequence[str] = ()) -> None:
        self.candidates = candidates

    def resolve(self, name: str) -> tuple[Target, ...]:
        return tuple(Target("test", model, nobody) for model in self.candidates or (name,))


async def nobody(request: Request) -> Response:
    raise AssertionError("these tests hand attempts to their model themselves")


nobody.cost_rules = COST_RULES  # type: ignore[attr-defined]


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


def make_request(
    runtime: Runtime | None, *scopes: Scope, text: str = "hello", model: str = "cheap", **fields: Any
) -> Request:
    request = testing.make_request(text, model=model, runtime=runtime)
    return request.replace(provider="test", scopes=scopes, **fields)


class InBatches:
    """Answers with what each read of a socket brought."""

    def __init__(self, batches: Sequence[list[Chunk]]) -> None:
        self._batches = iter(batches)

    async def __call__(self, request: Request) -> Response:
        return Response(self, runtime=request.runtime)

    async def __anext__(self) -> list[Chunk]:
        for batch in self._batches:
            return batch
        raise StopAsyncIteration
