"""What is known of one model that fails, or lately did: its breaker, its retries, and the time that it asked for."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import CircuitOpen, ProviderError, RateLimited, StreamInterrupted, Unavailable
from inferkit.resilience.breaker import FORGOTTEN, Breaker, BreakerRules
from inferkit.resilience.model_health import HealthNews, ModelHealth
from inferkit.resilience.retry_budget import RetryBudget

if TYPE_CHECKING:
    from inferkit.resilience.retry_budget import RetryRules

__all__ = ["ADMITTED", "NO_MORE", "Admission", "Trouble", "counts_against"]

_log = logging.getLogger("inferkit")
_BREAKER = BreakerRules()


class Admission(NamedTuple):
    """Whether a call may ask a model now: not before `until`, an instant (0.0: now; infinity: no more in this call).

    `asked_for` says that the wait is the provider's own wish, and worth keeping. `era` is to be told with the outcome.
    `is_retry` says that a retry was taken out of the model's budget for it.
    """

    until: float
    era: int = 0
    asked_for: bool = False
    is_retry: bool = False


ADMITTED = Admission(0.0)
NO_MORE = Admission(float("inf"))


class Trouble:
    """What is known of one model that fails, or lately did.

    `at_once` is what `admit` would tell a call that has not asked before, while nothing speaks against it and telling
    it changes nothing; None where one has to ask. So most calls need not, and take no lock.
    """

    def __init__(self, name: str, breaker: BreakerRules | None, retries: RetryRules | None, now: float) -> None:
        self._name = name
        self._breaker = None if breaker is None else Breaker(breaker)
        self._retries = None if retries is None else RetryBudget(retries, now)
        self._longest = (breaker or _BREAKER).longest_cooldown
        self._admitted = ADMITTED
        self.at_once: Admission | None = None  # nothing may change while it is not None
        self._paused_until = 0.0
        self._failures = 0
        self._last_error: str | None = None
        self._told: set[str] = set()
        self.renew()

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def admit(self, now: float, *, again: bool) -> Admission:
        """Say whether a call may ask now; `again` if it has asked before."""
        breaker, retries = self._breaker, self._retries
        with self._lock:
            self.at_once = None
            if self._paused_until > now:
                return Admission(self._paused_until, asked_for=True)
            opened = None if breaker is None or breaker.opens_until is None else breaker  # few are
            if opened is not None and (until := opened.refused_until(now)) is not None:
                return Admission(until)
            if retries is not None:
                if not again:
                    retries.pay_in()
                elif not retries.take(now):
                    return NO_MORE
            if breaker is not None:
                era = breaker.era if opened is None else opened.begin(now)
                if era != self._admitted.era:
                    self._admitted = Admission(0.0, era)
            if opened is None and (retries is None or retries.is_saved_up):
                self.at_once = self._admitted
            return self._admitted._replace(is_retry=True) if again and retries is not None else self._admitted

    def admit_beside(self, now: float) -> Admission:
        """Say whether a hedge may go to it now: only while nothing speaks against it, for a hedge is no probe."""
        admission = self.refused_until(now)
        breaker = self._breaker
        if admission.until or breaker is None:
            return admission
        return NO_MORE if breaker.opens_until is not None else Admission(0.0, breaker.era)

    def opened_since(self, era: int, now: float, provider: str) -> CircuitOpen | None:
        """Give the error of a call that was let in, and is not sent yet, where the circuit opened meanwhile."""
        with self._lock:
            breaker = self._breaker
            if breaker is None or breaker.opens_until is None or breaker.era == era:  # or else it is the probe
                return None
            until = breaker.refused_until(now) or now
        return self._open(until - now, provider)

    def take_retry(self, now: float) -> bool:
        """Take one out of its budget of retries, for a hedge of a call that asked it; False where none is left."""
        with self._lock:
            self.at_once = None
            return self._retries is None or self._retries.take(now)

    def give_back_retry(self) -> None:
        """Put a retry back that was taken out for a request which was not sent after all."""
        with self._lock:
            if self._retries is not None:
                self._retries.give_back()

    def refused_until(self, now: float) -> Admission:
        """Say the same without asking."""
        with self._lock:
            if self._paused_until > now:
                return Admission(self._paused_until, asked_for=True)
            until = None if self._breaker is None else self._breaker.refused_until(now)
            return ADMITTED if until is None else Admission(until)

    def failed(self, error: BaseException, era: int, now: float) -> HealthNews | None:
        """Take in that a request failed, and say what changed by that."""
        opened = paused = False
        trips = 0
        with self._lock:
            self.at_once = None
            if isinstance(error, ProviderError) and error.retryable and error.retry_after is not None:
                until = now + min(error.retry_after, self._longest)
                paused = until > self._paused_until
                if paused:
                    self._paused_until = until
                    self._told.discard("pause")
            if counts_against(error):
                self._failures += 1
                self._last_error = type(error).__name__
                if self._breaker is not None:
                    opened = self._breaker.failed(era, now)
            elif self._breaker is not None:
                self._breaker.given_up(era)
            opens = None if self._breaker is None else self._breaker.opens_until
            if opened and self._breaker is not None:
                trips = self._breaker.trips
                self._told.discard("circuit")
        if opened and opens is not None:
            _log.warning(
                "%s fails (%s) and is left alone for %.3g s; then one call asks it",
                self._name, self._last_error, opens - now,
            )  # fmt: skip
        if not opened and not paused:
            return None
        pause_until = self._paused_until if paused else 0.0
        return HealthNews(now, opened, opens if opened else None, trips, self._last_error, pause_until)

    def told(self, news: HealthNews) -> bool:
        """Take in what another process found out. True where nothing more needs to be known."""
        now, longest = news.now, news.now + self._longest
        opened = closed = False
        with self._lock:
            self.at_once = None
            if self._paused_until < news.paused_until:
                self._paused_until = min(news.paused_until, longest)
                self._told.add("pause")
            breaker = self._breaker
            if breaker is not None and news.circuit:
                was_closed = breaker.opens_until is None
                if news.opens_until is not None:
                    breaker.open_with(min(news.opens_until, longest), news.trips)
                    self._last_error = news.error or self._last_error
                    self._told.add("circuit")
                    opened = was_closed
                elif not was_closed:
                    breaker.close()
                    self._failures = 0
                    self._told.discard("circuit")
                    closed = True
            calm = self._is_calm(now)
        if opened:
            _log.warning("%s fails (%s) elsewhere, and is left alone here, too", self._name, self._last_error)
        elif closed:
            _log.info("%s answers again", self._name)
        return calm

    def given_up(self, era: int) -> None:
        """Take in that a request came to nothing that says anything."""
        with self._lock:
            if self._breaker is not None:
                self._breaker.given_up(era)

    def worked(self, era: int, now: float) -> tuple[bool, bool] | None:
        """Take in that a reply began.

        Say whether that closed the circuit, and whether all of this can be forgotten; None where neither is so, as
        nearly always.
        """
        breaker, closed = self._breaker, False
        with self._lock:
            self._failures = 0
            if breaker is not None:
                if breaker.worked(era, now):
                    closed = True
                    self._told.discard("circuit")
                elif breaker.failed_of_late >= FORGOTTEN:
                    return None
            calm = self._is_calm(now)
        if closed:
            _log.info("%s answers again", self._name)
        return closed, calm

    def _is_calm(self, now: float) -> bool:
        calm = self._paused_until <= now and (self._breaker is None or self._breaker.is_calm(now))
        return calm and (self._retries is None or self._retries.is_full(now))

    def refusal(self, now: float, provider: str) -> ProviderError:
        """Give the error of a call that has nobody else to ask."""
        report = self.report(now)
        wait = report.seconds_left
        if report.circuit != "closed":
            return self._open(wait, provider)
        return RateLimited(  # it is paused, or was until this very moment
            f"{self._name} asked to be left alone for {wait:.3g} s more, and nothing was sent; try again then, or "
            "list another model behind it",
            provider=provider,
            code="paused",
            retry_after=wait,
        )

    def _open(self, wait: float, provider: str) -> CircuitOpen:
        return CircuitOpen(
            f"{self._name} has been failing ({self._last_error}) and is left alone for {wait:.3g} s more; nothing "
            "was sent; try again then, or list another model behind it",
            provider=provider,
            code="circuit_open",
            retry_after=wait,
        )

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
                told=self._still_told(now),
            )

    def _still_told(self, now: float) -> tuple[str, ...]:
        if self._paused_until <= now:
            self._told.discard("pause")
        return tuple(sorted(self._told))


def counts_against(error: BaseException) -> bool:
    """Say whether an error is a failure of the model's, and not of the request, its key, its caller or its pace."""
    return isinstance(error, Unavailable | StreamInterrupted | TimeoutError)
