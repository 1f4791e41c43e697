"""Asks somebody else too where the first token is late, and takes whoever answers first."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from cachetools import LRUCache

from inferkit.core.errors import ConfigurationError
from inferkit.layers.retry import begin
from inferkit.resilience.retry_budget import RetryBudget, RetryRules
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.racing import race

if TYPE_CHECKING:
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response

__all__ = ["Hedge"]

_MOST_MODELS = 256
_REMEMBERED = 200  # first tokens of a model


class Hedge:
    """Sends an attempt's request a second time where its first token takes longer than it mostly does.

    It goes to the next candidate, or to the same model where there is none. Whoever begins to answer first gives the
    reply; the other one is cancelled, and what it cost is charged. In plain code, without an event loop, a thread
    cannot be cancelled: there the other one ends when it begins to answer.

    Late is what takes longer than the `quantile` (0 to 1) of the last 200 first tokens of the model, once `least` of
    them were measured; or longer than `after`, in seconds, where that is given. No more than `rules.ratio` of a hedge
    is sent for each call, and a few besides. Calls that the budget does not cover twice are not hedged.
    """

    role = "hedge"

    def __init__(
        self,
        *,
        after: float | None = None,
        quantile: float = 0.95,
        least: int = 20,
        rules: RetryRules | None = None,
    ) -> None:
        if after is not None and not after > 0:
            raise ConfigurationError(f"after is a number of seconds above 0; got {after!r}")
        if not 0 < quantile < 1 or least < 1:
            raise ConfigurationError("quantile is between 0 and 1, and least a number of calls from 1")
        self._after = after
        self._quantile = quantile
        self._least = least
        self._rules = rules or RetryRules(ratio=0.1, floor=2)
        self._first: LRUCache[str, deque[float]] = LRUCache(_MOST_MODELS)
        self._budget: RetryBudget | None = None
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Give the response that begins first."""
        target, runtime = request.target, request.runtime
        if target is None or request.attempt_kind != "primary":
            return await call_next(request)
        late = self._late(target.name)
        began = runtime.now()
        if late is None:
            response = await begin(request, call_next)
            self._measure(target.name, runtime.now() - began)
            return response
        record, other = request.record, _other(request, target)

        async def second() -> Response:
            if not self._may(runtime.now()):
                raise _NotHedgedError
            record.hedges += 1
            record.note("hedge", target=other.name, after=runtime.now() - began)
            again = request.replace(
                provider=other.provider,
                model=other.model,
                target=other,
                attempt=request.attempt + record.hedges,
                attempt_kind="hedge",
            )
            response = await begin(again, call_next)
            hedged.append(response)
            return response

        hedged: list[Response] = []
        response = await race(runtime, lambda: begin(request, call_next), second, after=late, lose=_lose)
        self._measure(target.name, runtime.now() - began)  # of one that lost, how long it took at least
        if response in hedged:
            record.hedged_to = other
        return response

    def _late(self, name: str) -> float | None:
        """Give the seconds after which a model is late; None where too little is known. Pay in for a hedge."""
        with self._lock:
            if self._budget is not None:
                self._budget.pay_in()
            if self._after is not None:
                return self._after
            known = self._first.get(name)
            if known is None or len(known) < self._least:
                return None
            return sorted(known)[min(len(known) - 1, int(self._quantile * len(known)))]

    def _may(self, now: float) -> bool:
        with self._lock:
            if self._budget is None:
                self._budget = RetryBudget(self._rules, now)
            return self._budget.take(now)

    def _measure(self, name: str, seconds: float) -> None:
        if self._after is None:
            with self._lock:
                self._first.setdefault(name, deque(maxlen=_REMEMBERED)).append(seconds)


class _NotHedgedError(Exception):
    """No hedge is left in the budget; the first attempt is waited for."""


def _other(request: Request, target: Target) -> Target:
    """Give whom to ask too: the candidate after this one, or the same again."""
    return next((each for each in request.candidates if each.name != target.name), target)


async def _lose(response: Response) -> None:
    await response.aclose()
