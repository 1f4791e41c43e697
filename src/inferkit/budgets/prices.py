"""What tokens cost: a price a model, the user's own prices, and the bundled list behind them.

Prices are dollars per million tokens, as providers quote them. Inside they are nano-dollars per million tokens, so that
a cost is one integer sum, rounded up once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from inferkit._errors import ConfigurationError, UnpricedModel
from inferkit.budgets.money import to_nanos

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from inferkit._types import Usage

__all__ = ["Price", "PriceBook", "Rates"]

_MILLION = 1_000_000
_MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind, and nano-dollars a request."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int = 0

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for this usage, rounded up. Cached and reasoning tokens are part of the totals."""
        read, write, reasoning = usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        total = max(0, usage.input_tokens - read - write) * self.input
        if read or write:
            total += read * self.cache_read + write * self.cache_write
        total += max(0, usage.output_tokens - reasoning) * self.output + reasoning * self.reasoning
        return -(-total // _MILLION) + self.request

    @property
    def dearest_input(self) -> int:
        """What an input token costs at most, cached or not."""
        return max(self.input, self.cache_read, self.cache_write)

    @property
    def dearest_output(self) -> int:
        """What an output token costs at most."""
        return max(self.output, self.reasoning)


@dataclass(frozen=True)
class Price:
    """What a model charges, in dollars per million tokens, as strings, ints or Decimals.

    Cached tokens cost what `cache_read` and `cache_write` say, and as much as other input where these are None.
    `source` says where the price comes from.
    """

    input: str | int | Decimal
    output: str | int | Decimal
    cache_read: str | int | Decimal | None = None
    cache_write: str | int | Decimal | None = None
    source: str = field(default="stated", kw_only=True)

    def __post_init__(self) -> None:
        plain = to_nanos(self.input, "the price of input")
        output = to_nanos(self.output, "the price of output")
        read = plain if self.cache_read is None else to_nanos(self.cache_read, "the price of cache reads")
        write = plain if self.cache_write is None else to_nanos(self.cache_write, "the price of cache writes")
        object.__setattr__(self, "_rates", Rates(plain, output, read, write, output))

    def rates(self, input_tokens: int) -> Rates:  # noqa: ARG002 - a listed price has tiers
        """Give the rates of a request with this much input."""
        rates: Rates = self.__dict__["_rates"]
        return rates

    def possible_rates(self, input_tokens: int) -> tuple[Rates, ...]:
        """Give every rate that a request with at most this much input may come to be billed at."""
        return (self.rates(input_tokens),)

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for this usage, rounded up."""
        return self.rates(usage.input_tokens).cost(usage)

    def upper_bound(self, input_tokens: int, output_tokens: int) -> int:
        """Nano-dollars that a request of at most this many tokens can cost, whatever is cached."""
        return max(
            -(-(input_tokens * rates.dearest_input + output_tokens * rates.dearest_output) // _MILLION) + rates.request
            for rates in self.possible_rates(input_tokens)
        )

    def affordable_output(self, input_tokens: int, nanos: int) -> int | None:
        """How many output tokens `nanos` buys after the input: negative if not even that, None if output is free."""
        most: int | None = None
        for rates in self.possible_rates(input_tokens):
            left = (nanos - rates.request) * _MILLION - input_tokens * rates.dearest_input
            if rates.dearest_output == 0 and left >= 0:
                continue
            tokens = left // rates.dearest_output if left >= 0 else -1
            most = tokens if most is None else min(most, tokens)
        return most


_LOCAL = Price(0, 0, source="local")


class PriceBook:
    """Finds the price of a model: the user's own entries first, then the bundled list.

    `own` maps "provider:model", "model" or "provider:*" (looked up in this order) to a `Price`. A model that runs in
    this process (provider "local") costs nothing unless `own` says otherwise. `on_unpriced` is "block", or the price to
    assume for a model that nobody lists.
    """

    def __init__(
        self, own: Mapping[str, Price] | None = None, *, on_unpriced: Literal["block"] | Price = "block"
    ) -> None:
        own = dict(own or {})
        for name, price in own.items():
            if not isinstance(price, Price):
                raise ConfigurationError(
                    f'the price of {name!r} is a Price, for example Price(input="0.25", output="2.00"); '
                    f"got {type(price).__name__}"
                )
        if on_unpriced != "block" and not isinstance(on_unpriced, Price):
            raise ConfigurationError(f'on_unpriced is "block" or a Price; got {on_unpriced!r}')
        self._own = own
        self._default = None if on_unpriced == "block" else on_unpriced
        self._known: dict[tuple[str, str], Price | None] = {}

    def find(self, provider: str, model: str) -> Price | None:
        """Give a model's price, or None if it has no known price."""
        try:
            return self._known[provider, model]
        except KeyError:
            pass
        price = self._look_up(provider, model)
        if len(self._known) >= _MOST_REMEMBERED:  # names that come from outside must not fill the memory
            self._known.clear()
        self._known[provider, model] = price
        return price

    def price(self, provider: str, model: str) -> Price:
        """Give a model's price. Raises `UnpricedModel` where nobody lists it and no default is stated."""
        price = self.find(provider, model)
        if price is None:
            raise UnpricedModel(
                f'"{provider}:{model}" has no known price, so no budget can cover it; state one, '
                f'prices={{"{provider}:{model}": Price(input="...", output="...")}} in dollars per million tokens, '
                "or a default for such models with on_unpriced=Price(...)"
            )
        return price

    def _look_up(self, provider: str, model: str) -> Price | None:
        for name in (f"{provider}:{model}", model, f"{provider}:*"):
            if name in self._own:
                return self._own[name]
        if provider == "local":
            return _LOCAL
        from inferkit.budgets.listed import listed_price

        return listed_price(provider, model) or self._default
