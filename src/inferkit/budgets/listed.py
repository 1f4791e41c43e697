"""Prices from the bundled list of `genai-prices`, turned into integer rates once a model.

Its own calculation takes a tenth of a millisecond a call; the rates, tiers and dates behind it are read here instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from inferkit.budgets.money import NANOS_PER_USD
from inferkit.budgets.prices import Price, Rates

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ListedPrice", "listed_price"]

_A_CALL = timedelta(hours=1)  # a price may change between the reservation and the bill
_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")


@dataclass(frozen=True)
class _Tariff:
    """Rates by size of the input, ascending: those of the last entry whose start the input exceeds apply to all."""

    applies: Callable[[datetime], bool] | None
    tiers: tuple[tuple[int, Rates], ...]

    def rates(self, input_tokens: int) -> Rates:
        for start, rates in reversed(self.tiers):
            if input_tokens > start:
                return rates
        return self.tiers[0][1]


class ListedPrice(Price):
    """A price from the list, with its tiers and dates."""

    _tariffs: tuple[_Tariff, ...]

    def _current(self, at: datetime | None = None) -> _Tariff:
        """Give the last tariff that applies, or else the first, as the list defines it."""
        tariffs = self._tariffs
        if len(tariffs) == 1:
            return tariffs[0]
        at = at or datetime.now(UTC)
        for tariff in reversed(tariffs):
            if tariff.applies is None or tariff.applies(at):
                return tariff
        return tariffs[0]

    def rates(self, input_tokens: int) -> Rates:
        """See `Price`."""
        return self._current().rates(input_tokens)

    def possible_rates(self, input_tokens: int) -> tuple[Rates, ...]:
        """See `Price`. Smaller tiers count too: a dearer rate may lie below the one that the bound falls into."""
        first = self._tariffs[0].tiers
        if len(self._tariffs) == len(first) == 1:  # as most are
            return (first[0][1],)
        tariffs = [self._current()]
        if len(self._tariffs) > 1:
            tariffs.append(self._current(datetime.now(UTC) + _A_CALL))
        return tuple(rates for tariff in tariffs for start, rates in tariff.tiers if input_tokens > start) or (
            tariffs[0].tiers[0][1],
        )


def listed_price(provider: str, model: str) -> ListedPrice | None:
    """Give a model's price from the list; None where it is not listed, or listed without a price a token."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import ModelPrice

    try:
        found_provider, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = found.prices
    conditions: list[tuple[Any, Any]] = (
        [(None, prices)] if isinstance(prices, ModelPrice) else [(each.constraint, each.prices) for each in prices]
    )
    free = model.endswith(":free")
    tariffs = [_tariff(constraint, listed, free=free) for constraint, listed in conditions]
    if not tariffs or None in tariffs:
        return None
    first = tariffs[0]
    assert first is not None
    plain = first.tiers[0][1]
    price = ListedPrice(
        *(Decimal(nanos) / NANOS_PER_USD for nanos in (plain.input, plain.output, plain.cache_read, plain.cache_write)),
        source=f"genai-prices:{found_provider.id}/{found.id}",
    )
    object.__setattr__(price, "_tariffs", tuple(tariffs))
    return price


def _tariff(constraint: Any, listed: Any, *, free: bool) -> _Tariff | None:
    """Read one entry of the list. None where it does not price input and output tokens: unknown is not zero."""
    values = {kind: value for kind, value in vars(listed).items() if value is not None}
    if not values and free:
        values = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
    if "input_mtok" not in values or "output_mtok" not in values:
        return None
    starts = {0} | {tier.start for value in values.values() for tier in getattr(value, "tiers", ())}
    tiers = tuple((-1 if start == 0 else start, _rates(values, start)) for start in sorted(starts))
    return _Tariff(None if constraint is None else constraint.active, tiers)


def _rates(values: dict[str, Any], start: int) -> Rates:
    """Give the rates for inputs just above `start` tokens."""

    def at(kind: str) -> int | None:
        value = values.get(kind)
        if value is None:
            return None
        price: Decimal = getattr(value, "base", value)
        for tier in getattr(value, "tiers", ()):
            if tier.start <= start and start > 0:
                price = tier.price
        return _nanos(price)

    plain, output, read, write, reasoning = (at(kind) for kind in _KINDS)
    assert plain is not None
    assert output is not None
    requests = values.get("requests_kcount")
    return Rates(
        input=plain,
        output=output,
        cache_read=plain if read is None else read,
        cache_write=plain if write is None else write,
        reasoning=output if reasoning is None else reasoning,
        request=0 if requests is None else _nanos(getattr(requests, "base", requests) / 1000),
    )


def _nanos(price: Decimal) -> int:
    return int((price * NANOS_PER_USD).to_integral_value(rounding=ROUND_CEILING))
