"""The gate: whether a student is good enough to be used, on messages that it never saw."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from .dataset import Answer, Example
from .intervals import Share

ALL = "all"
"""The name under which answers are counted whose every field is right."""
VALID = "valid"
"""The name under which answers are counted that are JSON with the right fields."""


@dataclass(slots=True)
class Scores:
    """Right answers by field, over one set of messages."""

    total: int = 0
    right: dict[str, int] = field(default_factory=dict)

    def add(self, one: Example, text: str) -> Answer | None:
        """Counts one answer; gives it if it is one of the right form."""
        self.total += 1
        found = _read(text, one.answer)
        for name in (VALID, *one.answer, ALL):
            self.right.setdefault(name, 0)
        if found is None:
            return None
        self.right[VALID] += 1
        same = {name: found[name] == value for name, value in one.answer.items()}
        for name, fits in (same | {ALL: all(same.values())}).items():
            self.right[name] += fits
        return found

    def share(self, name: str) -> Share:
        """The share of right answers in a field."""
        return Share(self.right.get(name, 0), self.total)

    def lines(self) -> Iterable[str]:
        """The shares, a line each."""
        return (f"{name:<16} {self.share(name)}" for name in self.right)


def _read(text: str, wanted: Answer) -> Answer | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and list(found) == list(wanted) else None


@dataclass(frozen=True, slots=True)
class Gate:
    """What a student must reach: the whole interval of its accuracy in `field` lies at or above `at_least`.

    `lost` is how much of the share quantising may take away.
    """

    field: str
    at_least: float
    lost: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.at_least <= 1 or not 0 <= self.lost <= 1:
            msg = "accuracies are shares, between 0 and 1"
            raise ValueError(msg)

    def refusal(self, before: Scores, after: Scores) -> str | None:
        """Why a student is refused, by its scores before and after quantising; None where it may pass."""
        exact, kept = before.share(self.field), after.share(self.field)
        if kept.interval[0] < self.at_least:
            return (
                f"{self.field}: {kept} of {kept.total} held-out messages; the interval must begin at "
                f"{100 * self.at_least:.1f} %. More examples help, and more of the kinds that it gets wrong; more "
                "held-out ones make the interval narrower"
            )
        if exact.right - kept.right > round(self.lost * kept.total, 6):
            return f"{self.field}: quantising took it from {exact} to {kept}; write it with --to f16"
        return None
