"""What a model charges, by size and by date.

Prices are dollars per million tokens, as providers quote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import NANOS_PER_USD, to_nanos
from inferkit.pricing.rates import Rates, Schedule, Since, Tariff

if TYPE_CHECKING:
    from inferkit.core.usage import Usage

__all__ = ["Price"]

Amount = str | int | Decimal
_ALL = -1  # every input exceeds it


@dataclass(frozen=True, repr=False)
class Price:
    """What a model charges, in dollars per million tokens, as strings, ints or Decimals.

    Cached tokens cost what `cache_read` and `cache_write` say, and as much as other input where these are None;
    `reasoning` tokens as much as other output. `request` is in dollars a request. `source` says where the price comes
    from.

    `above` maps a number of tokens to the price of a request whose input exceeds it: it applies to all tokens of that
    request, as providers bill long contexts. `changes` maps a date (midnight UTC), or an ISO time with its offset, to
    the price from then on. Each of these is a whole `Price`; the price after a change may have an `above` of its own.

    Raises `ConfigurationError` for an amount that `to_nanos` refuses, a threshold that is not a whole number above
    zero, a time without an offset, and prices nested any deeper.
    """

    input: Amount
    output: Amount
    cache_read: Amount | None = None
    cache_write: Amount | None = None
    reasoning: Amount | None = field(default=None, kw_only=True)
    request: Amount = field(default=0, kw_only=True)
    above: Mapping[int, Price] = field(default_factory=dict, kw_only=True, hash=False)
    changes: Mapping[str | date, Price] = field(default_factory=dict, kw_only=True, hash=False)
    source: str = field(default="stated", kw_only=True)

    def __post_init__(self) -> None:
        plain = to_nanos(self.input, "the price of input")
        output = to_nanos(self.output, "the price of output")
        read = plain if self.cache_read is None else to_nanos(self.cache_read, "the price of cache reads")
        write = plain if self.cache_write is None else to_nanos(self.cache_write, "the price of cache writes")
        reasoning = output if self.reasoning is None else to_nanos(self.reasoning, "the price of reasoning")
        rates = Rates(plain, output, read, write, reasoning, to_nanos(self.request, "the price of a request"))
        for name in ("above", "changes"):
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise ConfigurationError(f"a price's {name} is a dictionary to prices; got {type(given).__name__}")
            object.__setattr__(self, name, dict(given))
        first = Tariff(None, ((_ALL, rates), *_tiers(self.above)))
        self._adopt(Schedule((first, *_later(self.changes))))

    @classmethod
    def scheduled(cls, schedule: Schedule, *, source: str) -> Price:
        """Make a price of integer rates; its fields are those of the first tariff's smallest tier."""
        rates = schedule.tariffs[0].tiers[0][1]
        price = cls(
            _usd(rates.input), _usd(rates.output), _usd(rates.cache_read), _usd(rates.cache_write),
            reasoning=_usd(rates.reasoning), request=_usd(rates.request), source=source,
        )  # fmt: skip
        price._adopt(schedule)
        return price

    def _adopt(self, schedule: Schedule) -> None:
        object.__setattr__(self, "_schedule", schedule)
        object.__setattr__(self, "_flat", schedule.flat)

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

    def cost(self, usage: Usage, at: datetime | None = None) -> int:
        """Nano-dollars for this usage, rounded up."""
        return self.rates(usage.input_tokens, at).cost(usage)

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


def _default(of: Field[object]) -> object:
    return {} if of.default is MISSING else of.default


def _tiers(above: Mapping[int, Price]) -> tuple[tuple[int, Rates], ...]:
    for start, price in above.items():
        if type(start) is not int or start <= 0:
            raise ConfigurationError(
                f"above maps a number of input tokens to a Price: above={{200_000: Price(...)}}; got {start!r}"
            )
        if not isinstance(price, Price) or price.above or price.changes:
            raise ConfigurationError(
                f"the price above {start:,} tokens is a Price without above= and changes= of its own; "
                "list all sizes in one above=, and put sizes into changes= rather than the other way round"
            )
    return tuple((start, above[start].schedule.tariffs[0].tiers[0][1]) for start in sorted(above))


def _later(changes: Mapping[str | date, Price]) -> list[Tariff]:
    tariffs: dict[datetime, Tariff] = {}
    for when, price in changes.items():
        instant = _instant(when)
        if not isinstance(price, Price) or price.changes:
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
