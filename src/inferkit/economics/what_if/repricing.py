"""What recorded calls would have cost at a scenario's prices, or on the models that it sends them to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ConfigurationError
from inferkit.core.usage import NO_DETAILS, Usage
from inferkit.economics.report.calls import name_of
from inferkit.ledger.journal import Charge, Part

if TYPE_CHECKING:
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.ledger.summary import Total
    from inferkit.pricing.prices import Price
    from inferkit.pricing.rates import Rates

__all__ = ["Repricing", "cost_of"]

T = TypeVar("T", Charge, Part)
_PLACES = {kind: {name: place for place, name in enumerate(kind._fields)} for kind in (Charge, Part)}


def cost_of(charge: Charge) -> int:
    """Nano-dollars of all attempts whose price is known, as a report counts them."""
    return sum([part.usd or 0 for part in charge.parts]) if charge.parts else charge.usd or 0


class Repricing:
    """Prices attempts anew whose model has another price or is rerouted; the others stay as they were.

    Each is priced as of its own instant. Raises `ConfigurationError` for a reroute to a model of unknown price.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._book = scenario.book()
        self._is_idle = not (scenario.prices or scenario.reroute)
        self._known: dict[tuple[str | None, str | None], tuple[str, str, Price] | None] = {}
        for target in scenario.reroute.values():
            self.check(target, f"{scenario.name}, [reroute]")

    def __call__(self, charge: Charge, at: float) -> Charge:
        """Give a call as the scenario prices it. What it saved at other prices is not known any more."""
        if self._is_idle:
            return charge
        parts = charge.parts
        served = self._found(charge.provider, charge.model)
        if not parts:
            if served is None:
                return charge
            return _repriced(charge, *served, at, prompt_cache_saved=0, routing_saved=0)
        found = [self._found(part.provider, part.model) for part in parts]
        if not any(found):
            return charge
        parts = tuple(
            [part if each is None else _repriced(part, *each, at) for part, each in zip(parts, found, strict=True)]
        )
        costs = [part.usd for part in parts if part.usd is not None]
        usd = sum(costs) if len(costs) == len(parts) else None
        provider, model = (charge.provider, charge.model) if served is None else served[:2]
        return _changed(
            charge, parts=parts, usd=usd, provider=provider, model=model, prompt_cache_saved=0, routing_saved=0
        )

    def cost(self, charge: Charge, at: float) -> int:
        """Give what a call costs as the scenario prices it, as a report counts it."""
        if self._is_idle:
            return cost_of(charge)
        cost = 0
        for attempt in charge.parts or (charge,):
            found = self._found(attempt.provider, attempt.model)
            cost += (attempt.usd if found is None else _cost_at(found[2], attempt, at)) or 0
        return cost

    def on(self, target: str, charge: Charge, at: float) -> Charge:
        """Give a call as the model `target` would have served it, in one attempt."""
        one = charge._replace(parts=(), attempts=1, degraded=True, prompt_cache_saved=0, routing_saved=0)
        return _repriced(one, *self._target(target), at)

    def check(self, target: str, what: str) -> None:
        """Raise `ConfigurationError` for a model, named by `what`, that calls cannot be replayed on."""
        try:
            self._target(target)
        except ConfigurationError as error:
            raise ConfigurationError(f"{what}: {error}") from None

    def together(self, total: Total) -> Total | None:
        """Price calls that are alike together, to a nano-dollar each; None where their price asks for each of them."""
        found = None if self._is_idle else self._found(total.provider, total.model)
        if found is None:
            return total
        provider, model, price = found
        rates = price.schedule.flat
        if rates is None or total.is_detailed:
            return None
        usd = total.usd
        if total.input_tokens or total.output_tokens:
            usage = Usage(
                total.input_tokens, total.output_tokens, total.cache_read_tokens, total.cache_write_tokens,
                total.reasoning_tokens,
            )  # fmt: skip
            usd = (rates.cost(usage) or 0) + (total.calls - 1) * rates.request
        return total._replace(
            provider=provider,
            model=model,
            usd=usd,
            priced=True,
            is_reported=False,
            prompt_cache_saved=0,
            routing_saved=0,
        )

    def rates(self, total: Total) -> Rates | None:
        """Give what prices each of these calls anew, if that is the same for all of them and nothing else matters."""
        found = None if self._is_idle or total.is_detailed else self._found(total.provider, total.model)
        return None if found is None or found[0] == "local" else found[2].schedule.flat  # a baseline asks for each call

    def _found(self, provider: str | None, model: str | None) -> tuple[str, str, Price] | None:
        """Give the new provider, model and price; None where they stay as they were."""
        try:
            return self._known[provider, model]
        except KeyError:
            found = self._known[provider, model] = self._look_up(provider, model)
            return found

    def _look_up(self, provider: str | None, model: str | None) -> tuple[str, str, Price] | None:
        name = name_of(provider, model)
        if name is None or model is None:
            return None
        target = self._scenario.reroute.get(name)
        if target is not None:
            return self._target(target)
        if provider is None or not {name, model, f"{provider}:*"} & self._scenario.prices.keys():
            return None
        return provider, model, self._book.price(provider, model)

    def _target(self, target: str) -> tuple[str, str, Price]:
        provider, colon, model = target.partition(":")
        if provider != "local" and not (colon and model):
            raise ConfigurationError(
                f'what stands behind "{target}" is not known to a replay; write "provider:model", or "local"'
            )
        price = self._book.find(provider, model)
        if price is None:
            raise ConfigurationError(
                f'"{target}" has no known price; state it in {self._scenario.name}: [prices."{target}"], with '
                'input = "..." and output = "..." in dollars per million tokens'
            )
        return provider, model or "embedded", price


def _changed(used: T, **fields: Any) -> T:
    """Do what `_replace` does, which asks for each of all fields whether it changes: a replay does so for each call."""
    kind = type(used)
    places, values = _PLACES[kind], list[Any](used)
    for name, value in fields.items():
        values[places[name]] = value
    return kind(*values)


def _repriced(used: T, provider: str, model: str, price: Price, at: float, **more: Any) -> T:
    """Price one attempt; of one that was not billed nothing but the name changes, and what `more` says.

    Where the price says nothing of the way it was served, or of a kind of tokens, it counts as served like any other.
    """
    if not (used.input_tokens or used.output_tokens):
        same = not more and (used.provider, used.model) == (provider, model)
        return used if same else _changed(used, provider=provider, model=model, **more)
    usd = _cost_at(price, used, at)
    if price.schedule.flat is not None and used.details is NO_DETAILS:
        return _changed(used, provider=provider, model=model, usd=usd, **more)
    details = used.details._replace(reported_nanos=None)
    return used._replace(provider=provider, model=model, usd=usd, details=details, **more)


def _cost_at(price: Price, used: Charge | Part, at: float) -> int | None:
    if not (used.input_tokens or used.output_tokens):
        return used.usd
    usage = Usage(
        used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens, used.reasoning_tokens,
        False, used.details,
    )  # fmt: skip
    flat = price.schedule.flat
    if flat is not None and used.details is NO_DETAILS:
        return flat.cost(usage)
    when = datetime.fromtimestamp(at, UTC)
    usd = price.cost(usage, when)
    return price.cost(usage._replace(details=NO_DETAILS), when) if usd is None else usd
