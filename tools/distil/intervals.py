"""How sure a measured share is.

Edwin B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22 (1927).
"""

from dataclasses import dataclass
from math import sqrt

Z = 1.959964
"""The 97.5 % point of the normal distribution: intervals hold the true share in 95 of 100 cases."""


@dataclass(frozen=True, slots=True)
class Share:
    """A number of successes among a number of trials, as a share between 0 and 1 with its 95 % interval."""

    right: int
    total: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.right / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval; of no trials it is all there is."""
        if not self.total:
            return 0.0, 1.0
        weight = Z * Z / self.total
        middle = (self.value + weight / 2) / (1 + weight)
        half = Z * sqrt(self.value * (1 - self.value) / self.total + weight / (4 * self.total)) / (1 + weight)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
