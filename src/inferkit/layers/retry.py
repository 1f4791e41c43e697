"""Walks the candidates until one begins to answer: retries and fallbacks, up to the first chunk.

The first chunk is the commit point. Before it anything may be tried again; after it the caller has seen text, so a
failure is `StreamInterrupted` and carries what had been received.

It is longer than other modules, since one walk over the candidates, and what becomes of each request on it, are told
from their beginning to their end.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from inferkit.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    LocalModelError,
    Overloaded,
    ProviderError,
    Unavailable,
)  # fmt: skip
from inferkit.core.shown import shown
from inferkit.layers.bound import KEPT, requests_left
from inferkit.layers.raced import TooLateError
from inferkit.layers.resolve import resolved
from inferkit.layers.setbacks import Setbacks, interrupted, says_nothing
from inferkit.layers.withdrawn import is_withdrawn
from inferkit.resilience.backoff import backoff, ceiling
from inferkit.resilience.failover import Failovers
from inferkit.resilience.health import Health
from inferkit.resilience.trouble import ADMITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.core.attempt import AttemptKind
    from inferkit.core.body import Batch
    from inferkit.core.errors import CircuitOpen
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response
    from inferkit.resilience.failover import Action, Failover, Failure
    from inferkit.resilience.trouble import Admission

__all__ = ["Retry", "Sending"]

_NOT_SENT = (BudgetExceeded, LocalModelError, Overloaded, TooLateError)


class Retry:
    """Tries candidates in order; when all have failed for passing reasons, waits and goes round again.

    It says what kind each attempt is: the first one of the first candidate is "primary", or what the request says that
    it is, its others are a "retry", and those of all other candidates a "fallback".

    At most `1 + max_retries` requests are sent for a call, or one a candidate where there are more candidates. All of
    them count, whoever starts them: fallbacks, hedges, continuations, and those of a cascade whose models fail. Where a
    reply was read and something else is asked on purpose (a repair, an escalation), that is one more.

    What follows from each kind of failure is what `failover` says, a policy for all names or one for each. A wait that
    would pass the call's deadline, or is longer than `longest_wait` seconds, is not begun: the last error is raised.

    `health` is what all calls know together. A candidate that keeps failing, or that asked for time, is left alone by
    every call for a while, and retries may not exceed a share of the calls, so that they cannot multiply an outage.
    """

    role = "retry"

    def __init__(
        self,
        max_retries: int = 2,
        *,
        base: float = 0.5,
        longest: float = 8.0,
        longest_wait: float = 60.0,
        health: Health | None = None,
        failover: Failover | Mapping[str, Failover] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        if not isinstance(max_retries, int) or max_retries < 0:
            raise ConfigurationError(f"max_retries is 0 or more, a whole number; got {max_retries!r}")
        if base <= 0 or longest < base or longest_wait < 0:
            raise ConfigurationError("base and longest are in seconds, base above 0 and longest at least as much")
        self.health = health or Health()
        self.failovers = Failovers(failover)
        self._max_retries = max_retries
        self._base = base
        self._longest = longest
        self._longest_wait = longest_wait
        self._random = random

    def __repr__(self) -> str:
        return shown(self, max_retries=self._max_retries)

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Return the first response that begins, or raise the last error."""
        if not request.candidates:
            request = resolved(request)
        walk = _Walk(request, self.health, self.failovers, self._max_retries)
        round_number = 0
        try:
            while True:
                response = await walk.round(call_next)
                if response is not None:
                    return response
                round_number += 1
                setbacks = walk.setbacks
                if walk.is_over or walk.passes_on or not await self._wait(request, round_number, setbacks):
                    stays = setbacks.stays
                    if stays is None or walk.is_over:
                        raise setbacks.failure or setbacks.refusal()
                    setbacks.leave_out(stays)  # the others may have the time that it would take
                    setbacks.stays = None
        finally:
            walk.forget()

    async def _wait(self, request: Request, round_number: int, setbacks: Setbacks) -> bool:
        """Wait until a candidate may be asked again; False where that would take too long."""
        if round_number > max(1, self._max_retries):
            return False
        now = request.runtime.now()
        rounds = range(round_number, self._max_retries + 1)
        wait = setbacks.shortest_wait(now, sum(ceiling(each, self._base, self._longest) for each in rounds))
        if wait is None or wait > self._longest_wait:
            return False
        spread, asked = self._random(), max(0.0, wait)
        delay = backoff(round_number, base=self._base, longest=self._longest, spread=spread, asked=asked)
        if request.deadline is not None and now + delay >= request.deadline:
            return False
        request.record.note("retry", round=round_number, delay=delay)
        await request.runtime.sleep(delay)
        return True


class _Walk:
    """The candidates of one call on its way: who may still be asked."""

    __slots__ = ("_asked", "_before", "_begins", "_failovers", "_health", "_request", "_setbacks", "remaining")

    def __init__(self, request: Request, health: Health, failovers: Failovers, max_retries: int) -> None:
        record = request.record
        self.remaining = list(request.candidates)
        self._setbacks: Setbacks | None = None
        self._health = health
        self._failovers = failovers
        self._request = request
        self._asked: set[str] = set()
        if not record.questions or (record.answered and request.attempt_kind != "continuation"):  # something new
            record.questions += 1
            kept = request.extensions.get(KEPT) or 0
            record.most = max(record.questions + max_retries, record.sent + len(self.remaining) + kept)
            record.asked = ()
        record.answered = False
        self._before = record.asked
        # a budget may have taken the call to a smaller model after these
        self._begins = not record.attempts or request.attempt_kind != "primary"

    @property
    def is_over(self) -> bool:
        """Whether nobody may be asked any more, however long one waits."""
        return requests_left(self._request) <= 0 or not self.remaining

    @property
    def passes_on(self) -> bool:
        """Whether others are asked rather than these once more: those that some of the requests are kept for."""
        return bool(self._request.extensions.get(KEPT)) and self.setbacks.stays is None

    @property
    def setbacks(self) -> Setbacks:
        """What it has learned of candidates that fail; nearly every call learns nothing."""
        if self._setbacks is None:
            failover = self._failovers.find(self._request.model)
            self._setbacks = Setbacks(self._request, self._health, failover, self.remaining)
        return self._setbacks

    def forget(self) -> None:
        """Let go of what would be a cycle that keeps the call alive: the last error's traceback holds its frame."""
        self._request.record.sending = None
        if self._setbacks is not None:
            self._setbacks.failure = None

    async def round(self, call_next: Handler) -> Response | None:
        """Ask each candidate that may be asked now, until one begins to answer."""
        order, record = list(self.remaining), self._request.record
        if self._setbacks is not None and self._setbacks.stays is not None:
            order.sort(key=lambda target: target is not self.setbacks.stays)
            self._setbacks.stays = None
        for place, target in enumerate(order):
            admission = self._admit(target) if target in self.remaining else None
            while admission is not None:
                attempt = self._attempt(target, order[place + 1 :])
                if self._setbacks is not None:
                    self._setbacks.tell_of_next(attempt)
                unsent = partial(self._health.give_back_retry, target.name) if admission.is_retry else None
                sending = record.sending = Sending(attempt, target, self._health, admission.era, unsent)
                try:
                    response = await sending.begun(attempt, call_next)
                except (ProviderError, BudgetExceeded, LocalModelError) as error:
                    if is_withdrawn(error):
                        admission = self._admit_again(target, sending)
                        continue
                    action = self._take(target, error, attempt.attempt)
                    if action == "raise":
                        raise
                    if action == "stay" or self.is_over:
                        return None
                    break
                else:
                    return self._handed_on(response)
        return None

    def _admit_again(self, target: Target, sending: Sending) -> Admission | None:
        """Ask once more whether a candidate may be asked, which the request that waited for it was not."""
        if sending.is_first:
            self._asked.discard(target.name)
        return self._admit(target)

    def _take(self, target: Target, error: Failure, number: int) -> Action:
        """Take in how a candidate failed, and say what follows."""
        action = self.setbacks.take(target, error, number=number)
        if isinstance(error, BudgetExceeded) and not error.others_may_do:
            return "raise"
        if action == "stay":
            others = sum(1 for one in self.remaining if one.name not in self._asked)
            if requests_left(self._request) <= others:  # each of them has a request of its own
                return "retry"
            self.setbacks.stays = target
        return action

    def _handed_on(self, response: Response) -> Response:
        """Say who answers, which may be a hedge, and what it means if that breaks from here on."""
        record = self._request.record
        sending: Sending = record.sending
        record.provider, record.model = sending.target.provider, sending.target.model
        record.answered = True
        return response.map(explain=sending.broke)

    def _admit(self, target: Target) -> Admission | None:
        """Ask whether a candidate may be asked now. One that has no retry left in its budget is not asked again."""
        if self._setbacks is not None and self._setbacks.is_too_early(target):
            return None
        name, asked = target.name, self._request.record.asked
        if name in asked and name not in self._asked and name not in self._before:
            self._asked.add(name)  # by a hedge, before its turn: the next round may ask it
            return None
        trouble = self._health.troubled.get(name)
        if trouble is None:
            return ADMITTED
        at_once = trouble.at_once
        if at_once is not None and name not in asked:
            return at_once
        admission = self._health.admit(name, self._request.runtime.now(), again=name in asked)
        if not admission.until:
            return admission
        self.setbacks.skip(target, admission)
        return None

    def _attempt(self, target: Target, others: list[Target]) -> Request:
        """Give the request for a candidate that is asked now; `others` come after it."""
        request, record = self._request, self._request.record
        kind: AttemptKind = "fallback"
        if target.name == request.candidates[0].name and (self._begins or target.name in self._asked):
            kind = "retry" if target.name in self._asked else request.attempt_kind
        self._asked.add(target.name)
        record.numbered += 1
        return request.replace(
            provider=target.provider,
            model=target.model,
            target=target,
            candidates=request.candidates,
            attempt=record.numbered,
            attempt_kind=kind,
            others_left=bool(others) and self.setbacks.may_follow(others),
        )


class Sending:
    """A request on its way to a model that may be asked, whoever starts it, until it is known how it ended.

    It counts on the call's record, and has `health` told how it ended; `era` is what its breaker goes by. How it ended
    `is_known` when it has begun to answer, or come to nothing. While it `waits` for its turn, it is not sent yet;
    `unsent` gives back what was taken for it, where it never is.
    """

    __slots__ = ("_afterwards", "_era", "_request", "_unsent", "health", "is_first", "is_known", "target", "waits")

    def __init__(
        self, request: Request, target: Target, health: Health, era: int, unsent: Callable[[], None] | None = None
    ) -> None:
        self._request = request
        self._unsent = unsent
        self._era = era
        self._afterwards: list[Callable[[BaseException | None], None]] = []
        self.is_known = False
        self.waits = False
        self.health = health
        self.target = target
        record = request.record
        record.sent += 1
        self.is_first = target.name not in record.asked
        if self.is_first:
            record.asked = (*record.asked, target.name)

    async def begun(self, request: Request, call_next: Handler) -> Response:
        """Send it, wait for the first batch that carries something, and hand the whole stream on."""
        response, received, begins = None, [], False
        try:
            response = await call_next(request)
            while not begins:
                batch: Batch = await response.next_batch()
                received += batch
                for chunk in batch:
                    if chunk.text or chunk.finish_reason or chunk.has_content:
                        begins = True
                        break
        except StopAsyncIteration:
            name = request.provider or ""
            error = Unavailable(f"{name} ended the reply before it began; try again", provider=name)
            self.failed(error)
            raise error from None
        except BaseException as error:
            self.failed(error)
            if response is not None:
                await response.aclose(error=error)
            raise
        response.unread(received)
        if not self.is_known:
            self.is_known = True
            if self.health.troubled:
                self.health.worked(self.target.name, self._era, request.runtime.now())
        if self._afterwards:
            self._go_on(None)
        return response

    def opened(self) -> CircuitOpen | None:
        """Give the error of a request that is not sent yet, where the circuit of its model opened meanwhile."""
        trouble = self.health.troubled.get(self.target.name)
        if trouble is None:
            return None
        return trouble.opened_since(self._era, self._request.runtime.now(), self.target.provider)

    def lost(self) -> None:
        """Take in that another one answered before it: it has neither worked nor failed."""
        if not self.is_known:
            self.is_known = True
            self.health.given_up(self.target.name, self._era)

    def then(self, step: Callable[[BaseException | None], None]) -> None:
        """Have a step done when it is known how it ended, with the error that it failed with, if it did."""
        self._afterwards.append(step)

    def _go_on(self, error: BaseException | None) -> None:
        while self._afterwards:
            self._afterwards.pop()(error)

    def failed(self, error: BaseException) -> None:
        """Take in that it came to nothing; once. One that is cancelled says nothing of its model."""
        try:
            if not self.is_known:
                self.is_known = True
                self._take_in(error)
        finally:
            if self._afterwards:
                self._go_on(error)

    def _take_in(self, error: BaseException) -> None:
        request, record = self._request, self._request.record
        if isinstance(error, ProviderError):
            error.provider = self.target.provider  # its adapter may have another name for itself
        if self.waits or isinstance(error, _NOT_SENT) or is_withdrawn(error):
            if self._unsent is not None:
                self._unsent()
            record.sent -= 1
            if self.is_first and is_withdrawn(error):
                record.asked = tuple(name for name in record.asked if name != self.target.name)
            if record.numbered == request.attempt:
                record.numbered -= 1
        if says_nothing(error, request):
            self.health.given_up(self.target.name, self._era)
        else:
            self.health.failed(self.target.name, error, self._era, request.runtime.now())

    def broke(self, error: BaseException) -> BaseException:
        """Say what it means that its stream breaks from the commit point on: nobody else can be asked."""
        if not isinstance(error, ProviderError):
            return error
        self.health.failed(self.target.name, error, self._era, self._request.runtime.now())
        return interrupted(self.target.provider, error)
