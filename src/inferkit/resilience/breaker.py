"""A circuit breaker: whoever keeps failing is left alone for a while, then asked by one call before all others.

Closed, everything goes through, and what fails is counted, old failures for less. Where enough of late was failure it
opens, and nothing goes through until its cooldown is over. Then it is half open: one call, the probe, goes through. If
that succeeds it closes; if it fails it opens again, for twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from inferkit.core.errors import ConfigurationError

__all__ = ["FORGOTTEN", "Breaker", "BreakerRules", "BreakerState"]

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
FORGOTTEN = 0.5  # failures, decayed: less than one that was half as long ago as anything is remembered

_GRAIN = 0.001  # of the memory: what worked so shortly after another outcome counts as if it had come with that


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, and for how long.

    It opens once at least `failures` of late failed, and they are at least the share `ratio` (0 to 1) of what was
    tried meanwhile. What is `memory` seconds old counts half. It stays open for `cooldown` seconds, twice as long each
    time that a probe fails, up to `longest_cooldown`.
    """

    failures: int = 5
    ratio: float = 0.5
    memory: float = 30.0
    cooldown: float = 1.0
    longest_cooldown: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.failures, int) or self.failures < 1:
            raise ConfigurationError(f"failures is 1 or more, a whole number; got {self.failures!r}")
        if not 0 <= self.ratio <= 1:
            raise ConfigurationError(f"ratio is from 0 to 1; got {self.ratio!r}")
        if self.memory <= 0 or self.cooldown <= 0 or self.longest_cooldown < self.cooldown:
            raise ConfigurationError(
                "memory and cooldown are in seconds, above 0, and longest_cooldown is at least as long as cooldown"
            )


class Breaker:
    """One breaker's state. Instants are seconds on one clock that never goes back.

    Each outcome is told with the `era` that the breaker was in when its request was sent: what was sent before it
    opened says nothing about how things are afterwards. A request that says nothing about its model, since it was
    cancelled or was wrong in itself, is told as `given_up`. `failed_of_late` counts failures, old ones for less.
    """

    __slots__ = (
        "_grain",
        "_probe_since",
        "_rules",
        "_since",
        "_worked",
        "era",
        "failed_of_late",
        "opens_until",
        "trips",
    )

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._grain = _GRAIN * rules.memory
        self.failed_of_late = 0.0
        self._worked = 0.0
        self._since = 0.0  # the instant as of which the two are counted
        self.trips = 0
        self._probe_since: float | None = None
        self.era = 0
        self.opens_until: float | None = None

    def state(self, now: float) -> BreakerState:
        """Say how it stands."""
        if self.opens_until is None:
            return "closed"
        return "open" if now < self.opens_until else "half_open"

    def refused_until(self, now: float) -> float | None:
        """Give the instant before which nothing goes through, or None where something would.

        While a probe is under way, that is an instant at which it is worth asking again.
        """
        if self.opens_until is None:
            return None
        if now < self.opens_until:
            return self.opens_until
        probe = self._probe_since
        if probe is None or now - probe > self._rules.longest_cooldown:  # nobody will ever say how that one went
            return None
        return now + self._rules.cooldown

    def begin(self, now: float) -> int:
        """Let a request through that is not refused, and give the era to tell its outcome with."""
        if self.opens_until is not None:
            if self._probe_since is not None:  # nobody told of that one, and whoever does so yet says nothing
                self._next_era()
            self._probe_since = now
        return self.era

    def worked(self, era: int, now: float) -> bool:
        """Take in that a reply began. True where that closes it."""
        if era != self.era:
            return False
        if self.opens_until is None:
            if now - self._since > self._grain:
                self._decay(now)
            self._worked += 1
            return False
        self.close()
        return True

    def close(self) -> None:
        """Let everything through again, as after a probe that worked."""
        self.failed_of_late = self._worked = 0.0
        self.trips = 0
        self.opens_until = None
        self._next_era()

    def open_with(self, until: float, trips: int) -> None:
        """Stay open as somebody else's does, which has opened so often in a row; never for less than by itself."""
        self.opens_until = until if self.opens_until is None else max(until, self.opens_until)
        self.trips = max(self.trips, trips)
        self._next_era()

    def failed(self, era: int, now: float) -> bool:
        """Take in that a request failed. True where that opens it."""
        if era != self.era:
            return False
        rules = self._rules
        if self.opens_until is None:
            self._decay(now)
            self.failed_of_late += 1
            failed = self.failed_of_late
            if failed < rules.failures - FORGOTTEN or failed < rules.ratio * (failed + self._worked):
                return False
        cooldown = min(rules.longest_cooldown, rules.cooldown * 2.0 ** min(self.trips, 60))
        self.trips += 1
        self.opens_until = now + cooldown
        self._next_era()
        return True

    def given_up(self, era: int) -> None:
        """Take in that a request came to nothing that says anything: the next one may be the probe."""
        if era == self.era:
            self._probe_since = None

    def is_calm(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting all about it."""
        if self.opens_until is not None:
            return False
        self._decay(now)
        return self.failed_of_late < FORGOTTEN

    def _decay(self, now: float) -> None:
        if now > self._since:
            left = 0.5 ** ((now - self._since) / self._rules.memory)
            self.failed_of_late *= left
            self._worked *= left
            self._since = now

    def _next_era(self) -> None:
        self._probe_since = None
        self.era += 1
