"""What the calls of a client know together of the models that fail: whom to leave alone, and how often to ask again.

Nothing is kept of a model that works, and nothing asked on the way of a call while all do. The first failure opens a
file on a model, which is forgotten again once it has worked for a while.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from inferkit.core.errors import ConfigurationError, ProviderError
from inferkit.resilience.breaker import BreakerRules
from inferkit.resilience.model_health import HealthNews, ModelHealth
from inferkit.resilience.retry_budget import RetryRules
from inferkit.resilience.trouble import ADMITTED, NO_MORE, Admission, Trouble, counts_against
from inferkit.runtime.forks import renew_after_fork

__all__ = ["Health", "Hears", "ModelHealth", "Queues"]

_BREAKER = BreakerRules()
_RETRIES = RetryRules()


class Hears(Protocol):
    """Somebody who wants to know at once."""

    def learned(self, name: str, news: HealthNews, /) -> None:
        """Take in what changed of a model. Does not wait."""


class Queues(Protocol):
    """Somebody with whom calls wait for their turn."""

    def left_alone(self, name: str, /) -> None:
        """Have those look that wait for a model whose circuit has opened. Does not wait."""


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
        self._hearing: weakref.WeakSet[Hears] = weakref.WeakSet()
        self._queues: weakref.WeakSet[Queues] = weakref.WeakSet()
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the locks in a forked child, where no call is in the middle of anything."""
        self._lock = threading.Lock()
        for trouble in self.troubled.values():
            trouble.renew()

    def tell(self, who: Hears) -> None:
        """Have somebody told from now on, as long as they live, of what this process finds out of models."""
        self._hearing.add(who)

    def call_away(self, whose: Queues) -> None:
        """Have somebody told from now on, as long as they live, of every circuit that opens, whoever finds it out."""
        if whose not in self._queues:
            with self._lock:
                self._queues.add(whose)

    def admit(self, name: str, now: float, *, again: bool) -> Admission:
        """Say whether a call may ask a model now, `again` if it has asked it before."""
        trouble = self.troubled.get(name)
        return ADMITTED if trouble is None else trouble.admit(now, again=again)

    def admit_beside(self, name: str, late: str, now: float) -> Admission:
        """Say whether a hedge may go to a model now, beside the request to one that is late.

        It takes a retry out of the budget of the late one, whose calls have paid it in.
        """
        trouble = self.troubled.get(name)
        admission = ADMITTED if trouble is None else trouble.admit_beside(now)
        if not admission.until and self.retries is not None and not self._trouble(late, now).take_retry(now):
            return NO_MORE
        return admission

    def give_back_retry(self, name: str) -> None:
        """Put a retry back into a model's budget that was taken out for a request which was not sent after all."""
        trouble = self.troubled.get(name)
        if trouble is not None:
            trouble.give_back_retry()

    def failed(self, name: str, error: BaseException, era: int, now: float) -> None:
        """Take in that a request failed."""
        trouble = self.troubled.get(name)
        if trouble is None:
            if not _says_something(error):
                return
            trouble = self._trouble(name, now)
        news = trouble.failed(error, era, now)
        self._spread(name, news)
        if news is not None and news.circuit:
            self._call_away(name)

    def told(self, name: str, news: HealthNews) -> None:
        """Take in what another process found out of a model: what it knows better stays."""
        trouble = self.troubled.get(name)
        if trouble is None:
            if news.opens_until is None and not news.paused_until:
                return
            trouble = self._trouble(name, news.now)
        if trouble.told(news):
            self._forget(name)
        if news.circuit and news.opens_until is not None:
            self._call_away(name)

    def given_up(self, name: str, era: int) -> None:
        """Take in that a request came to nothing that says anything of its model."""
        trouble = self.troubled.get(name)
        if trouble is not None:
            trouble.given_up(era)

    def worked(self, name: str, era: int, now: float) -> None:
        """Take in that a reply began."""
        trouble = self.troubled.get(name)
        better = None if trouble is None else trouble.worked(era, now)
        if better is None:
            return
        closed, calm = better
        if closed:
            self._spread(name, HealthNews(now, circuit=True))
        if calm:
            self._forget(name)

    def of(self, name: str, now: float) -> ModelHealth:
        """Say how one model stands."""
        trouble = self.troubled.get(name)
        return ModelHealth(name) if trouble is None else trouble.report(now)

    def _trouble(self, name: str, now: float) -> Trouble:
        with self._lock:
            trouble = self.troubled.get(name)
            if trouble is None:
                trouble = self.troubled[name] = Trouble(name, self.breaker, self.retries, now)
            return trouble

    def _forget(self, name: str) -> None:
        with self._lock:
            self.troubled.pop(name, None)

    def _call_away(self, name: str) -> None:
        with self._lock:
            queues = list(self._queues)
        for each in queues:
            each.left_alone(name)

    def _spread(self, name: str, news: HealthNews | None) -> None:
        if news is not None:
            for who in list(self._hearing):
                who.learned(name, news)


def _says_something(error: BaseException) -> bool:
    return counts_against(error) or (isinstance(error, ProviderError) and error.retryable)
