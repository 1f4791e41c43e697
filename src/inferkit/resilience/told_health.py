"""What processes tell each other of models that fail: whose circuit opened, until when, and who asked for time."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from inferkit.resilience.model_health import HealthNews
from inferkit.resilience.sharing import SECONDS, News
from inferkit.resilience.written_facts import number
from inferkit.runtime import clock
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inferkit.core.request import Target
    from inferkit.resilience.health import Health

__all__ = ["ToldHealth"]

_WORTH_SECONDS = 300.0
_STEP_SECONDS = 5.0  # by which a clock was set back
_MOST_MODELS = 1024
_MOST_TRIPS = 60


class ToldHealth:
    """See `Subject`. Of what several tell of a circuit, the latest change counts.

    Whoever found out itself that a model fails asks it first when the cooldown is over. The others wait for what comes
    of that, for a second or two at most; so there is one probe where all of them would send theirs.
    """

    kind = "health"

    def __init__(self, health: Health, hurry: Callable[[], object]) -> None:
        self._health = health
        self._hurry = hurry
        self._facts: dict[str, dict[str, Any]] = {}
        self._untold: set[str] = set()
        self._changed: dict[str, float] = {}  # when a circuit last changed, whoever found out
        self.renew()
        renew_after_fork(self)
        health.tell(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def learned(self, name: str, news: HealthNews, /) -> None:
        """Take in what this process found out of a model."""
        at = clock.time()
        with self._lock:
            facts = self._facts.setdefault(name, {})
            if news.circuit:
                opens = None if news.opens_until is None else at + news.opens_until - news.now
                facts.update(changed=at, opens=opens, trips=news.trips, error=news.error)
                self._changed[name] = at
            if news.paused_until:
                facts["pause"] = at + news.paused_until - news.now
            self._untold.add(name)
            _bound(self._facts)
            _bound(self._changed)
        self._hurry()

    def news(self) -> Iterable[News]:
        """See `Subject`."""
        until = clock.time() + _WORTH_SECONDS
        with self._lock:
            untold, self._untold = self._untold, set()
            return [News(name, dict(self._facts[name]), until) for name in untold if name in self._facts]

    def hear(self, target: Target, _: str, facts: Mapping[str, Any], /) -> None:
        """See `Subject`."""
        now, at = clock.now(), clock.time()
        changed, opens, pause = number(facts, "changed"), number(facts, "opens"), number(facts, "pause")
        trips, error = number(facts, "trips") or 0.0, facts.get("error")
        if opens is not None:
            opens += SECONDS * (1 + random.random())  # noqa: S311 - to be different, not to be secret
        is_news = changed is not None and (opens is None or opens > at) and self._is_newer(target.name, changed, at)
        self._health.told(
            target.name,
            HealthNews(
                now,
                circuit=is_news,
                opens_until=now + opens - at if opens is not None and is_news else None,
                trips=min(int(trips), _MOST_TRIPS),
                error=error if isinstance(error, str) and error.isidentifier() else None,
                paused_until=now + pause - at if pause is not None and pause > at else 0.0,
            ),
        )

    def _is_newer(self, name: str, changed: float, at: float) -> bool:
        """Say whether a change is later than what is known, which counts for nothing after a clock was set back."""
        with self._lock:
            known = self._changed.get(name, 0.0)
            if changed <= known <= at + _STEP_SECONDS:
                return False
            self._changed[name] = changed
            _bound(self._changed)
        return True

    def part_from(self, _: str, /) -> None:
        """See `Subject`. What both know of models that fail stays true."""


def _bound(known: dict[str, Any]) -> None:
    while len(known) > _MOST_MODELS:
        del known[next(iter(known))]
