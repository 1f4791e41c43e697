"""A call for embeddings becomes requests that its server takes: as many texts each as fit, some of them at once.

Inside the cache, which has left out the texts that it knows; outside of the budget, the route and the retry, which see
each request as if it were a call: it is held for, tried again and charged alone. No other call passes here.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from inferkit.core.body import AllThenFailure
from inferkit.core.embeddings import PARTING, BatchLimits, VectorPart, vectors_chunk, vectors_in
from inferkit.core.errors import ConfigurationError, DeadlineExceeded
from inferkit.core.record import CallRecord
from inferkit.core.response import Response
from inferkit.layers.budget.quote import quote_of
from inferkit.layers.budget.refusal import exceeded
from inferkit.layers.resolve import resolved
from inferkit.ledger.amounts import Amounts, Refusal
from inferkit.pricing.tokens import utf8_length

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Message
    from inferkit.core.request import Handler, Request, Target
    from inferkit.layers.budget.quote import Quote
    from inferkit.ledger.amounts import Unit
    from inferkit.pricing.price_book import PriceBook

__all__ = ["Batches", "parted"]


class Batches:
    """Parts a call for embeddings, and puts the vectors together again.

    Its candidates must all be of one model: vectors of two models cannot be compared. Each gets the price of its input.
    When a request has failed for good, those that run are waited for, since they are paid for, and no other is begun.
    Then the vectors that came are handed over, and the failure after them.

    Raises `ConfigurationError` for candidates that give no embeddings, or are of several models, and `BudgetExceeded`
    where a budget for each call does not cover all requests together.
    """

    role = "batches"

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        request = self._priced(resolved(request))
        _check(request.candidates)
        batches = list(parted(request.messages, _limits(request)))
        parting = PARTING.get(request)
        if parting is not None:
            parting.requests = len(batches)
        if len(batches) == 1:
            return await call_next(request)
        requests = [_part(request, place, messages) for place, messages in enumerate(batches)]
        self._check_budgets_for_a_call(requests)
        done = _Done()
        steps = [done.step(each, first, call_next) for first, each in zip(_firsts(batches), requests, strict=True)]
        try:
            await request.runtime.side_by_side(steps, 1 if parting is None else parting.concurrency)
        finally:
            for each in requests:
                _gather(request.record, each.record)
        if done.failure is None:
            return Response.of(done.chunks, runtime=request.runtime, model=done.model)
        if not done.chunks:
            raise done.failure
        return Response(AllThenFailure(done.chunks, done.failure), runtime=request.runtime, model=done.model)

    def _priced(self, request: Request) -> Request:
        """Give the request as one that has no output: none is held for, or has a price."""
        find = self._prices.find_for_embeddings
        targets = [dataclasses.replace(each, price=find(each.provider, each.model)) for each in request.candidates]
        return request.replace(candidates=tuple(targets), max_output_tokens=0)

    def _check_budgets_for_a_call(self, requests: Sequence[Request]) -> None:
        """Hold all requests together to what one call may cost: each of them alone is held to that further in."""
        scopes = tuple([scope for scope in requests[0].scopes if scope.budget.per == "call"])
        if not scopes:
            return
        at = requests[0].runtime.time()
        quotes = [
            quote_of(each.replace(scopes=scopes), self._prices, at, default_output=0, min_output=0) for each in requests
        ]
        whole = _together(quotes)
        for scope in scopes:
            line = scope.line(at)
            limits: tuple[tuple[Unit, int | None, int], ...] = (
                ("usd", line.usd, whole.minimum.usd),
                ("tokens", line.tokens, whole.minimum.tokens),
            )
            for unit, limit, least in limits:
                if limit is not None and limit < least:
                    raise exceeded(whole, Refusal(line, unit, limit, 0, 0))


def _together(quotes: Sequence[Quote]) -> Quote:
    usd, tokens = (sum(getattr(quote.minimum, unit) for quote in quotes) for unit in ("usd", "tokens"))
    return dataclasses.replace(quotes[0], minimum=Amounts(usd, tokens, 1))


def _check(candidates: Sequence[Target]) -> None:
    for target in candidates:
        if "embed" not in getattr(target.adapter, "operations", ()):
            raise ConfigurationError(f"{target.name} gives no embeddings; name a model of a server that does")
    models = {target.model.rpartition("/")[2].lower() for target in candidates}
    if len(models) > 1:
        names = ", ".join(target.name for target in candidates)
        raise ConfigurationError(
            f"vectors of different models cannot be compared, and one of these may stand in for another: {names}; list "
            "servers of one and the same model, under the same name, or give each model a name of its own in models="
        )


def _limits(request: Request) -> BatchLimits:
    """Give what every candidate takes in one request."""
    known = [
        target.adapter.batch_limits(request.dimensions)
        for target in request.candidates
        if hasattr(target.adapter, "batch_limits")
    ]
    least = [min([most for most in each if most is not None], default=None) for each in zip(*known, strict=True)]
    return BatchLimits(*least)


def parted(messages: Sequence[Message], limits: BatchLimits) -> Iterator[tuple[Message, ...]]:
    """Part texts, in their order, so that none of the parts is more than one request holds.

    A text has at most as many tokens as bytes. One that may have too many for any request is sent alone.
    """
    batch: list[Message] = []
    size = 0
    for message in messages:
        length = utf8_length(message.text)
        too_many = limits.inputs is not None and len(batch) >= limits.inputs
        if batch and (too_many or (limits.tokens is not None and size + length > limits.tokens)):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(message)
        size += length
    yield tuple(batch)


def _firsts(batches: Sequence[Sequence[object]]) -> Iterator[int]:
    """Give the place of the first text of each batch."""
    place = 0
    for batch in batches:
        yield place
        place += len(batch)


def _part(request: Request, place: int, messages: tuple[Message, ...]) -> Request:
    """Give the request for a part, with a record of its own: it has a hold, attempts and an entry of its own."""
    whole = request.record
    record = CallRecord(
        whole.clock, f"{whole.id}-{place + 1}", names=whole.names, key=whole.key, plan=whole.plan,
        trace_id=whole.trace_id, cache=whole.cache,
    )  # fmt: skip
    return request.replace(messages=messages, record=record)


def _gather(whole: CallRecord, part: CallRecord) -> None:
    """Add to the record of a call what happened to one of its requests."""
    whole.attempts += part.attempts
    whole.events += part.events
    whole.provider, whole.model = part.provider or whole.provider, part.model or whole.model
    whole.plan = part.plan or whole.plan
    for name in part.left_out:
        whole.leave_out(name)


class _Done:
    """What came of the requests of a call so far."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.failure: Exception | None = None
        self.model: str | None = None

    def step(self, request: Request, first: int, call_next: Handler) -> Any:
        """Give what makes one request, unless another one has failed; its first text is the one at `first`."""

        async def run() -> None:
            if request.deadline is not None and request.runtime.now() >= request.deadline:
                self.failure = self.failure or DeadlineExceeded()
            if self.failure is not None:
                return
            try:
                response = await call_next(request)
                chunks = await response.read()
            except Exception as error:
                self.failure = self.failure or error
                return
            self.model = response.model or self.model
            self.chunks.append(vectors_chunk(VectorPart(first + one.place, one.data) for one in vectors_in(chunks)))

        return run
