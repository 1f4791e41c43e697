"""What a model charges, by size and by date: dollars per million tokens, as providers quote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import NANOS_PER_USD, to_nanos
from inferkit.core.usage import NO_DETAILS, UsageDetails
from inferkit.pricing.rates import NOT_APART, Apart, Rates, Schedule, Since, Tariff
from inferkit.pricing.terms import AUTO, STANDARD, Terms

if TYPE_CHECKING:
    from inferkit.core.usage import Usage

__all__ = ["Amount", "Price"]

Amount = str | int | Decimal
_ALL = -1  # every input exceeds it
_APART = Apart._fields[:-1]
_WAYS = ("service_tiers", "speeds", "regions")
_MOST_VIEWS = 64
_NOT_CACHED: dict[str, Any] = {name: 0 for name in UsageDetails._fields if name.startswith("cache_")}


@dataclass(frozen=True, repr=False)
class Price:
    """What a model charges, in dollars per million tokens, as strings, ints or Decimals.

    Cached tokens cost what `cache_read` and `cache_write` say, and as much as other input where these are None;
    `reasoning` tokens as much as other output. `request` is in dollars a request. `source` says where the price comes
    from.

    What few models have: `cache_write_1h` and `cache_write_12h` for what stays in the cache that long (where they are
    None, such writes have no known price); `input_audio`, `input_image`, `cache_read_audio` and `cache_read_image` (as
    much as other input where they are None); `output_audio` and `output_image` (no known price); `server_tools`, in
    dollars a request by kind, for example `{"web_search": "0.01"}` (those of other kinds have no known price).
    `context_window` is how many tokens fit into the model, where that is known.

    `above` maps a number of tokens to the price of a request whose input exceeds it: it applies to all tokens of that
    request, as providers bill long contexts. `changes` maps a date (midnight UTC), or an ISO time with its offset, to
    the price from then on. `service_tiers`, `speeds` and `regions` map the provider's word for another way of serving
    to the price of that, for example `service_tiers={"priority": Price(...)}`; a way that is not listed, and two that
    are not the standard at once, have no known price. Each of these is a whole `Price`; that of a change may have an
    `above` of its own, that of another way `above` and `changes`.

    Raises `ConfigurationError` for an amount that `to_nanos` refuses, a threshold that is not a whole number above
    zero, a time without an offset, and prices nested any deeper.
    """

    input: Amount
    output: Amount
    cache_read: Amount | None = None
    cache_write: Amount | None = None
    reasoning: Amount | None = field(default=None, kw_only=True)
    request: Amount = field(default=0, kw_only=True)
    cache_write_1h: Amount | None = field(default=None, kw_only=True)
    cache_write_12h: Amount | None = field(default=None, kw_only=True)
    input_audio: Amount | None = field(default=None, kw_only=True)
    input_image: Amount | None = field(default=None, kw_only=True)
    cache_read_audio: Amount | None = field(default=None, kw_only=True)
    cache_read_image: Amount | None = field(default=None, kw_only=True)
    output_audio: Amount | None = field(default=None, kw_only=True)
    output_image: Amount | None = field(default=None, kw_only=True)
    server_tools: Mapping[str, Amount] = field(default_factory=dict, kw_only=True, hash=False)
    context_window: int | None = field(default=None, kw_only=True)
    above: Mapping[int, Price] = field(default_factory=dict, kw_only=True, hash=False)
    changes: Mapping[str | date, Price] = field(default_factory=dict, kw_only=True, hash=False)
    service_tiers: Mapping[str, Price] = field(default_factory=dict, kw_only=True, hash=False)
    speeds: Mapping[str, Price] = field(default_factory=dict, kw_only=True, hash=False)
    regions: Mapping[str, Price] = field(default_factory=dict, kw_only=True, hash=False)
    source: str = field(default="stated", kw_only=True)

    def __post_init__(self) -> None:
        plain = to_nanos(self.input, "the price of input")
        output = to_nanos(self.output, "the price of output")
        read = plain if self.cache_read is None else to_nanos(self.cache_read, "the price of cache reads")
        write = plain if self.cache_write is None else to_nanos(self.cache_write, "the price of cache writes")
        reasoning = output if self.reasoning is None else to_nanos(self.reasoning, "the price of reasoning")
        for name in ("above", "changes", "server_tools", *_WAYS):
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise ConfigurationError(f"a price's {name} is a dictionary to prices; got {type(given).__name__}")
            object.__setattr__(self, name, dict(given))
        _check_ways(self)
        rates = Rates(
            plain, output, read, write, reasoning, to_nanos(self.request, "the price of a request"), _apart(self)
        )
        first = Tariff(None, ((_ALL, rates), *_tiers(self.above)))
        self._adopt(Schedule((first, *_later(self.changes))))

    @classmethod
    def scheduled(cls, schedule: Schedule, *, source: str, **facts: Any) -> Price:
        """Make a price of integer rates; its fields are those of the first tariff's smallest tier, and `facts`."""
        rates = schedule.tariffs[0].tiers[0][1]
        *apart, tools = rates.apart
        known: dict[str, Any] = {
            name: None if rate is None else _usd(rate) for name, rate in zip(_APART, apart, strict=True)
        }
        price = cls(
            _usd(rates.input), _usd(rates.output), _usd(rates.cache_read), _usd(rates.cache_write),
            reasoning=_usd(rates.reasoning), request=_usd(rates.request), source=source,
            server_tools={kind: _usd(rate) for kind, rate in tools}, **known, **facts,
        )  # fmt: skip
        price._adopt(schedule)
        return price

    def _adopt(self, schedule: Schedule) -> None:
        object.__setattr__(self, "_schedule", schedule)
        object.__setattr__(self, "_flat", schedule.flat)
        object.__setattr__(self, "_views", {})

    def __repr__(self) -> str:
        """Show what was given."""
        values = {each: getattr(self, each.name) for each in fields(self)}
        given = [f"{each.name}={value!r}" for each, value in values.items() if value != _default(each)]
        return f"Price({', '.join(given)})"

    @property
    def schedule(self) -> Schedule:
        """The same as integers."""
        schedule: Schedule = self.__dict__["_schedule"]
        return schedule

    def rates(self, input_tokens: int, at: datetime | None = None) -> Rates:
        """Give the rates of a request with this much input, at an instant (default: now)."""
        flat: Rates | None = self.__dict__["_flat"]
        return flat or self.schedule.current(at).rates(input_tokens)

    def possible_rates(self, input_tokens: int, at: datetime | None = None) -> tuple[Rates, ...]:
        """Give every rate that a request with at most this much input, sent now, may come to be billed at."""
        flat: Rates | None = self.__dict__["_flat"]
        return (flat,) if flat else self.schedule.possible(input_tokens, at)

    def cost(self, usage: Usage, at: datetime | None = None) -> int | None:
        """Nano-dollars for this usage, rounded up; None where the way it was served, or part of it, has no price."""
        if usage.details is NO_DETAILS:
            return self.rates(usage.input_tokens, at).cost(usage)
        price = self._way(usage.details)
        return None if price is None else price.rates(usage.input_tokens, at).cost(usage)

    def of_model(self, name: str) -> Price:  # noqa: ARG002 - for prices that are measured
        """Give the price of one of the models that this is stated for, by its "provider:model". Here it is the same."""
        return self

    def learn(self, usage: Usage) -> None:
        """Take in what an attempt took. A price of tokens learns nothing from it."""

    def cache_saved(self, usage: Usage) -> int:
        """What the provider's prompt cache saved, in nano-dollars: below zero where it cost more than plain input."""
        if not usage.cache_read_tokens and not usage.cache_write_tokens:
            return 0
        plain = usage._replace(cache_read_tokens=0, cache_write_tokens=0, details=usage.details._replace(**_NOT_CACHED))
        without, cost = self.cost(plain), self.cost(usage)
        return 0 if cost is None or without is None else without - cost

    def _way(self, served: UsageDetails | Terms) -> Price | None:
        """Give the price of the way in which something was served; None where it is not known."""
        found = self
        for given, words, prices in (
            (served.service_tier, STANDARD, self.service_tiers),
            (served.speed, STANDARD, self.speeds),
            (served.region, STANDARD, self.regions),
        ):
            word = None if given is None else given.lower()
            if word is None or (word in words and word not in prices):
                continue
            if found is not self or word not in prices:
                return None
            found = prices[word]
        return found

    def on(self, terms: Terms) -> Price | None:
        """Give the price whose bounds cover a request on these terms; None where part of that has no known price.

        A server may fall back to its standard, so that counts too. Costs are those of the price itself.
        """
        if not terms:
            return self
        views: dict[Terms, Price | None] = self.__dict__["_views"]
        if terms not in views:
            if len(views) >= _MOST_VIEWS:  # the words come from callers
                views.clear()
            views[terms] = self._view(terms)
        return views[terms]

    def _view(self, terms: Terms) -> Price | None:
        others: list[Price | None] = [self._way(terms)]
        if terms.service_tier in AUTO:
            others = [*self.service_tiers.values()]
        schedules = [None if each is None else each.schedule.with_kinds(terms.kinds) for each in (self, *others)]
        known = tuple([schedule for schedule in schedules if schedule is not None])
        if len(known) < len(schedules):
            return None
        view: Price = object.__new__(Price)
        view.__dict__.update(self.__dict__)
        view._adopt(Schedule(known[0].tariffs, known[1:]))
        return view

    def upper_bound(self, input_tokens: int, output_tokens: int, at: datetime | None = None) -> int:
        """Nano-dollars that a request of at most this many tokens can cost, of whatever kind they are."""
        flat: Rates | None = self.__dict__["_flat"]
        if flat is not None:
            return flat.upper_bound(input_tokens, output_tokens)
        return max(rates.upper_bound(input_tokens, output_tokens) for rates in self.possible_rates(input_tokens, at))

    def affordable_output(self, input_tokens: int, nanos: int, at: datetime | None = None) -> int | None:
        """How many output tokens `nanos` buys after the input: negative if not even that, None if output is free."""
        flat: Rates | None = self.__dict__["_flat"]
        if flat is not None:
            return flat.affordable_output(input_tokens, nanos)
        each = [rates.affordable_output(input_tokens, nanos) for rates in self.possible_rates(input_tokens, at)]
        return min((most for most in each if most is not None), default=None)


def _usd(nanos: int) -> Decimal:
    return Decimal(nanos) / NANOS_PER_USD  # without the zeros of nine decimals


def _apart(price: Price) -> Apart:
    amounts = [getattr(price, name) for name in _APART]
    tools = tuple([(kind, to_nanos(each, f"the price of {kind}")) for kind, each in price.server_tools.items()])
    if not tools and amounts == [None] * len(amounts):
        return NOT_APART
    names = [f"the price of {name}" for name in _APART]
    rates = [None if each is None else to_nanos(each, name) for each, name in zip(amounts, names, strict=True)]
    return Apart._make((*rates, tools))


def _has_ways(price: Price) -> bool:
    return bool(price.service_tiers or price.speeds or price.regions)


def _check_ways(price: Price) -> None:
    window = price.context_window
    if window is not None and (type(window) is not int or window <= 0):
        raise ConfigurationError(f"context_window is a number of tokens; got {window!r}")
    for name in _WAYS:
        ways = getattr(price, name)
        for word, other in ways.items():
            if not isinstance(word, str) or not isinstance(other, Price):
                raise ConfigurationError(f'{name} maps a word to a Price: {name}={{"priority": Price(...)}}')
            if _has_ways(other):
                raise ConfigurationError(f"the price in {name} is a Price without service_tiers=, speeds= and regions=")
        object.__setattr__(price, name, {word.lower(): other for word, other in ways.items()})


def _default(of: Field[object]) -> object:
    return {} if of.default is MISSING else of.default


def _tiers(above: Mapping[int, Price]) -> tuple[tuple[int, Rates], ...]:
    for start, price in above.items():
        if type(start) is not int or start <= 0:
            raise ConfigurationError(
                f"above maps a number of input tokens to a Price: above={{200_000: Price(...)}}; got {start!r}"
            )
        if not isinstance(price, Price) or price.above or price.changes or _has_ways(price):
            raise ConfigurationError(
                f"the price above {start:,} tokens is a Price without above= and changes= of its own; "
                "list all sizes in one above=, and put sizes into changes= rather than the other way round"
            )
    return tuple((start, above[start].schedule.tariffs[0].tiers[0][1]) for start in sorted(above))


def _later(changes: Mapping[str | date, Price]) -> list[Tariff]:
    tariffs: dict[datetime, Tariff] = {}
    for when, price in changes.items():
        instant = _instant(when)
        if not isinstance(price, Price) or price.changes or _has_ways(price):
            raise ConfigurationError(
                f"the price from {when} on is a Price without changes= of its own; list all dates in one changes="
            )
        if instant in tariffs:
            raise ConfigurationError(f"two prices are given from {instant.isoformat()} on; leave one out")
        tariffs[instant] = Tariff(Since(instant), price.schedule.tariffs[0].tiers)
    return [tariffs[instant] for instant in sorted(tariffs)]


def _instant(when: str | date) -> datetime:
    given = when
    try:
        if isinstance(when, str):
            when = date.fromisoformat(when) if len(when) <= len("2026-12-01") else datetime.fromisoformat(when)
        if not isinstance(when, datetime):
            return datetime(when.year, when.month, when.day, tzinfo=UTC)
        if when.utcoffset() is not None:
            return when.astimezone(UTC)
    except (ValueError, AttributeError, OverflowError):
        raise ConfigurationError(
            f'a price changes at a date, for example "2026-12-01" or "2026-12-01T09:00+01:00"; got {given!r}'
        ) from None
    raise ConfigurationError(
        f"{when.isoformat()} is another instant in each time zone; a price changes at a date (midnight UTC) or at a "
        f'time with its offset, for example "{when.isoformat()}+00:00"'
    )
