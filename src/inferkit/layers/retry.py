"""Walks the candidates until one begins to answer: retries and fallbacks, up to the first chunk.

The first chunk is the commit point. Before it anything may be tried again; after it the caller has seen text, so a
failure is `StreamInterrupted` and carries what had been received.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from inferkit.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    LocalModelError,
    Overloaded,
    ProviderError,
    StreamInterrupted,
    Unavailable,
)
from inferkit.layers.resolve import resolved
from inferkit.layers.setbacks import Setbacks, note_end
from inferkit.resilience.backoff import backoff, ceiling
from inferkit.resilience.failover import Failovers
from inferkit.resilience.health import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.core.attempt import AttemptKind
    from inferkit.core.body import Batch, Explain
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response
    from inferkit.resilience.failover import Action, Failover, Failure

__all__ = ["Retry", "begin"]


class Retry:
    """Tries candidates in order; when all have failed for passing reasons, waits and goes round again.

    It says what kind each attempt is: the first one of the first candidate is "primary", or what the request says that
    it is, its others are a "retry", and those of all other candidates a "fallback".

    At most `1 + max_retries` requests are sent, or one a candidate where there are more candidates than that. What
    follows from each kind of failure is what `failover` says, a policy for all names or one for each. A wait that would
    pass the call's deadline, or is longer than `longest_wait` seconds, is not begun: the last error is raised at once.

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

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Return the first response that begins, or raise the last error."""
        if not request.candidates:
            request = resolved(request)
        walk = _Walk(request, self.health, self.failovers, 1 + self._max_retries)
        round_number = 0
        try:
            while True:
                response = await walk.round(call_next)
                if response is not None:
                    return response
                round_number += 1
                setbacks = walk.setbacks
                if walk.is_over or not await self._wait(request, round_number, setbacks):
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
        patience = sum(ceiling(each, self._base, self._longest) for each in rounds)
        targets = setbacks.remaining if setbacks.stays is None else [setbacks.stays]
        waits = [wait for target in targets if (wait := setbacks.wait_for(target, now, patience)) is not None]
        if not waits:
            return False
        delay = backoff(
            round_number, base=self._base, longest=self._longest, spread=self._random(), asked=max(0.0, min(waits))
        )
        if min(waits) > self._longest_wait or (request.deadline is not None and now + delay >= request.deadline):
            return False
        request.record.note("retry", round=round_number, delay=delay)
        await request.runtime.sleep(delay)
        return True


class _Walk:
    """The candidates of one call on its way: who may still be asked, and how many requests were sent."""

    __slots__ = ("_asked", "_before", "_begins", "_era", "_failovers", "_health", "_most", "_request", "_sent",
                 "_setbacks", "remaining")  # fmt: skip

    def __init__(self, request: Request, health: Health, failovers: Failovers, most: int) -> None:
        self.remaining = list(request.candidates)
        self._setbacks: Setbacks | None = None
        self._most = max(most, len(self.remaining))
        self._sent = 0
        self._health = health
        self._failovers = failovers
        self._era = 0
        self._request = request
        self._asked: set[str] = set()
        self._before = len(request.record.attempts)  # a budget may have taken the call to a smaller model after these
        self._begins = not self._before or request.attempt_kind != "primary"

    @property
    def is_over(self) -> bool:
        """Whether nobody may be asked any more, however long one waits."""
        return self._sent == self._most or not self.remaining

    @property
    def setbacks(self) -> Setbacks:
        """What it has learned of candidates that fail; nearly every call learns nothing."""
        if self._setbacks is None:
            failover = self._failovers.find(self._request.model)
            self._setbacks = Setbacks(self._request, self._health, failover, self.remaining)
        return self._setbacks

    def forget(self) -> None:
        """Let go of the last error: its traceback holds the frame of the call, a cycle that would keep that alive."""
        if self._setbacks is not None:
            self._setbacks.failure = None

    async def round(self, call_next: Handler) -> Response | None:
        """Ask each candidate that may be asked now, until one begins to answer."""
        order = list(self.remaining)
        if self._setbacks is not None and self._setbacks.stays is not None:
            order.sort(key=lambda target: target is not self.setbacks.stays)
            self._setbacks.stays = None
        for place, target in enumerate(order):
            if target not in self.remaining or not self.may_ask(target):
                continue
            try:
                attempt = self.attempt(target, order[place + 1 :])
                if self._setbacks is not None:
                    self._setbacks.tell_of_next(attempt)
                response = await begin(attempt, call_next)
            except (ProviderError, BudgetExceeded, LocalModelError) as error:
                action = self._take(target, error)
                if action == "raise":
                    raise
                if action == "stay" or self.is_over:
                    return None
            except BaseException as error:
                note_end(self._request, self._health, target, error, self._era)
                raise
            else:
                return self._handed_on(attempt, target, response)
        return None

    def _take(self, target: Target, error: Failure) -> Action:
        """Take in how a candidate failed, and say what follows."""
        note_end(self._request, self._health, target, error, self._era)
        action = self.setbacks.take(target, error, number=self._before + self._sent)
        if not isinstance(error, ProviderError) or isinstance(error, Overloaded):
            self._sent -= 1  # refused before it was sent
        if isinstance(error, BudgetExceeded) and not error.others_may_do:
            return "raise"
        if action == "stay":
            others = sum(1 for one in self.remaining if one.name not in self._asked)
            if self._most - self._sent <= others:  # each of them has a request of its own
                return "retry"
            self.setbacks.stays = target
        return action

    def _handed_on(self, attempt: Request, target: Target, response: Response) -> Response:
        """Say who answers, and what it means if that breaks from here on."""
        record, health, era, now = attempt.record, self._health, self._era, attempt.runtime.now
        hedged, record.hedged_to = record.hedged_to, None  # of this request alone: the call may send others
        if hedged is not None:  # who was slow has neither worked nor failed
            health.given_up(target.name, era)
            target, era = hedged, 0
        record.provider, record.model = target.provider, target.model
        if health.troubled:
            health.worked(target.name, era, now())
        return response.map(explain=_final(attempt, target, health, era))

    def may_ask(self, target: Target) -> bool:
        """Say whether a candidate is asked now. One that has no retry left in its budget is not asked again at all."""
        name = target.name
        if self._setbacks is not None and self._setbacks.is_too_early(target):
            return False
        self._era = 0
        trouble = self._health.troubled.get(name)
        if trouble is None:
            return True
        admission = trouble.admit(self._request.runtime.now(), again=name in self._asked)
        self._era = admission.era
        if not admission.until:
            return True
        facts: dict[str, object] = {"target": name}
        if admission.until == float("inf"):
            self.setbacks.leave_out(target)
            facts["skipped"] = "retry_budget"
        else:
            facts["skipped"] = "paused" if admission.asked_for else "circuit_open"
        self._request.record.note("retry", **facts)
        return False

    def attempt(self, target: Target, others: list[Target]) -> Request:
        """Give the request for a candidate that is asked now; `others` come after it."""
        self._sent += 1
        kind: AttemptKind = "fallback"
        if target.name == self._request.candidates[0].name and (self._begins or target.name in self._asked):
            kind = "retry" if target.name in self._asked else self._request.attempt_kind
        self._asked.add(target.name)
        return self._request.replace(
            provider=target.provider,
            model=target.model,
            target=target,
            candidates=self._request.candidates,
            attempt=self._before + self._sent + self._request.record.hedges,
            attempt_kind=kind,
            others_left=bool(others) and self._may_follow(others),
        )

    def _may_follow(self, others: list[Target]) -> bool:
        """Whether one of these would be asked at once if somebody else were not."""
        now = self._request.runtime.now()
        waits = [self.setbacks.wait_for(target, now, 0.0) for target in others]
        return any(wait is not None and wait <= 0 for wait in waits)


async def begin(request: Request, call_next: Handler) -> Response:
    """Wait for the first batch that carries something, and hand the whole stream on."""
    response = await call_next(request)
    received: Batch = []
    try:
        while True:
            batch = await response.next_batch()
            received += batch
            for chunk in batch:
                if chunk.text or chunk.finish_reason or chunk.has_content:
                    response.unread(received)
                    return response
    except StopAsyncIteration:
        pass
    except BaseException as error:
        await response.aclose(error=error)
        raise
    raise Unavailable(f"{request.provider} ended the reply before it began; try again", provider=request.provider or "")


def _final(request: Request, target: Target, health: Health, era: int) -> Explain:
    """Say what it means that a stream breaks from the commit point on: nobody else can be asked."""
    provider, runtime = target.provider, request.runtime

    def explain(error: BaseException) -> BaseException:
        if not isinstance(error, ProviderError):
            return error
        health.failed(target.name, error, era, runtime.now())
        own_words = "" if error.detail is None else ", and what it said itself in .detail"
        return StreamInterrupted(
            f"{provider} broke off the stream ({type(error).__name__}); what came is in .partial{own_words}",
            provider=provider,
            status=error.status,
            code=error.code,
            retryable=error.retryable,
            retry_after=error.retry_after,
            detail=error.detail,
        )

    return explain
