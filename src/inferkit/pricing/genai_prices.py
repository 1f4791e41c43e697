"""Prices from the bundled list of `genai-prices`, turned into integer rates once a model.

Its own calculation takes a tenth of a millisecond a call; the rates, tiers and dates behind it are read here instead.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

from inferkit.core.money import NANOS_PER_USD
from inferkit.pricing.prices import Price
from inferkit.pricing.rates import Rates, Schedule, Tariff
from inferkit.runtime import imports

__all__ = ["listed_price"]

_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")


def listed_price(provider: str, model: str) -> Price | None:
    """Give a model's price from the list; None where it is not listed, or listed without a price a token."""
    with imports.lock:
        from genai_prices.data_snapshot import get_snapshot
        from genai_prices.types import ModelPrice

        snapshot = get_snapshot()  # which imports the list itself
    try:
        found_provider, found = snapshot.find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = found.prices
    conditions: list[tuple[Any, Any]] = (
        [(None, prices)] if isinstance(prices, ModelPrice) else [(each.constraint, each.prices) for each in prices]
    )
    free = model.endswith(":free")
    tariffs = [_tariff(constraint, listed, free=free) for constraint, listed in conditions]
    known = tuple(tariff for tariff in tariffs if tariff is not None)
    if not known or len(known) < len(tariffs):
        return None
    return Price.scheduled(Schedule(known), source=f"genai-prices:{found_provider.id}/{found.id}")


def _tariff(constraint: Any, listed: Any, *, free: bool) -> Tariff | None:
    """Read one entry of the list. None where it does not price input and output tokens: unknown is not zero."""
    values = {kind: value for kind, value in vars(listed).items() if value is not None}
    if not values and free:
        values = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
    if "input_mtok" not in values or "output_mtok" not in values:
        return None
    starts = {0} | {tier.start for value in values.values() for tier in getattr(value, "tiers", ())}
    tiers = tuple((-1 if start == 0 else start, _rates(values, start)) for start in sorted(starts))
    return Tariff(None if constraint is None else constraint.active, tiers)


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
