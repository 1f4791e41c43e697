"""What it adds to an attempt that its model's breaker is watched, that limits are kept, and that a hedge stands by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure
from benchmarks.overload import tenfold_load
from benchmarks.timing import interleave_async
from inferkit import (
    AsyncClient,
    BreakerRules,
    Chunk,
    Health,
    Hedge,
    RateLimit,
    Response,
    RetryRules,
    Unavailable,
    Usage,
)

if TYPE_CHECKING:
    from benchmarks.timing import AsyncBlock
    from inferkit import Request

__all__ = ["protection"]

_CALLS = 250
"""So few a block that all rows of a round see the same machine; what is added is little, so there are many rounds."""

_LIMITS = {"own:model": RateLimit(requests_per_minute=1e9, concurrent=1000)}
_END = Chunk("Hello", finish_reason="stop", usage=Usage(10, 5))


class _Provider:
    """Answers at once, after as many failures as it was told."""

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures

    async def __call__(self, request: Request) -> Response:
        if self._failures:
            self._failures -= 1
            raise Unavailable("down", provider="own")
        return Response.of([_END], runtime=request.runtime)


def protection(*, quick: bool) -> list[Figure]:
    """Measure calls without network, cache and ledger, so that what differs is all that is left."""

    async def measure() -> list[Figure]:
        clients = {
            "plain": _client(),
            "watched": _client(failures=1),
            "limited": _client(limits=_LIMITS),
            "both": _client(failures=1, limits=_LIMITS),
            "hedged": _client(hedge=Hedge(after=60.0, rules=RetryRules())),
        }
        for client in clients.values():
            await client.complete("own:model", "Hello")

        def block(client: AsyncClient) -> AsyncBlock:
            async def run(calls: int) -> None:
                for _ in range(calls):
                    await client.complete("own:model", "Hello")

            return run

        rows = {name: block(client) for name, client in clients.items()}
        times = await interleave_async(rows, calls=_CALLS, rounds=60 if quick else 400, left=0.0)
        for name in ("watched", "both"):
            assert clients[name].health()["own:model"].last_error is not None, "its breaker is not watched any more"
        for client in clients.values():
            await client.aclose()
        return [
            Figure("a call without network, cache and ledger", times.microseconds("plain"), "µs"),
            Figure("added by a closed breaker that is watched", times.difference("watched", "plain"), "µs", at_most=5),
            Figure("added by limits that nobody waits for", times.difference("limited", "plain"), "µs", at_most=5),
            Figure("added by both together", times.difference("both", "plain"), "µs", at_most=5),
            Figure("added by a hedge that is not sent", times.difference("hedged", "plain"), "µs"),
        ]

    return [*asyncio.run(measure()), *tenfold_load(quick=quick)]


def _client(*, failures: int = 0, **settings: Any) -> AsyncClient:
    return AsyncClient(
        providers={"own": _Provider(failures)}, cache=False, ledger=False, max_retries=1,
        health=Health(breaker=BreakerRules(memory=3600)),  # or a failure would be forgotten before all is measured
        **settings,
    )  # fmt: skip
