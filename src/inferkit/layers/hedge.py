"""Asks somebody else too where the first token is late, and takes whoever answers first."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.core.shown import shown
from inferkit.layers.bound import requests_left
from inferkit.layers.raced import RACE, Race
from inferkit.layers.retry import Sending
from inferkit.resilience.health import Health
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
    them were measured; or longer than `after`, in seconds, where that is given.

    A hedge is a request like any other: it is one of the call's `1 + max_retries`, takes a retry out of the budget of
    the model that is late, and goes nowhere where a circuit is not closed. Besides, no more than `rules.ratio` of a
    hedge is sent for each call of a model, and a few. Calls that the money does not cover twice are not hedged.
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
        self._models: dict[str, _Lateness] = {}
        self._order = 0
        self._health = Health()  # for a stack whose retry layer knows nothing of health
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return shown(self, after=self._after, quantile=None if self._after else self._quantile)

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Give the response that begins first."""
        target, runtime = request.target, request.runtime
        if target is None or request.attempt_kind != "primary":
            return await call_next(request)
        first: Sending = request.record.sending or Sending(request, target, self._health, 0)
        late = self._late(target.name)
        began = runtime.now()
        if late is None:
            response = await first.begun(request, call_next)
            self._measure(target.name, runtime.now() - began)
            return response
        record, this = request.record, Race()
        request = RACE.on(request, this)

        async def second() -> Response:
            now, other = runtime.now(), _other(request, target)
            era = self._admitted(request, target, other, first.health, now)
            record.note("hedge", target=other.name, after=now - began)
            record.numbered += 1
            again = request.replace(
                provider=other.provider,
                model=other.model,
                target=other,
                attempt=record.numbered,
                attempt_kind="hedge",
            )
            unsent = partial(self._give_back, target.name, first.health)
            sending = this.hedge = Sending(again, other, first.health, era, unsent)
            response = await sending.begun(again, call_next)
            hedged.append((response, sending))
            return response

        hedged: list[tuple[Response, Sending]] = []
        try:
            response = await race(runtime, partial(first.begun, request, call_next), second, after=late, lose=_lose)
        finally:
            this.is_over = True
        self._measure(target.name, runtime.now() - began)  # of one that lost, how long it took at least
        for hedge, sending in hedged:
            if hedge is response:
                record.sending = sending
                first.lost()
        return response

    def _admitted(self, request: Request, late: Target, other: Target, health: Health, now: float) -> int:
        """Ask whether a hedge may be sent, and give the era of its breaker. Raises where it may not."""
        if requests_left(request) > 0 and self._may(late.name, now):
            admission = health.admit_beside(other.name, late.name, now)
            if not admission.until:
                return admission.era
        raise _NotHedgedError

    def _late(self, name: str) -> float | None:
        """Give the seconds after which a model is late; None where too little is known. Pay in for a hedge."""
        with self._lock:
            known = self._models.get(name)
            if known is None:
                return self._after
            known.used = self._order = self._order + 1
            if known.budget is not None:
                known.budget.pay_in()
            if self._after is not None:
                return self._after
            ordered = known.ordered
            if len(ordered) < self._least:
                return None
            return ordered[min(len(ordered) - 1, int(self._quantile * len(ordered)))]

    def _may(self, name: str, now: float) -> bool:
        with self._lock:
            known = self._known(name)
            if known.budget is None:
                known.budget = RetryBudget(self._rules, now)
            return known.budget.take(now)

    def _give_back(self, name: str, health: Health) -> None:
        """Put back what was taken out for a hedge which was not sent after all."""
        health.give_back_retry(name)
        with self._lock:
            known = self._models.get(name)
            if known is not None and known.budget is not None:
                known.budget.give_back()

    def _measure(self, name: str, seconds: float) -> None:
        if self._after is None:
            with self._lock:
                self._known(name).measured(seconds)

    def _known(self, name: str) -> _Lateness:
        """Give what is known of a model; of one too many, the one that nobody has called for longest is forgotten."""
        known = self._models.get(name)
        if known is None:
            if len(self._models) >= _MOST_MODELS:
                del self._models[min(self._models, key=lambda each: self._models[each].used)]
            known = self._models[name] = _Lateness()
            known.used = self._order = self._order + 1
        return known


class _Lateness:
    """What is known of one model: its last first tokens, in seconds, and how many hedges its calls may send.

    `ordered` are the same seconds by size; sorting them with every call took longer than the call. `used` says in which
    order models were called.
    """

    __slots__ = ("_first", "budget", "ordered", "used")

    def __init__(self) -> None:
        self._first: deque[float] = deque()
        self.ordered: list[float] = []
        self.budget: RetryBudget | None = None
        self.used = 0

    def measured(self, seconds: float) -> None:
        """Take in one more."""
        self._first.append(seconds)
        if len(self._first) > _REMEMBERED:
            del self.ordered[bisect_left(self.ordered, self._first.popleft())]
        insort(self.ordered, seconds)


class _NotHedgedError(Exception):
    """No hedge may be sent now; the first attempt is waited for."""


def _other(request: Request, target: Target) -> Target:
    """Give whom to ask too: the candidate after this one, or the same again."""
    return next((each for each in request.candidates if each.name != target.name), target)


async def _lose(response: Response) -> None:
    await response.aclose()
