"""What processes tell each other of what they measured: how soon models answer, how fast, and how often they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.resilience.sharing import News
from inferkit.resilience.written_facts import as_number
from inferkit.routing.measured import Measured, MeasuredSums
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inferkit.core.request import Target
    from inferkit.routing.combining import Routes

__all__ = ["ToldSpeed", "is_told"]

_HALVINGS = 6.0
_LONGEST_WORTH = 86400.0
_AMOUNTS = 8


class ToldSpeed:
    """See `Subject`. Each tells what it measured itself, and what all have measured is added up.

    Measures are told apart by the name that callers use, since replies to other questions have other lengths, and by
    how long they are remembered.
    """

    kind = "speed"

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._told: dict[tuple[str, str], MeasuredSums] = {}  # by measure and model

    def news(self) -> Iterable[News]:
        """See `Subject`."""
        ahead = clock.time() - clock.now()
        facts: dict[str, dict[str, list[float]]] = {}
        worth: dict[str, float] = {}
        told: dict[tuple[str, str], MeasuredSums] = {}
        changed: set[str] = set()
        for measure, several in _measures(self._routes).items():
            for name, sums in several[0].own().items():
                facts.setdefault(name, {})[measure] = [sums.at + ahead, *sums.amounts]
                worth[name] = max(worth.get(name, 0.0), several[0].memory)
                told[measure, name] = sums
                if sums != self._told.get((measure, name)):
                    changed.add(name)
        self._told = told
        at = clock.time()
        return [News(name, facts[name], at + min(_LONGEST_WORTH, _HALVINGS * worth[name])) for name in changed]

    def hear(self, target: Target, teller: str, facts: Mapping[str, Any], /) -> None:
        """See `Subject`."""
        ahead, now = clock.time() - clock.now(), clock.now()
        measures = _measures(self._routes)
        for measure, (at, *amounts) in facts.items():
            if len(amounts) != _AMOUNTS:
                raise ValueError("other measures than these")
            sums = MeasuredSums(min(now, as_number(at) - ahead), tuple(max(0.0, as_number(each)) for each in amounts))
            for measured in measures.get(measure, ()):
                measured.hear(target.name, teller, sums)

    def part_from(self, teller: str, /) -> None:
        """See `Subject`."""
        self._told = {}
        for several in _measures(self._routes).values():
            for measured in several:
                measured.part_from(teller)


def is_told(routes: Routes, name: str) -> bool:
    """Whether what others measured of a model counts here."""
    return any(measured.is_told(name) for several in _measures(routes).values() for measured in several)


def _measures(routes: Routes) -> dict[str, list[Measured]]:
    """Find the measures of all policies. Those of one name that remember for as long have measured the same."""
    found: dict[str, list[Measured]] = {}
    for name, policy in routes.policies:
        for measured in _measured_by(policy):
            found.setdefault(f"{name} {measured.memory:g}", []).append(measured)
    return found


def _measured_by(policy: Any) -> Iterator[Measured]:
    measured = getattr(policy, "measured", None)
    if isinstance(measured, Measured):
        yield measured
    for each in getattr(policy, "policies", ()):
        yield from _measured_by(each)
