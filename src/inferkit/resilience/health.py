"""What the calls of a client know together of the models that fail: whom to leave alone, and how often to ask again.

Nothing is kept of a model that works, and nothing asked on the way of a call while all do. The first failure opens a
file on a model, which is forgotten again once it has worked for a while.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferkit.core.errors import (
    CircuitOpen,
    ConfigurationError,
    ProviderError,
    RateLimited,
    StreamInterrupted,
    Unavailable,
)
from inferkit.resilience.breaker import Breaker, BreakerRules
from inferkit.resilience.retry_budget import RetryBudget, RetryRules
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.resilience.breaker import BreakerState

__all__ = ["Admission", "Health", "ModelHealth", "Trouble"]

_log = logging.getLogger("inferkit")
_NEVER = float("inf")
_BREAKER = BreakerRules()
_RETRIES = RetryRules()


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """How one model stands, as of when it was asked: `name` is its `provider:model`.

    `seconds_left` is how long it is left alone for yet, because its `circuit` is open or because it asked for time
    (`paused`); `retries_left` how often it may be asked again before others have asked it for the first time, None
    while nothing limits that. `failures` counts those since it last worked.

    Of its limits, those that the application states and the provider's own: how many calls are `waiting` for their
    turn and how many are `running`, counted where `concurrent` limits them, which is how many may at present; `left`
    is what the provider has left, by "requests", "tokens", "input_tokens" and "output_tokens", as far as it tells.
    """

    name: str
    circuit: BreakerState = "closed"
    paused: bool = False
    seconds_left: float = 0.0
    retries_left: int | None = None
    failures: int = 0
    last_error: str | None = None
    waiting: int = 0
    running: int = 0
    concurrent: float | None = None
    left: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_asked(self) -> bool:
        """Whether a call would be sent to it now."""
        return not self.paused and self.circuit != "open"


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may ask a model now: not before `until`, an instant (0.0: now; infinity: no more in this call).

    `asked_for` says that the wait is the provider's own wish, and worth keeping. `era` is to be told with the outcome.
    """

    until: float
    era: int = 0
    asked_for: bool = False


_ADMITTED = Admission(0.0)


class Health:
    """What is known of failing models. A client makes its own; one passed to several clients has them know together.

    `breaker` says when a model's circuit opens, `retries` how often models are asked again; None switches either off.
    Clients that share one must mean the same by the same names.
    """

    def __init__(
        self,
        *,
        breaker: BreakerRules | None = _BREAKER,
        retries: RetryRules | None = _RETRIES,
    ) -> None:
        if not isinstance(breaker, BreakerRules | None) or not isinstance(retries, RetryRules | None):
            raise ConfigurationError(
                "breaker is a BreakerRules or None, retries a RetryRules or None: "
                "Health(breaker=BreakerRules(failures=10), retries=None)"
            )
        self.breaker = breaker
        self.retries = retries
        self.troubled: dict[str, Trouble] = {}
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the locks in a forked child, where no call is in the middle of anything."""
        self._lock = threading.Lock()
        for trouble in self.troubled.values():
            trouble.renew()

    def failed(self, name: str, error: BaseException, era: int, now: float) -> None:
        """Take in that a request failed."""
        trouble = self.troubled.get(name)
        if trouble is None:
            if not _says_something(error):
                return
            with self._lock:
                trouble = self.troubled.get(name)
                if trouble is None:
                    trouble = self.troubled[name] = Trouble(name, self, now)
        trouble.failed(error, era, now)

    def given_up(self, name: str, era: int) -> None:
        """Take in that a request came to nothing that says anything of its model."""
        trouble = self.troubled.get(name)
        if trouble is not None:
            trouble.given_up(era)

    def worked(self, name: str, era: int, now: float) -> None:
        """Take in that a reply began."""
        trouble = self.troubled.get(name)
        if trouble is not None and trouble.worked(era, now):
            with self._lock:
                self.troubled.pop(name, None)

    def of(self, name: str, now: float) -> ModelHealth:
        """Say how one model stands."""
        trouble = self.troubled.get(name)
        return ModelHealth(name) if trouble is None else trouble.report(now)


class Trouble:
    """What is known of one model that fails, or lately did."""

    def __init__(self, name: str, health: Health, now: float) -> None:
        self._name = name
        self._breaker = None if health.breaker is None else Breaker(health.breaker)
        self._retries = None if health.retries is None else RetryBudget(health.retries, now)
        self._longest = (health.breaker or _BREAKER).longest_cooldown
        self._paused_until = 0.0
        self._failures = 0
        self._last_error: str | None = None
        self.renew()

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def admit(self, now: float, *, again: bool) -> Admission:
        """Say whether a call may ask now; `again` if it has asked before."""
        with self._lock:
            if self._paused_until > now:
                return Admission(self._paused_until, asked_for=True)
            breaker = self._breaker
            until = None if breaker is None else breaker.refused_until(now)
            if until is not None:
                return Admission(until)
            if self._retries is not None:
                if not again:
                    self._retries.pay_in()
                elif not self._retries.take(now):
                    return Admission(_NEVER)
            era = 0 if breaker is None else breaker.begin(now)
            return Admission(0.0, era) if era else _ADMITTED

    def refused_until(self, now: float) -> Admission:
        """Say the same without asking."""
        with self._lock:
            if self._paused_until > now:
                return Admission(self._paused_until, asked_for=True)
            until = None if self._breaker is None else self._breaker.refused_until(now)
            return _ADMITTED if until is None else Admission(until)

    def failed(self, error: BaseException, era: int, now: float) -> None:
        """Take in that a request failed."""
        opened = False
        with self._lock:
            if isinstance(error, ProviderError) and error.retryable and error.retry_after is not None:
                pause = min(error.retry_after, self._longest)
                self._paused_until = max(self._paused_until, now + pause)
            if _counts(error):
                self._failures += 1
                self._last_error = type(error).__name__
                if self._breaker is not None:
                    opened = self._breaker.failed(era, now)
            elif self._breaker is not None:
                self._breaker.given_up(era)
            until = None if self._breaker is None else self._breaker.opens_until
        if opened and until is not None:
            _log.warning(
                "%s fails (%s) and is left alone for %.3g s; then one call asks it",
                self._name, self._last_error, until - now,
            )  # fmt: skip

    def given_up(self, era: int) -> None:
        """Take in that a request came to nothing that says anything."""
        with self._lock:
            if self._breaker is not None:
                self._breaker.given_up(era)

    def worked(self, era: int, now: float) -> bool:
        """Take in that a reply began. True where nothing more needs to be known."""
        with self._lock:
            self._failures = 0
            closed = self._breaker is not None and self._breaker.worked(era, now)
            calm = self._paused_until <= now and (self._breaker is None or self._breaker.is_calm(now))
            calm = calm and (self._retries is None or self._retries.is_full(now))
        if closed:
            _log.info("%s answers again", self._name)
        return calm

    def refusal(self, now: float, provider: str) -> ProviderError:
        """Give the error of a call that has nobody else to ask."""
        report = self.report(now)
        wait = report.seconds_left
        error: ProviderError
        if report.circuit == "closed":  # it is paused, or was until this very moment
            error = RateLimited(
                f"{self._name} asked to be left alone for {wait:.3g} s more, and nothing was sent; try again then, or "
                "list another model behind it",
                provider=provider,
                code="paused",
                retry_after=wait,
            )
        else:
            error = CircuitOpen(
                f"{self._name} has been failing ({self._last_error}) and is left alone for {wait:.3g} s more; nothing "
                "was sent; try again then, or list another model behind it",
                provider=provider,
                code="circuit_open",
                retry_after=wait,
            )
        return error

    def report(self, now: float) -> ModelHealth:
        """Say how the model stands."""
        with self._lock:
            breaker, retries = self._breaker, self._retries
            opens = 0.0 if breaker is None else breaker.refused_until(now) or 0.0
            if retries is not None:
                retries.fill(now)
            return ModelHealth(
                self._name,
                circuit="closed" if breaker is None else breaker.state(now),
                paused=self._paused_until > now,
                seconds_left=max(0.0, self._paused_until - now, opens - now),
                retries_left=None if retries is None else int(retries.left),
                failures=self._failures,
                last_error=self._last_error,
            )


def _counts(error: BaseException) -> bool:
    """Whether an error is a failure of the model's, and not of the request, its key, its caller or its pace."""
    return isinstance(error, Unavailable | StreamInterrupted | TimeoutError)


def _says_something(error: BaseException) -> bool:
    return _counts(error) or (isinstance(error, ProviderError) and error.retryable)
