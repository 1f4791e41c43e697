"""What a call learns on its way of candidates that fail: who may be asked yet, when, and what is raised at the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from inferkit.core.errors import (
    DeadlineExceeded,
    LocalModelError,
    Overloaded,
    ProviderError,
    StreamInterrupted,
    Unavailable,
)
from inferkit.layers.withdrawn import is_withdrawn
from inferkit.resilience.failover import holds_more, kind_of

if TYPE_CHECKING:
    from inferkit.core.request import Request, Target
    from inferkit.resilience.failover import Action, Failover, Failure
    from inferkit.resilience.health import Health
    from inferkit.resilience.trouble import Admission

__all__ = ["Setbacks", "interrupted", "says_nothing"]

_log = logging.getLogger("inferkit")
_SLOW = 10.0  # seconds without a first chunk, after which even a deadline speaks against the model


class Setbacks:
    """The candidates of one call after the first of them failed. `remaining` are those that may still be asked.

    `stays` is the one that is to be asked again before all others.
    """

    __slots__ = ("_failed", "_failover", "_health", "_not_before", "_request", "failure", "remaining", "stays")

    def __init__(self, request: Request, health: Health, failover: Failover, remaining: list[Target]) -> None:
        self._request = request
        self._health = health
        self._failover = failover
        self._not_before: dict[str, float] = {}
        self._failed: Target | None = None
        self.remaining = remaining
        self.failure: Failure | None = None
        self.stays: Target | None = None

    def take(self, target: Target, error: Failure, *, number: int) -> Action:
        """Take in how a candidate failed, in the attempt with this number, and say what follows."""
        facts: dict[str, object] = {"attempt": number, "target": target.name, "error": type(error).__name__}
        if isinstance(error, ProviderError) and error.status is not None:
            facts["status"] = error.status
        self._request.record.note("retry", **facts)
        self.failure, self._failed = error, target
        action = self._failover.action(error)
        if action in {"retry", "stay"}:
            wait = error.retry_after if isinstance(error, ProviderError) else None
            if wait is not None:
                self._not_before[target.name] = self._request.runtime.now() + wait
            return action
        self.leave_out(target)
        for other in list(self.remaining):
            if (action == "elsewhere" and other.adapter is target.adapter) or (
                action == "larger" and not holds_more(other, target, error)
            ):
                self.leave_out(other)
        return action

    def _no_retry_left(self, target: Target) -> None:
        self.leave_out(target)
        if self.failure is None:  # it was asked for an earlier part of this call
            self._failed = target
            self.failure = Unavailable(
                f"{target.name} has been failing, and its budget of retries is used up; nothing was sent; try again in "
                "a while, or list another model behind it",
                provider=target.provider,
                code="retry_budget",
            )

    def leave_out(self, target: Target) -> None:
        """Have a candidate asked no more in this call."""
        self.remaining[:] = [one for one in self.remaining if one is not target]

    def is_too_early(self, target: Target) -> bool:
        """Whether a candidate asked this call for time, which is not over."""
        return bool(self._not_before) and self._not_before.get(target.name, 0.0) > self._request.runtime.now()

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

    def shortest_wait(self, now: float, patience: float) -> float | None:
        """Give the seconds until one may be asked again; None where an open circuit takes longer than `patience`."""
        targets = self.remaining if self.stays is None else [self.stays]
        waits = [wait for target in targets if (wait := self.wait_for(target, now, patience)) is not None]
        return min(waits, default=None)

    def may_follow(self, others: list[Target]) -> bool:
        """Whether one of these would be asked at once if somebody else were not."""
        now = self._request.runtime.now()
        waits = [self.wait_for(target, now, 0.0) for target in others]
        return any(wait is not None and wait <= 0 for wait in waits)

    def skip(self, target: Target, admission: Admission) -> None:
        """Note why a candidate is not asked now, and leave out one whose budget of retries is used up."""
        if admission.until == float("inf"):
            self._no_retry_left(target)
            why = "retry_budget"
        else:
            why = "paused" if admission.asked_for else "circuit_open"
        self._request.record.note("retry", target=target.name, skipped=why)

    def refusal(self) -> ProviderError:
        """Give the error of a call for which nobody was asked: the first candidate's."""
        first = self._request.candidates[0]
        trouble = self._health.troubled.get(first.name)
        if trouble is None:  # it worked again, for another call, this very moment
            return Unavailable(f"{first.name} was left alone until now; try again", provider=first.provider)
        return trouble.refusal(self._request.runtime.now(), first.provider)

    def tell_of_next(self, attempt: Request) -> None:
        """Log what is asked next, and why: nothing of what was asked or said, and no words of a provider's."""
        failure = self.failure
        if failure is None:
            return
        why = type(failure).__name__
        if isinstance(failure, ProviderError) and failure.status is not None:
            why = f"{why}, HTTP {failure.status}"
        call, asked, before = (
            attempt.record.id,
            attempt.target and attempt.target.name,
            self._failed and self._failed.name,
        )
        if asked == before:
            _log.info("call %s: %s is asked again (%s)", call, asked, why)
            return
        remedy = str(failure) if isinstance(failure, LocalModelError) else _TO_BE_MENDED.get(kind_of(failure), "")
        level, hint = (logging.WARNING, f": {remedy}") if remedy else (logging.INFO, "")
        _log.log(level, "call %s: %s is asked after %s failed (%s)%s", call, asked, before, why, hint)


_TO_BE_MENDED = {
    "key_refused": "its key is refused; set the right one",
    "forbidden": "its key is refused; set the right one",
    "out_of_credit": "its account has no credit left; top it up",
    "not_found": "it does not know the model; correct the name in models=",
}
"""What somebody has to do about a failure that others make up for: else nobody would notice."""


def says_nothing(error: BaseException, request: Request) -> bool:
    """Whether an error is a matter of this request alone: a turn that did not come, or a deadline that was soon."""
    if not isinstance(error, DeadlineExceeded):
        return isinstance(error, Overloaded) or is_withdrawn(error)
    attempts = reversed(request.record.attempts)  # the meter, further in, has put it there by now
    return next((one.seconds for one in attempts if one.number == request.attempt), 0.0) < _SLOW


def interrupted(provider: str, error: ProviderError) -> StreamInterrupted:
    """Give the error of a stream that broke after somebody was handed its beginning."""
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
