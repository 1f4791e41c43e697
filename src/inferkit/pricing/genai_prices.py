"""Prices from the bundled list of `genai-prices`, turned into integer rates once a model.

Its own calculation takes a tenth of a millisecond a call; the rates, tiers and dates behind it are read here instead.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from inferkit.core.money import NANOS_PER_USD
from inferkit.pricing.prices import Price
from inferkit.pricing.rates import NOT_APART, Apart, Rates, Schedule, Since, Tariff
from inferkit.pricing.terms import STANDARD
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["listed_price"]

_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
_APART = (
    "cache_write_1h_mtok", "cache_write_12h_mtok", "input_audio_mtok", "input_image_mtok", "cache_audio_read_mtok",
    "cache_image_read_mtok", "output_audio_mtok", "output_image_mtok",
)  # fmt: skip
_TOOLS = {"web_search": "web_searches_kcount", "file_search": "storage_searches_kcount"}
_DEARER_IN_REGIONS = re.compile(r"claude-(?!instant|[123](?![0-9])|4-[a-z]|[a-z]+-4(?:$|-[01](?![0-9])))")
_IN_REGIONS = Fraction(11, 10)
"""Of Anthropic's models on Google Cloud, which the list has at the price of the global endpoint, those from 4.5 on cost
a tenth more in a region: https://platform.claude.com/docs/en/about-claude/pricing"""
_WAYS = {"service_tier": "service_tiers", "speed": "speeds", "region": "regions"}


def listed_price(provider: str, model: str, *, writes: bool = True) -> Price | None:
    """Give a model's price from the list; None where it is not listed, or listed without a price a token.

    Of a model that is asked for nothing that it `writes`, the price of its input is enough.
    """
    with imports.lock:
        from genai_prices.data_snapshot import get_snapshot

        snapshot = get_snapshot()  # which imports the list itself
    try:
        found_provider, found = snapshot.find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    source = f"genai-prices:{found_provider.id}/{found.id}"
    schedule = _schedule(_conditions(found.prices), free=model.endswith(":free"), writes=writes)
    if schedule is None:
        return None
    ways: dict[str, dict[str, Price]] = {name: {} for name in _WAYS.values()}
    for name, word, conditions in _ways(found):
        other = _schedule(conditions, free=False, writes=writes)
        if other is not None:
            ways[name][word] = Price.scheduled(other, source=f"{source} ({word})")
    if found_provider.id == "google" and _DEARER_IN_REGIONS.search(found.id):
        dearer = schedule.times(_IN_REGIONS)
        ways["regions"]["regional"] = Price.scheduled(dearer, source=f"{source} (regional)")
    return Price.scheduled(schedule, source=source, context_window=found.context_window or None, **ways)


def _conditions(prices: Any) -> list[tuple[Any, Any]]:
    if isinstance(prices, list):
        return [(each.constraint, each.prices) for each in prices]
    return [(None, prices)]


def _ways(found: Any) -> Iterator[tuple[str, str, list[tuple[Any, Any]]]]:
    """Give the other ways to be served that are listed for a model: of which kind, their word, and their prices.

    A price that changes with the time of day is not combined with another way's.
    """
    contexts = [each.when for each in found.price_variants or () if len(each.when) == 1]
    for context in {tuple(each.items()): each for each in contexts}.values():
        ((kind, word),) = context.items()
        if kind not in _WAYS or word in STANDARD:
            continue
        constraints = [constraint for constraint, _ in _conditions(found.prices)]
        constraints += [each.constraint for each in found.price_variants if each.when == context]
        starts: set[Any] = {getattr(each, "start_date", None) for each in constraints if each is not None}
        if None in starts:
            continue
        days = [date.min, *sorted(starts)]
        instants = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
        yield (
            _WAYS[kind],
            word,
            [(None if at.date() == date.min else Since(at), found.get_prices(at, context)) for at in instants],
        )


def _schedule(conditions: list[tuple[Any, Any]], *, free: bool, writes: bool) -> Schedule | None:
    tariffs = [_tariff(constraint, listed, free=free, writes=writes) for constraint, listed in conditions]
    known = tuple(tariff for tariff in tariffs if tariff is not None)
    return Schedule(known) if known and len(known) == len(tariffs) else None


def _tariff(constraint: Any, listed: Any, *, free: bool, writes: bool) -> Tariff | None:
    """Read one entry of the list. None where it does not price input and output tokens: unknown is not zero."""
    values = {kind: value for kind, value in vars(listed).items() if value is not None}
    if not values and free:
        values = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
    if not writes:
        values.setdefault("output_mtok", Decimal(0))
    if "input_mtok" not in values or "output_mtok" not in values:
        return None
    starts = {0} | {tier.start for value in values.values() for tier in getattr(value, "tiers", ())}
    tiers = tuple((-1 if start == 0 else start, _rates(values, start)) for start in sorted(starts))
    applies = constraint if constraint is None or isinstance(constraint, Since) else constraint.active
    return Tariff(applies, tiers)


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
        request=0 if requests is None else _a_thousandth(requests),
        apart=_apart([at(kind) for kind in _APART], values, searches=requests is not None),
    )


def _apart(rates: list[int | None], values: dict[str, Any], *, searches: bool) -> Apart:
    """Give what is priced apart; where a request has a price, it is that of its searches."""
    tools = {kind: _a_thousandth(values[listed]) for kind, listed in _TOOLS.items() if listed in values}
    if searches:
        tools.setdefault("web_search", 0)
    apart = Apart._make((*rates, tuple(tools.items())))
    return NOT_APART if apart == NOT_APART else apart


def _a_thousandth(price: Any) -> int:
    return _nanos(getattr(price, "base", price) / 1000)


def _nanos(price: Decimal) -> int:
    return int((price * NANOS_PER_USD).to_integral_value(rounding=ROUND_CEILING))
