"""How much may go to one model at a time, and who goes first when more wants to: limits, and the queue before them.

Requests and tokens are let through as fast as a minute's worth allows, with a burst of a sixth of it, or as a provider
says of its own limits; so many may run at the same time. What does not get through waits (see `Waiting`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.resilience.buckets import Bucket
from inferkit.resilience.waiting import Waiting

if TYPE_CHECKING:
    from inferkit.resilience.buckets import QuotaBucket
    from inferkit.resilience.waiting import Ticket

__all__ = ["Limiter", "RateLimit"]

_LESS = 0.75
_SLOWLY = 4  # rounds of replies after which what was too much is tried again
_NEW = 0.1  # of how long they take
_COUNTED_BEFORE = {"tokens", "input_tokens"}
_LEAST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What may go to a model, or to all models of a provider: requests and tokens a minute, and how many at once.

    None is no limit. `adaptive` lowers `concurrent` by a quarter when the provider is overloaded or says that too much
    came, and raises it again as replies come: soon to what was not too much, from there one in several rounds, and one
    in each round where that works, up to `concurrent`. `queue` is how many may wait.
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


class Limiter:
    """The state of one limit. Instants are seconds on one clock that never goes back. Whoever calls holds a lock.

    `quotas` are limits of the provider's own, as far as they are known; `limit` is what an application states, None for
    nothing.
    """

    def __init__(self, limit: RateLimit | None, now: float, *, queue: int = 1000) -> None:
        self._limit = limit
        self._queue = queue if limit is None else limit.queue
        requests, tokens = (None, None) if limit is None else (limit.requests_per_minute, limit.tokens_per_minute)
        self._requests = None if requests is None else Bucket(requests, now)
        self._tokens = None if tokens is None else Bucket(tokens, now)
        concurrent = None if limit is None else limit.concurrent
        self._counts_running = concurrent is not None
        self._highest = 0.0 if limit is None or concurrent is None or not limit.adaptive else float(concurrent)
        self._most = math.inf if concurrent is None else float(concurrent)
        self._waiting = Waiting()
        self._takes = 0.0  # seconds, as those take of late that wait
        self._too_many = 0.0  # how many ran when the model was overloaded last, while more have not worked since
        self._unheard = 0  # of those that run, how many ran with one that was too much
        self.quotas: tuple[QuotaBucket, ...] = ()
        self.running = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting.size

    def wake(self, name: str) -> None:
        """Have all look that wait for a model."""
        for ticket in self._waiting.tickets():
            if ticket.name == name:
                ticket.wake()

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a ticket stands for."""
        return self._tokens is not None or any("tokens" in each.unit for each in self.quotas)

    @property
    def tokens_left(self) -> float:
        """How many tokens may go at present, at least; those that are not counted are without end."""
        told = [each.level for each in self.quotas if each.unit in _COUNTED_BEFORE]
        return min(told, default=math.inf) if self._tokens is None else min(self._tokens.level, *told, math.inf)

    @property
    def concurrent(self) -> float:
        """How many may run at the same time at present."""
        return self._most

    def slip_in(self, now: float) -> bool:
        """Let a request in without a ticket, where nobody waits and nothing but its number counts; False elsewhere."""
        if self._waiting.size or self.quotas or (self.running + 1 > self._most and self.running):
            return False
        requests = self._requests
        if requests is not None and not requests.take_one(now):
            return False
        if self._counts_running:
            self.running += 1
        return True

    def slip_out(self) -> bool:
        """Take back what was let in, with or without a ticket, and has worked. True where somebody waits for that."""
        if self._counts_running:
            if self._most < self._highest:
                self._let_more_run()
            self.running -= 1  # last, so that no interrupt comes between this and who notes that it is done
        return self._waiting.size > 0

    def fall_out(self, *, overloaded: bool | None) -> bool:
        """Take back what was let in and has not; see `leave`. True where somebody waits for that."""
        if self._counts_running:
            if self._highest and (overloaded or self._most < self._highest):
                self._let_fewer_run(overloaded=overloaded)
            self.running -= 1
        return self._waiting.size > 0

    def enter(self, ticket: Ticket, now: float) -> None:
        """Let a ticket in, have it wait, or turn it away, or another one for it; see what became of it there."""
        waiting = self._waiting
        if not waiting.size and not self._wait(ticket, now):
            self._let_in(ticket, now)
            return
        if waiting.size >= self._queue:
            last = waiting.one_too_many(ticket)
            last.is_turned_away = True
            if last is ticket:
                return
            waiting.remove(last)
            last.wake()
        waiting.push(ticket)

    def advance(self, now: float) -> None:
        """Let in all that may go, and wake them; wake the next one too, which then waits for its time.

        Where an interrupt comes meanwhile, it may be done again, and does what is left.
        """
        waiting = self._waiting
        while (ticket := waiting.head()) is not None:
            if not (ticket.is_in or ticket.is_turned_away):  # as it is after an interrupt
                if ticket.deadline is not None and now + self._takes > ticket.deadline:  # others will have more of it
                    ticket.is_turned_away = ticket.is_late = True
                elif self._wait(ticket, now) > 0:
                    ticket.wake()
                    return
                else:
                    self._let_in(ticket, now)
            ticket.wake()  # before it is taken out, so that an interrupted step is made once more
            if ticket.is_in:
                waiting.pop()
            else:
                waiting.remove(ticket)

    def seconds_left(self, ticket: Ticket, now: float) -> float | None:
        """Give the seconds after which a waiting ticket is to look again; None where somebody will wake it."""
        if self._waiting.head() is not ticket:
            return None
        wait = self._wait(ticket, now)
        return None if math.isinf(wait) else wait

    def answered(self, ticket: Ticket) -> None:
        """Take in that the provider has answered a request that was in, or never will."""
        for quota, _ in zip(self.quotas, ticket.marks, strict=False):  # of those that were known when it went in
            quota.answered += _amount(quota, ticket)

    def leave(self, ticket: Ticket, now: float, *, tokens: int | None = None, overloaded: bool | None = None) -> None:
        """Take back a ticket: of one that was in, how many `tokens` it took, and whether the model was `overloaded`.

        None where that is not known. Where an interrupt comes meanwhile, it may be done again, and does what is left.
        """
        if self._waiting.size:
            self._waiting.remove(ticket)
        if ticket.is_in:
            if tokens is not None and self._tokens is not None:
                self._tokens.give_back(ticket.tokens - tokens)
                ticket.tokens = tokens
            if overloaded is False:
                self._takes += _NEW * (now - ticket.in_at - self._takes)
                self.slip_out()
            else:
                self.fall_out(overloaded=overloaded)
            ticket.is_in = False
        if self._waiting.size:
            self.advance(now)

    def _let_more_run(self) -> None:
        """Let more run at once again, as replies come after the model was overloaded: every one of them comes by here.

        As many as were not too much soon run again; then one more for several rounds of replies, until that works, and
        from there on one for each round.
        """
        if self._unheard:
            self._unheard -= 1
        too_many, most = self._too_many, self._most
        if not too_many:
            most += 1 / most
        elif most < too_many - 1:
            most += min(1.0, too_many - 1 - most)
        else:
            most += 1 / (_SLOWLY * most if most < too_many else most)
        if most > self._highest:  # noqa: PLR1730 - min() takes as long as all the rest
            most = self._highest
        self._most = most
        if too_many and most >= too_many:  # it is not too much any more
            self._too_many = 0.0

    def _let_fewer_run(self, *, overloaded: bool | None) -> None:
        """Let fewer run at once where the model is overloaded.

        What ran with the one that was too much says no more than it: only what goes in afterwards does.
        """
        self._unheard = max(0, self._unheard - 1)
        if overloaded and self._unheard:
            self._too_many = min(self._too_many or math.inf, self.running)
        elif overloaded:
            self._too_many = self.running
            self._most = max(_LEAST, min(self._most, self.running) * _LESS)
            self._unheard = self.running - 1

    def _wait(self, ticket: Ticket, now: float) -> float:
        """Give the seconds until a ticket may go by time alone; infinity while too many run."""
        if self.running + 1 > self._most and self.running:
            return math.inf
        wait = 0.0 if self._requests is None else self._requests.wait(1.0, now)
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(ticket.tokens, now))
        for quota in self.quotas:
            wait = max(wait, quota.wait(_amount(quota, ticket), now))
        return wait

    def _let_in(self, ticket: Ticket, now: float) -> None:
        ticket.is_in = True
        ticket.in_at = now
        if self._counts_running:
            self.running += 1
        if self._requests is not None:
            self._requests.level -= 1
        if self._tokens is not None:
            self._tokens.level -= ticket.tokens
        if self.quotas:
            for quota in self.quotas:
                quota.take(_amount(quota, ticket))
            ticket.marks = [quota.answered + _amount(quota, ticket) for quota in self.quotas]


def _amount(quota: QuotaBucket, ticket: Ticket) -> int:
    """Give what a ticket takes of a provider's limit. What will be written nobody knows: some of it has to be left."""
    if quota.unit == "tokens":
        return ticket.tokens
    return ticket.input_tokens if quota.unit == "input_tokens" else 1
