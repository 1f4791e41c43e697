"""A provider that is simulated where the real stack ends: it takes its time, writes, fails, and has a capacity.

How long a reply takes, and whether it fails, is drawn from the seed, the call, the model and the attempt, so the same
request has the same fate in every run.
"""

from __future__ import annotations

import random
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.chunks import Chunk
from inferkit.core.errors import DeadlineExceeded, RateLimited, Unavailable
from inferkit.core.response import Response
from inferkit.core.usage import Usage
from inferkit.simulation.limits import PerMinute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.core.body import Batch
    from inferkit.core.request import Request
    from inferkit.runtime.protocol import Lock, Runtime
    from inferkit.simulation.scenario import Outage, Provider
    from inferkit.simulation.traffic import Asked

__all__ = ["SimulatedModel"]

_REFUSAL_SECONDS = 0.05  # until an error that needs no work is there
_FOREVER = 7 * 86_400.0


class SimulatedModel:
    """One model of one provider, as an adapter. `call_of` gives what a request is for; `seconds` is the time by now.

    `received` counts its requests, `refused` those that it had no room for, and `failed` those that it failed.
    """

    def __init__(
        self,
        provider: Provider,
        outages: Sequence[Outage],
        *,
        seed: int,
        call_of: Callable[[Request], Asked],
        seconds: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._outages = outages
        self._seed = seed
        self._call_of = call_of
        self._seconds = seconds
        self._slots = _Slots(provider.concurrent, provider.queue)
        self._rate = None if provider.requests_per_minute is None else PerMinute(provider.requests_per_minute)
        self.name = provider.name
        self.fingerprint = provider.name
        self.keeps_limit = True
        self.received = self.refused = self.failed = 0

    async def __call__(self, request: Request) -> Response:
        """Take a request, or refuse it."""
        provider, runtime, at = self._provider, request.runtime, self._seconds()
        self.received += 1
        outage = next((each for each in self._outages if each.start <= at < each.end), None)
        kind = None if outage is None else outage.kind
        asked = self._call_of(request)
        chance = self._chance(request, asked)
        if kind == "down" or chance.random() < provider.errors:
            await _wait(request, _REFUSAL_SECONDS)
            self.failed += 1
            raise Unavailable(f"{self.name} answered with HTTP 503", provider=self.name, status=503)
        rate = self._rate
        is_too_fast = rate is not None and not rate.take(at)
        told = {} if rate is None else rate.headers(at)
        if is_too_fast or kind == "refusing" or not self._slots.has_room:
            wait = provider.retry_after if rate is None or not is_too_fast else rate.wait(at)
            await _wait(request, _REFUSAL_SECONDS)
            raise self._too_many(wait, told)
        if kind == "hanging":
            await _wait(request, _FOREVER)
        slow = outage.factor if outage is not None and kind == "slow" else 1.0
        return Response(
            _SimulatedReply(self, request, self._slots, self._plan(request, asked, chance, slow)),
            runtime=runtime,
            model=request.model,
            headers=told,
        )

    def _plan(self, request: Request, asked: Asked, chance: random.Random, slow: float) -> _Plan:
        """Draw how a reply comes."""
        provider = self._provider
        most = request.max_output_tokens or asked.output_tokens
        output = min(most, asked.output_tokens)
        first = provider.first_token * chance.lognormvariate(0.0, provider.spread) * slow
        rest = output / provider.tokens_per_second * chance.lognormvariate(0.0, provider.spread) * slow
        breaks_after = chance.random() if chance.random() < provider.breaks else None
        good = asked.hard < provider.good
        reason = "stop" if output == asked.output_tokens else "length"
        return _Plan(first, rest, Usage(asked.input_tokens, output), reason, breaks_after, good)

    def _too_many(self, wait: float | None, told: dict[str, str]) -> RateLimited:
        """Refuse with 429, and with Retry-After where a wait is known."""
        self.refused += 1
        error = RateLimited(
            f"{self.name} answered with HTTP 429", provider=self.name, status=429, retry_after=wait
        )  # fmt: skip
        error.quota_headers = told
        return error

    def _chance(self, request: Request, asked: Asked) -> random.Random:
        what = f"{self._seed}\0{asked.number}\0{self._provider.name}\0{request.attempt}"
        return random.Random(int.from_bytes(blake2b(what.encode(), digest_size=8).digest(), "big"))  # noqa: S311

    def broke(self) -> Unavailable:
        """Give the error of a reply that ends in its middle."""
        self.failed += 1
        return Unavailable(f"{self.name} closed the connection", provider=self.name)


async def _wait(request: Request, seconds: float) -> None:
    """Let time pass. Raises `DeadlineExceeded` at the call's deadline, which adapters keep themselves."""
    runtime, deadline = request.runtime, request.deadline
    if deadline is not None and runtime.now() + seconds > deadline:
        await runtime.sleep(max(0.0, deadline - runtime.now()))
        raise DeadlineExceeded
    await runtime.sleep(seconds)


class _Plan(NamedTuple):
    """How one reply comes: seconds to its first token and from there to its end, what it is, and where it breaks."""

    first: float
    rest: float
    usage: Usage
    reason: str
    breaks_after: float | None
    good: bool


class _SimulatedReply:
    """A reply as it comes: a turn at the model, the first token, and the rest. Leaving it gives the turn to others."""

    __slots__ = ("_model", "_place", "_plan", "_request", "_slots", "_step")

    def __init__(self, model: SimulatedModel, request: Request, slots: _Slots, plan: _Plan) -> None:
        self._model = model
        self._request = request
        self._slots = slots
        self._plan = plan
        self._step = 0
        self._place: _Visit | None = None

    async def __anext__(self) -> Batch:
        plan, self._step = self._plan, self._step + 1
        if self._step == 1:
            self._place = place = self._slots.enter(self._request.runtime)
            await place.turn(self._request.deadline)
            await _wait(self._request, plan.first)
            return [Chunk(text="good" if plan.good else "poor")]
        if self._step == 2:  # noqa: PLR2004 - the second of two
            if plan.breaks_after is not None:
                await _wait(self._request, plan.rest * plan.breaks_after)
                await self.aclose()
                raise self._model.broke()
            await _wait(self._request, plan.rest)
            await self.aclose()
            return [Chunk(finish_reason=plan.reason, usage=plan.usage)]
        raise StopAsyncIteration

    async def aclose(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            self._slots.leave(place)


class _Visit:
    """One request before a model, and at it."""

    __slots__ = ("_lock", "is_in")

    def __init__(self, lock: Lock | None) -> None:
        self._lock = lock
        self.is_in = lock is None

    async def turn(self, deadline: float | None) -> None:
        """Wait until it is its turn. Raises `DeadlineExceeded` where that does not come in time."""
        if self._lock is not None:
            await self._lock.acquire(deadline)

    def let_in(self) -> None:
        self.is_in = True
        if self._lock is not None:
            self._lock.release()


class _Slots:
    """How many requests a model serves at once, and who waits, first come, first served."""

    def __init__(self, most: int | None, queue: int) -> None:
        self._most = most
        self._queue = queue
        self._running = 0
        self._waiting: deque[_Visit] = deque()

    @property
    def has_room(self) -> bool:
        """Whether another one may at least wait."""
        return self._most is None or self._running < self._most or len(self._waiting) < self._queue

    def enter(self, runtime: Runtime) -> _Visit:
        """Give a place: at the model, or in the queue before it."""
        if self._most is None or self._running < self._most:
            self._running += 1
            return _Visit(None)
        lock = runtime.lock()
        lock.acquire_nowait()
        place = _Visit(lock)
        self._waiting.append(place)
        return place

    def leave(self, place: _Visit) -> None:
        """Give a place up; whoever waits longest is next."""
        if not place.is_in:
            self._waiting.remove(place)
        elif self._waiting:
            self._waiting.popleft().let_in()
        else:
            self._running -= 1
