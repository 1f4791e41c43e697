"""What a model on one's own machine costs: the time that it computes, at the price of energy and hardware.

An hour of a machine that draws `watts` costs watts / 1,000 x `price_per_kwh` for energy, and `hardware_per_hour`.
"""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import to_nanos
from inferkit.pricing.prices import Price
from inferkit.pricing.rates import Schedule
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from datetime import datetime

    from inferkit.core.usage import Usage
    from inferkit.pricing.prices import Amount
    from inferkit.pricing.terms import Terms

__all__ = ["LocalCost", "Pace"]

_NANOSECONDS_PER_HOUR = 3_600 * 10**9
_MOST_MODELS = 256  # names that come from outside must not fill the memory
_MOST_KILOWATTS = 1_000  # more than any machine draws
_MARGIN = 2  # a call may be slower than any before it
_OVERHEAD = 50_000_000  # nanoseconds of a call that are no token's
_LEAST_PROMPT, _LEAST_REPLY = 16, 8  # tokens that say how long one takes


class Pace:
    """How many nanoseconds a token takes, in the prompt and in the reply. Safe from any thread.

    What is slower than ever counts at once, what is faster by a tenth: it stands for slow calls rather than for common
    ones. Before anything was measured it is that of a large model on few cores.
    """

    def __init__(self) -> None:
        self.prompt = 100_000_000
        self.reply = 500_000_000
        self._measured_prompt = self._measured_reply = False
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    @property
    def knows_prompts(self) -> bool:
        """Whether the pace of prompts was measured."""
        return self._measured_prompt

    def learn(self, usage: Usage) -> None:
        """Take in what a call took."""
        details = usage.details
        computed = usage.input_tokens - usage.cache_read_tokens
        with self._lock:
            if computed >= _LEAST_PROMPT and details.prompt_nanoseconds:
                each = -(-details.prompt_nanoseconds // computed)
                self.prompt = _slower(each, self.prompt) if self._measured_prompt else each
                self._measured_prompt = True
            if usage.output_tokens >= _LEAST_REPLY and details.reply_nanoseconds:
                each = -(-details.reply_nanoseconds // usage.output_tokens)
                self.reply = _slower(each, self.reply) if self._measured_reply else each
                self._measured_reply = True


def _slower(each: int, known: int) -> int:
    return max(each, (each + 9 * known) // 10)


def _kilowatts(watts: Any) -> Fraction:
    try:
        found = Fraction(str(watts)) / 1000
    except ValueError:
        found = Fraction(-1)
    if isinstance(watts, bool) or not 0 <= found <= _MOST_KILOWATTS:
        raise ConfigurationError(f"watts is what the machine draws, from 0 to 1,000,000; got {watts!r}")
    return found


def _made(watts: float | Amount, price_per_kwh: Amount, hardware_per_hour: Amount) -> LocalCost:
    return LocalCost(watts=watts, price_per_kwh=price_per_kwh, hardware_per_hour=hardware_per_hour)


class LocalCost(Price):
    """A price for models that run here: `prices={"local:*": LocalCost(watts=45, price_per_kwh="0.30")}`.

    `watts` is what the machine draws because of them, `price_per_kwh` what a kilowatt-hour costs and
    `hardware_per_hour` what an hour of the hardware does, both in dollars, as strings, ints or Decimals. A call is
    charged for the time that the engine computed for it, to the nanosecond. Before a call, twice the time is held that
    its tokens take at the pace which was measured of its model (of a large model on few cores, before that was
    measured). A call that did not report its time, because it was left or failed, is booked at that pace.

    Raises `ConfigurationError` for what is no amount, and where all of it is zero.
    """

    nanos_per_hour: Fraction
    pace: Pace

    def __init__(self, *, watts: float | Amount = 0, price_per_kwh: Amount = 0, hardware_per_hour: Amount = 0) -> None:
        super().__init__(0, 0, source="compute time")
        energy = _kilowatts(watts) * to_nanos(price_per_kwh, "price_per_kwh")
        hour = energy + to_nanos(hardware_per_hour, "hardware_per_hour")
        if not hour:
            raise ConfigurationError(
                "a LocalCost of nothing says nothing; state watts= and price_per_kwh=, or hardware_per_hour="
            )
        self._adopt(Schedule(self.schedule.tariffs, (self.schedule,)))  # so that nobody takes its tokens for free
        given = watts, price_per_kwh, hardware_per_hour
        self.__dict__.update(nanos_per_hour=hour, pace=Pace(), _models={}, _given=given)

    def __repr__(self) -> str:
        """Show what was given."""
        watts, energy, hardware = self.__dict__["_given"]
        return f"LocalCost(watts={watts!r}, price_per_kwh={energy!r}, hardware_per_hour={hardware!r})"

    def __eq__(self, other: object) -> bool:
        """Say whether an hour costs the same."""
        return isinstance(other, LocalCost) and self.nanos_per_hour == other.nanos_per_hour

    def __hash__(self) -> int:
        """See `__eq__`."""
        return hash(self.nanos_per_hour)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy begin with what was given, and measure anew."""
        return _made, self.__dict__["_given"]

    def of_model(self, name: str) -> LocalCost:
        """See `Price`: the same for one model, with a pace of its own."""
        models: dict[str, LocalCost] = self.__dict__["_models"]
        if name not in models:
            if len(models) >= _MOST_MODELS:
                models.pop(next(iter(models)))
            one: LocalCost = object.__new__(LocalCost)
            one.__dict__.update(self.__dict__, pace=Pace())
            models[name] = one
        return models[name]

    def learn(self, usage: Usage) -> None:
        """See `Price`."""
        self.pace.learn(usage)

    def time(self, nanoseconds: int) -> int:
        """Give what a time costs, in nano-dollars, rounded up."""
        hour = self.nanos_per_hour
        return -(-nanoseconds * hour.numerator // (hour.denominator * _NANOSECONDS_PER_HOUR))

    def cost(self, usage: Usage, at: datetime | None = None) -> int:
        """See `Price`: for the time that was computed, or else for the time that the tokens are likely to take."""
        del at
        details = usage.details
        spent = details.prompt_nanoseconds + details.reply_nanoseconds
        if not spent:
            spent = max(0, usage.input_tokens - usage.cache_read_tokens) * self.pace.prompt
            spent += usage.output_tokens * self.pace.reply
        return self.time(spent)

    def cache_saved(self, usage: Usage) -> int:
        """See `Price`: what the tokens that stayed warm would have taken, once it was measured how long one takes."""
        return self.time(usage.cache_read_tokens * self.pace.prompt) if self.pace.knows_prompts else 0

    def on(self, terms: Terms) -> LocalCost:
        """See `Price`. A machine of one's own knows one way to serve."""
        del terms
        return self

    def upper_bound(self, input_tokens: int, output_tokens: int, at: datetime | None = None) -> int:
        """See `Price`."""
        del at
        return self.time(_OVERHEAD + _MARGIN * (input_tokens * self.pace.prompt + output_tokens * self.pace.reply))

    def affordable_output(self, input_tokens: int, nanos: int, at: datetime | None = None) -> int | None:
        """See `Price`."""
        del at
        hour = self.nanos_per_hour
        most = nanos * hour.denominator * _NANOSECONDS_PER_HOUR // hour.numerator
        left = most - _OVERHEAD - _MARGIN * input_tokens * self.pace.prompt
        return -1 if left < 0 else left // (_MARGIN * self.pace.reply)
