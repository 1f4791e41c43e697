"""A budget of retries, so that they cannot multiply an outage: a share of what is asked first, and a few besides.

Every call that asks a model for the first time pays a share of a retry in; every retry takes one out. Callers that
all retry three times at once turn a provider's trouble into its collapse; under a budget they add a fifth to it. The
few besides are for those who seldom call.
"""

from __future__ import annotations

from dataclasses import dataclass

from inferkit.core.errors import ConfigurationError

__all__ = ["RetryBudget", "RetryRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """How many retries there may be: `ratio` of a retry for each call, and `floor` of them in any `seconds` besides."""

    ratio: float = 0.2
    floor: int = 10
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 10 or self.floor < 0 or self.seconds <= 0:  # noqa: PLR2004 - the message says it
            raise ConfigurationError(
                "a retry budget's ratio is from 0 to 10 retries a call, its floor 0 or more, and its seconds above 0"
            )

    @property
    def most(self) -> float:
        """How many can be saved up."""
        return self.floor + 100 * self.ratio


class RetryBudget:
    """One budget's state. Instants are seconds on one clock that never goes back."""

    __slots__ = ("_at", "_most", "_ratio", "_rules", "left")

    def __init__(self, rules: RetryRules, now: float) -> None:
        self._rules = rules
        self._ratio = rules.ratio
        self._most = rules.most
        self._at = now
        self.left = float(rules.floor)

    @property
    def is_saved_up(self) -> bool:
        """Whether paying in changes nothing."""
        return self.left >= self._most

    def pay_in(self) -> None:
        """Take in that a call asks for the first time."""
        if self.left < self._most:
            self.left = min(self._most, self.left + self._ratio)

    def take(self, now: float) -> bool:
        """Take a retry out, if one is left."""
        self.fill(now)
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def give_back(self) -> None:
        """Put one back that came to nothing."""
        self.left = min(self._most, self.left + 1)

    def fill(self, now: float) -> None:
        """Add what time has brought."""
        rules = self._rules
        if self.left < rules.floor:
            self.left = min(rules.floor, self.left + (now - self._at) * rules.floor / rules.seconds)
        self._at = now

    def is_full(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting all about it."""
        self.fill(now)
        return self.left >= self._rules.floor
