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
    ContentFiltered,
    DeadlineExceeded,
    LocalModelError,
    Overloaded,
    ProviderError,
    StreamInterrupted,
    Unavailable,
)
from inferkit.layers.resolve import resolved
from inferkit.layers.retry_log import tell_of_next
from inferkit.resilience.backoff import backoff, ceiling
from inferkit.resilience.health import Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.attempt import AttemptKind
    from inferkit.core.body import Batch, Explain
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response
    from inferkit.layers.retry_log import Failure

__all__ = ["Retry", "begin"]

_SLOW = 10.0  # seconds without a first chunk, after which even a deadline speaks against the model


class Retry:
    """Tries candidates in order; when all have failed for passing reasons, waits and goes round again.

    It says what kind each attempt is: the first one of the first candidate is "primary", or what the request says that
    it is, its others are a "retry", and those of all other candidates a "fallback".

    At most `1 + max_retries` requests are sent, or one a candidate where there are more candidates than that. A
    candidate that refused for good (wrong key, invalid request), that the budget does not cover, or that is a local
    model which cannot run here, is not asked again, the others are. Refused content is not taken to another model. A
    wait that would pass the call's deadline, or is longer than `longest_wait` seconds, is not begun: the last error is
    raised at once.

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
        random: Callable[[], float] = random.random,
    ) -> None:
        if not isinstance(max_retries, int) or max_retries < 0:
            raise ConfigurationError(f"max_retries is 0 or more, a whole number; got {max_retries!r}")
        if base <= 0 or longest < base or longest_wait < 0:
            raise ConfigurationError("base and longest are in seconds, base above 0 and longest at least as much")
        self.health = health or Health()
        self._max_retries = max_retries
        self._base = base
        self._longest = longest
        self._longest_wait = longest_wait
        self._random = random

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Return the first response that begins, or raise the last error."""
        if not request.candidates:
            request = resolved(request)
        walk = _Walk(request, self.health, 1 + self._max_retries)
        round_number = 0
        try:
            while True:
                response = await walk.round(call_next)
                if response is not None:
                    return response
                round_number += 1
                if walk.is_over or not await self._wait(request, round_number, walk):
                    raise walk.failure or walk.refusal()
        finally:
            walk.failure = None  # its traceback holds this frame: a cycle that would keep the call alive

    async def _wait(self, request: Request, round_number: int, walk: _Walk) -> bool:
        """Wait until a candidate may be asked again; False where that would take too long."""
        if round_number > max(1, self._max_retries):
            return False
        now = request.runtime.now()
        rounds = range(round_number, self._max_retries + 1)
        patience = sum(ceiling(each, self._base, self._longest) for each in rounds)
        waits = [wait for target in walk.remaining if (wait := walk.wait_for(target, now, patience)) is not None]
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
    """The candidates of one call on its way: who may still be asked, and when, and how many requests were sent."""

    __slots__ = ("_asked", "_before", "_begins", "_era", "_failed", "_health", "_most", "_not_before", "_request",
                 "_sent", "failure", "remaining")  # fmt: skip

    def __init__(self, request: Request, health: Health, most: int) -> None:
        self.remaining = list(request.candidates)
        self.failure: Failure | None = None
        self._failed: Target | None = None
        self._most = max(most, len(self.remaining))
        self._sent = 0
        self._health = health
        self._era = 0
        self._not_before: dict[str, float] = {}
        self._request = request
        self._asked: set[str] = set()
        self._before = len(request.record.attempts)  # a budget may have taken the call to a smaller model after these
        self._begins = not self._before or request.attempt_kind != "primary"

    @property
    def is_over(self) -> bool:
        """Whether nobody may be asked any more, however long one waits."""
        return self._sent == self._most or not self.remaining

    async def round(self, call_next: Handler) -> Response | None:
        """Ask each candidate that may be asked now, until one begins to answer."""
        asked_now = list(self.remaining)
        for place, target in enumerate(asked_now):
            if not self.may_ask(target):
                continue
            try:
                attempt = self.attempt(target, asked_now[place + 1 :])
                if self.failure is not None:
                    tell_of_next(attempt, self._failed, self.failure)
                response = await begin(attempt, call_next)
            except (ProviderError, BudgetExceeded, LocalModelError) as error:
                self.note_failure(target, error)
                if _is_final(error):
                    raise
                self.failure, self._failed = error, target
                if self.is_over:
                    return None
            except BaseException as error:
                self.note_end(target, error)
                raise
            else:
                return self._handed_on(attempt, target, response)
        return None

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
        if self._not_before and self._not_before.get(name, 0.0) > self._request.runtime.now():
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
            self.remaining.remove(target)
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
        waits = [self.wait_for(target, now, 0.0) for target in others]
        return any(wait is not None and wait <= 0 for wait in waits)

    def note_end(self, target: Target, error: BaseException) -> None:
        """Say how a candidate's request ended, where it did not end well. A deadline that was soon is no sign of it."""
        if isinstance(error, Overloaded):
            self._health.given_up(target.name, self._era)
            return
        if isinstance(error, DeadlineExceeded):
            attempts = self._request.record.attempts
            if not attempts or attempts[-1].seconds < _SLOW:
                self._health.given_up(target.name, self._era)
                return
        self._health.failed(target.name, error, self._era, self._request.runtime.now())

    def note_failure(self, target: Target, error: Failure) -> None:
        """Leave a candidate out for good, or for as long as it asked for."""
        self.note_end(target, error)
        facts = {"attempt": self._before + self._sent, "target": target.name, "error": type(error).__name__}
        if not isinstance(error, ProviderError) or isinstance(error, Overloaded):
            self._sent -= 1  # refused before it was sent
        if not isinstance(error, ProviderError) or not error.retryable:
            self.remaining.remove(target)
        elif error.retry_after is not None:
            self._not_before[target.name] = self._request.runtime.now() + error.retry_after
        if isinstance(error, ProviderError) and error.status is not None:
            facts["status"] = error.status
        self._request.record.note("retry", **facts)

    def wait_for(self, target: Target, now: float, patience: float) -> float | None:
        """Give the seconds until a candidate may be asked; None where an open circuit takes longer than `patience`."""
        wait = self._not_before.get(target.name, 0.0) - now
        trouble = self._health.troubled.get(target.name)
        if trouble is not None:
            admission = trouble.refused_until(now)
            if not admission.asked_for and admission.until - now > patience:
                return None
            wait = max(wait, admission.until - now)
        return wait

    def refusal(self) -> ProviderError:
        """Give the error of a call for which nobody was asked: the first candidate's."""
        first = self._request.candidates[0]
        trouble = self._health.troubled.get(first.name)
        if trouble is None:  # it worked again, for another call, this very moment
            return Unavailable(f"{first.name} was left alone until now; try again", provider=first.provider)
        return trouble.refusal(self._request.runtime.now(), first.provider)


def _is_final(error: Failure) -> bool:
    """Whether no other candidate is asked. A budget that takes the call to a smaller model does that at once."""
    return isinstance(error, ContentFiltered) or (isinstance(error, BudgetExceeded) and not error.others_may_do)


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
