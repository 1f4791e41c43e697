"""The doors before a model, and how a request waits at one for its turn."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import (
    DeadlineExceeded,
    Overloaded,
    ProviderError,
    RateLimited,
    Unavailable,
    mark_never_written,
)
from inferkit.layers.withdrawn import is_withdrawn, sending_of
from inferkit.resilience.buckets import QuotaBucket
from inferkit.resilience.limiter import Limiter
from inferkit.resilience.quotas import find_quotas, read_quota
from inferkit.resilience.waiting import Ticket
from inferkit.runtime import clock
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request, Target
    from inferkit.resilience.buckets import QuotaLeft
    from inferkit.resilience.limiter import RateLimit
    from inferkit.resilience.quotas import QuotaNames
    from inferkit.runtime.protocol import Lock, Runtime

__all__ = ["Door", "Passing", "is_overload"]

_NEAR = 1e-9
_QUEUE = 10_000  # calls that wait for a provider's limit: callers that wait anyway
_PATIENCE = 1.0  # seconds that a call waits for a provider's limit while it could ask somebody else


class Door:
    """One limit, and the lock around its state. Without a `limit` it is the provider's own, as its headers say."""

    def __init__(self, name: str, limit: RateLimit | None) -> None:
        self.name = name
        self._limit = limit
        self.is_told = limit is None
        self.counts_tokens = limit is not None and limit.tokens_per_minute is not None
        self.wants_back = self.counts_tokens or (limit is not None and limit.concurrent is not None)
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Start afresh in a forked child, where nobody runs or waits."""
        self.lock = threading.Lock()
        self.limiter = Limiter(self._limit, clock.now(), queue=_QUEUE)
        self._names: tuple[QuotaNames, ...] = ()

    def see(self, headers: Mapping[str, str], runtime: Runtime, own: Passing | None, *, refused: bool) -> None:
        """Take in what the headers of an answer say of the provider's limits."""
        limiter, now = self.limiter, runtime.now()
        with self.lock:
            if not self._names:
                self._follow(find_quotas([name.lower() for name in headers]), now)
            if own is not None:
                limiter.answered(own)
            for place, (names, bucket) in enumerate(zip(self._names, limiter.quotas, strict=True)):
                if bucket.is_ample and not refused and _is_ample(headers.get(names.remaining), bucket.most):
                    continue
                quota = read_quota(names, headers, wall_clock=runtime.time())
                if quota is None:
                    continue
                if own is None or place >= len(own.marks):  # it went before anything was known
                    bucket.observe(quota, now, sent_at=now, refused=refused)
                else:
                    bucket.observe(quota, now, sent_at=own.in_at, mark=own.marks[place], refused=refused)
            limiter.advance(now)

    def _follow(self, names: tuple[QuotaNames, ...], now: float) -> None:
        self._names = names
        self.limiter.quotas = tuple([QuotaBucket(each.unit, each.period, now) for each in names])
        self.counts_tokens = self.limiter.counts_tokens

    def tells(self) -> list[tuple[QuotaNames, QuotaLeft]]:
        """Give what is known of the provider's limits by replies that came here, where little is left."""
        with self.lock:
            known = zip(self._names, self.limiter.quotas, strict=True)
            return [(names, left) for names, one in known if not one.is_ample and (left := one.left()) is not None]

    def hear(self, told: list[tuple[QuotaNames, QuotaLeft]]) -> None:
        """Take in what another process knows of the provider's limits."""
        now = clock.now()
        with self.lock:
            if not self._names:
                self._follow(tuple(names for names, _ in told), now)
            for names, left in told:
                for bucket in self.limiter.quotas:
                    if (bucket.unit, bucket.period) == (names.unit, names.period):
                        bucket.hear(left, now)

    def look_again(self, name: str) -> None:
        """Have those look that wait here for a model."""
        with self.lock:
            self.limiter.wake(name)

    def add_standing(self, facts: dict[str, Any]) -> None:
        """Add how it stands to fields of `ModelHealth`: of several limits, the one that lets least through counts."""
        limiter, now = self.limiter, clock.now()
        with self.lock:
            facts["waiting"] = facts.get("waiting", 0) + len(limiter)
            if self._limit is not None and self._limit.concurrent is not None:
                facts["running"] = max(facts.get("running", 0), limiter.running)
                facts["concurrent"] = min(facts.get("concurrent", limiter.concurrent), limiter.concurrent)
            for bucket in limiter.quotas:
                bucket.fill(now)
                left = facts.setdefault("left", {})
                left[bucket.unit] = min(left.get(bucket.unit, bucket.level), max(0.0, bucket.level))
                if bucket.heard_at > bucket.observed_at:
                    facts["told"] = ("limits",)

    def unheard(self, own: Passing) -> None:
        """Take in that a request was answered without a word of limits, or not at all."""
        if own.marks:
            with self.lock:
                self.limiter.answered(own)


def _is_ample(remaining: str | None, most: float) -> bool:
    """Whether more than half is left, as most replies say, which then need not be read to the letter."""
    try:
        return remaining is not None and 2 * float(remaining) > most
    except ValueError:
        return False


class Passing(Ticket):
    """One request before a door, and within. It enters at once where nobody waits (`is_in`), or is to `wait`."""

    __slots__ = ("_left", "_request", "_turn", "door")

    def __init__(self, door: Door, request: Request, tokens: int, input_tokens: int) -> None:
        super().__init__(request.priority, request.tenant or "", tokens, input_tokens, request.deadline)
        self.name = "" if request.target is None else request.target.name
        self.door = door
        self._request = request
        self._turn: Lock | None = None
        self._left = False

    def enter(self) -> None:
        """Go in, or stand in the queue."""
        door, runtime = self.door, self._request.runtime
        now = runtime.now()
        with door.lock:
            door.limiter.enter(self, now)
            if not self.is_in and not self.is_turned_away:
                turn = self._turn = runtime.lock()  # nobody can wake it before the door's lock is given back
                turn.acquire_nowait()

    async def wait(self, target: Target) -> None:
        """Wait until it may go. Raises `Overloaded` where it may not in time, `CircuitOpen` where a circuit opens."""
        request, limiter, sending = self._request, self.door.limiter, sending_of(self._request)
        runtime, turn = request.runtime, self._turn
        began = runtime.now()
        while True:
            opened = None if sending is None else sending.opened()
            if opened is not None:
                request.record.note("limit", target=target.name, refused="circuit_open")
                mark_never_written(opened)
                raise opened
            if self.is_in:
                break
            if self.is_late:
                self._left = True
                raise self._refused(target, "late", "its turn came too late for the call's deadline")
            if self.is_turned_away or turn is None:
                self._left = True
                raise self._refused(target, "full", f"{len(limiter)} calls wait for it already")
            with self.door.lock:
                seconds = limiter.seconds_left(self, runtime.now())
                if seconds is not None and seconds <= _NEAR:
                    limiter.advance(runtime.now())
                    continue
            until = self._until(target, seconds)
            try:
                await turn.acquire(until)
            except DeadlineExceeded:
                if request.deadline is not None and runtime.now() >= request.deadline:
                    raise
        request.record.note("limit", target=target.name, waited=runtime.now() - began)

    def _until(self, target: Target, seconds: float | None) -> float | None:
        """Give the instant at which to look again, unless somebody wakes it. Raises where it is not to wait so long."""
        request = self._request
        if self.door.is_told and request.others_left and (seconds is None or seconds > _PATIENCE):
            wait = seconds or _PATIENCE
            raise self._refused(target, "elsewhere", "another model can be asked at once", retry_after=wait)
        if seconds is None:
            return request.deadline
        until = request.runtime.now() + seconds
        if request.deadline is not None and until > request.deadline:
            raise self._refused(target, "late", f"its turn comes in {seconds:.3g} s, after the call's deadline")
        return until

    def wake(self) -> None:
        """Have it look, wherever it waits: most are where this runs."""
        turn, runtime = self._turn, self._request.runtime
        if turn is None:
            return
        if runtime.blocking:
            with contextlib.suppress(RuntimeError):  # it looks already
                turn.release()
            return

        async def step() -> None:
            turn.release()

        runtime.call_later_from_anywhere(step)

    @property
    def owes(self) -> bool:
        """Whether it has a place that is to be given back, or stands in the queue."""
        return not self._left and (self.door.wants_back or not self.is_in)

    def end(self, error: BaseException | None) -> None:
        """Give up the place of a stream that has ended, and say what it took."""
        self.leave(_taken(self._request) if self.door.counts_tokens else None, error)

    def leave(self, tokens: int | None, error: BaseException | None) -> None:
        """Give up the place; once, and what is left of it where an interrupt came meanwhile."""
        if not self.owes:
            return
        door, overloaded = self.door, is_overload(error)
        if error is not None and is_withdrawn(error):
            tokens, overloaded = 0, None
        with door.lock:
            door.limiter.leave(self, self._request.runtime.now(), tokens=tokens, overloaded=overloaded)
        self._left = True

    def skip(self) -> None:
        """Go past the door, whatever it says."""
        self.leave(None, None)
        self.is_in = self._left = True

    def _refused(self, target: Target, kind: str, why: str, *, retry_after: float | None = None) -> Overloaded:
        self._request.record.note("limit", target=target.name, refused=kind)
        if self.door.is_told:
            what = f"{target.name} has nothing left of its limit, as its provider says"
        else:
            what = f"{target.name} is held to its limit ({self.door.name}) here"
        error = Overloaded(
            f"{what}, and {why}; nothing was sent; {_REMEDY[self.door.is_told]}",
            provider=target.provider,
            code="limited",
            retryable=retry_after is not None,
            retry_after=retry_after,
        )
        mark_never_written(error)
        return error


_OVERLOAD = (RateLimited, Unavailable)
_REMEDY = {
    False: "raise its limits=, send fewer calls, or list another model behind it",
    True: "allow more time, send fewer calls, or list another model behind it",
}


def is_overload(error: BaseException | None) -> bool | None:
    """Say whether a request ended with too much for its model; None where that is not known."""
    if error is None:
        return False
    return isinstance(error, _OVERLOAD) if isinstance(error, ProviderError) else None


def _taken(request: Request) -> int | None:
    """Give the tokens that an attempt took, which the meter, further in, has put on the record by now."""
    attempts = request.record.attempts
    return next((one.usage.total_tokens for one in attempts if one.number == request.attempt), None)
