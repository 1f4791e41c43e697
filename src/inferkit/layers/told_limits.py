"""What processes tell each other of the limits that providers tell of: how much is left, and when it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.resilience.buckets import QuotaLeft
from inferkit.resilience.quotas import QuotaNames
from inferkit.resilience.sharing import News
from inferkit.resilience.written_facts import as_number
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inferkit.core.request import Target
    from inferkit.layers.limit import LimitLayer

__all__ = ["ToldLimits"]

_WORTH_SECONDS = 60.0
_UNITS = ("requests", "tokens", "input_tokens", "output_tokens")
_MOST = 16


class ToldLimits:
    """See `Subject`. Of what is left, whoever heard it last from the provider knows best."""

    kind = "limits"

    def __init__(self, layer: LimitLayer) -> None:
        self._layer = layer
        self._told: dict[str, float] = {}  # when what was told was observed

    def news(self) -> Iterable[News]:
        """See `Subject`."""
        ahead = clock.time() - clock.now()
        found = []
        tells = self._layer.tells()
        self._told = {name: self._told.get(name, 0.0) for name, _ in tells}
        for name, told in tells:
            latest = max(left.observed_at for _, left in told)
            if latest <= self._told[name]:
                continue
            self._told[name] = latest
            rows = [_written(names, left, ahead) for names, left in told]
            until = max(left.full_at for _, left in told) + ahead
            found.append(News(name, {"quotas": rows}, max(until, clock.time()) + _WORTH_SECONDS))
        return found

    def hear(self, target: Target, _: str, facts: Mapping[str, Any], /) -> None:
        """See `Subject`."""
        ahead = clock.time() - clock.now()
        self._layer.hear(target, [_read(row, ahead) for row in facts["quotas"][:_MOST]])

    def part_from(self, _: str, /) -> None:
        """See `Subject`. A forked child has doors of its own, of which nothing is known."""
        self._told = {}


def _written(names: QuotaNames, left: QuotaLeft, ahead: float) -> list[Any]:
    instants = (left.observed_at + ahead, left.at + ahead, left.full_at + ahead)
    amounts = (left.level, left.most, left.per_second)
    return [names.unit, names.period, names.remaining, names.limit, names.reset, *instants, *amounts, left.all_at_once]


def _read(row: Any, ahead: float) -> tuple[QuotaNames, QuotaLeft]:
    """Read one limit. Raises `ValueError` for what makes no sense."""
    unit, period, *headers, observed, at, full, level, most, per_second, at_once = row
    if unit not in _UNITS or not all(each is None or isinstance(each, str) for each in headers) or not headers[0]:
        raise ValueError("no limit of a provider's")
    now = clock.now()
    names = QuotaNames(unit, as_number(period), *headers)
    instants = (min(now, as_number(observed) - ahead), min(now, as_number(at) - ahead))
    amounts = (as_number(level), max(1.0, as_number(most)), max(0.0, as_number(per_second)))
    return names, QuotaLeft(*instants, *amounts, as_number(full) - ahead, bool(at_once))
