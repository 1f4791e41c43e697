"""How much may go to one model at a time, and who goes first when more wants to: limits, and the queue before them.

Requests and tokens are let through as fast as a minute's worth allows, with a burst of a sixth of it; so many may run
at the same time. What does not get through waits: the highest priority first, and within one priority each tenant in
turn, however much another one sends. Where the queue is full, the lowest priority is turned away.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Limiter", "RateLimit", "Ticket"]

_MINUTE = 60.0
_BURST = 10.0  # seconds' worth that may go at once
_LESS = 0.75
_LEAST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What may go to a model, or to all models of a provider: requests and tokens a minute, and how many at once.

    None is no limit. `adaptive` lowers `concurrent` by a quarter when the provider is overloaded or says that too much
    came, and raises it again, one for each round of replies, up to `concurrent`. `queue` is how many may wait.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent: int | None = None
    adaptive: bool = True
    queue: int = 1000

    def __post_init__(self) -> None:
        limits = (self.requests_per_minute, self.tokens_per_minute, self.concurrent)
        if all(limit is None for limit in limits):
            raise ConfigurationError(
                "a RateLimit limits something: requests_per_minute=, tokens_per_minute= or concurrent="
            )
        if any(limit is not None and not 0 < limit < math.inf for limit in limits) or self.queue < 0:
            raise ConfigurationError("the limits of a RateLimit are above 0, and its queue is 0 or more")


class Ticket:
    """One request that wants through, or is: `tokens` is what it is counted as, `wake` tells whoever waits to look."""

    __slots__ = ("is_in", "is_turned_away", "priority", "tenant", "tokens", "wake")

    def __init__(self, priority: int, tenant: str, tokens: int, wake: Callable[[], object]) -> None:
        self.priority = priority
        self.tenant = tenant
        self.tokens = tokens
        self.wake = wake
        self.is_in = False
        self.is_turned_away = False


class _Bucket:
    """So much a minute, of which `level` may go now; below zero it is owed."""

    __slots__ = ("at", "level", "per_second")

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_second = per_minute / _MINUTE
        self.level = self.most
        self.at = now

    @property
    def most(self) -> float:
        return max(1.0, self.per_second * _BURST)

    def fill(self, now: float) -> None:
        self.level = min(self.most, self.level + max(0.0, now - self.at) * self.per_second)
        self.at = now

    def wait(self, amount: float) -> float:
        """Give the seconds until an amount may go; one that is more than there ever is goes when it is full."""
        missing = min(amount, self.most) - self.level
        return max(0.0, missing / self.per_second)


class Limiter:
    """The state of one limit. Instants are seconds on one clock that never goes back. Whoever calls holds a lock."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        requests, tokens = limit.requests_per_minute, limit.tokens_per_minute
        self._requests = None if requests is None else _Bucket(requests, now)
        self._tokens = None if tokens is None else _Bucket(tokens, now)
        self._most = math.inf if limit.concurrent is None else float(limit.concurrent)
        self._waiting: list[tuple[int, float, int, Ticket]] = []
        self._turns: dict[str, float] = {}
        self._turn = 0.0
        self._number = count()
        self.running = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def concurrent(self) -> float:
        """How many may run at the same time at present."""
        return self._most

    def enter(self, ticket: Ticket, now: float) -> None:
        """Let a ticket in, have it wait, or turn it away, or another one for it; see what became of it there."""
        if not self._waiting and self._wait(ticket, now) == 0:
            self._let_in(ticket)
            return
        if len(self._waiting) >= self._limit.queue:
            last = max(self._waiting, default=None)
            if last is None or last[3].priority >= ticket.priority:
                ticket.is_turned_away = True
                return
            self._remove(last[3])
            last[3].is_turned_away = True
            last[3].wake()
        turn = max(self._turn, self._turns.get(ticket.tenant, 0.0)) + 1
        self._turns[ticket.tenant] = turn
        heapq.heappush(self._waiting, (-ticket.priority, turn, next(self._number), ticket))

    def advance(self, now: float) -> None:
        """Let in all that may go, and wake them; wake the next one too, which then waits for its time."""
        while self._waiting:
            _, turn, _, ticket = self._waiting[0]
            if self._wait(ticket, now) > 0:
                ticket.wake()
                return
            heapq.heappop(self._waiting)
            self._turn = max(self._turn, turn)
            self._let_in(ticket)
            ticket.wake()
        self._turns.clear()
        self._turn = 0.0

    def seconds_left(self, ticket: Ticket, now: float) -> float | None:
        """Give the seconds after which a waiting ticket is to look again; None where somebody will wake it."""
        if not self._waiting or self._waiting[0][3] is not ticket:
            return None
        wait = self._wait(ticket, now)
        return None if math.isinf(wait) else wait

    def leave(self, ticket: Ticket, now: float, *, tokens: int | None = None, overloaded: bool | None = None) -> None:
        """Take back a ticket: of one that was in, how many `tokens` it took, and whether the model was `overloaded`.

        None where that is not known.
        """
        if not ticket.is_in:
            self._remove(ticket)
        else:
            ticket.is_in = False
            self.running -= 1
            if tokens is not None and self._tokens is not None:
                self._tokens.level = min(self._tokens.most, self._tokens.level + ticket.tokens - tokens)
            self._adapt(overloaded)
        self.advance(now)

    def _adapt(self, overloaded: bool | None) -> None:
        concurrent = self._limit.concurrent
        if concurrent is None or not self._limit.adaptive or overloaded is None:
            return
        if overloaded:
            self._most = max(_LEAST, min(self._most, self.running + 1) * _LESS)
        else:
            self._most = min(float(concurrent), self._most + 1 / self._most)

    def _wait(self, ticket: Ticket, now: float) -> float:
        """Give the seconds until a ticket may go by time alone; infinity while too many run."""
        if self.running + 1 > max(1.0, self._most):
            return math.inf
        waits = [0.0]
        for bucket, amount in ((self._requests, 1), (self._tokens, ticket.tokens)):
            if bucket is not None:
                bucket.fill(now)
                waits.append(bucket.wait(amount))
        return max(waits)

    def _let_in(self, ticket: Ticket) -> None:
        ticket.is_in = True
        self.running += 1
        if self._requests is not None:
            self._requests.level -= 1
        if self._tokens is not None:
            self._tokens.level -= ticket.tokens

    def _remove(self, ticket: Ticket) -> None:
        left = [each for each in self._waiting if each[3] is not ticket]
        if len(left) < len(self._waiting):
            heapq.heapify(left)
            self._waiting = left
