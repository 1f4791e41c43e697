"""Finds what a model charges: the user's own prices, and the bundled list behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inferkit.core.errors import ConfigurationError, UnpricedModel
from inferkit.pricing.prices import Price
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.pricing.terms import Terms

__all__ = ["PriceBook"]

_MOST_REMEMBERED = 4096
_ALSO = {
    "anthropic-bedrock": "bedrock",
    "anthropic-mantle": "bedrock",
    "anthropic-vertex": "vertex",
    "openai-responses": "openai",
}
"""Providers that are reached over another API of theirs too, under another name, at the same prices."""

_LOCAL = Price(0, 0, source="local")


class PriceBook:
    """Finds the price of a model: the user's own entries first, then the bundled list.

    `own` maps "provider:model", "model" or "provider:*" (looked up in this order) to a `Price`, which takes the place
    of all that the list says about the model, sizes and dates too. What is said of "openai" holds for
    "openai-responses" where nothing is said of that, and what is said of a cloud for another API of it. A model that
    runs on this machine (provider "local") costs nothing unless `own` says otherwise, as by a `LocalCost`.
    `on_unpriced` is "block", or the price to assume for a model that nobody lists, and for a service tier, a speed, a
    region or a kind of tokens or requests without a price; `otherwise` is that price.
    """

    def __init__(
        self, own: Mapping[str, Price] | None = None, *, on_unpriced: Literal["block"] | Price = "block"
    ) -> None:
        own = dict(own or {})
        for name, price in own.items():
            if "*" in str(name).removesuffix(":*") or name == ":*":
                raise ConfigurationError(
                    f'the price of {name!r} would be no model\'s: a name is "provider:model", "model", or "provider:*" '
                    "for all models of a provider; for all that nobody lists, pass on_unpriced=Price(...)"
                )
            if not isinstance(price, Price):
                raise ConfigurationError(
                    f'the price of {name!r} is a Price, for example Price(input="0.25", output="2.00"); '
                    f"got {type(price).__name__}"
                )
        if on_unpriced != "block" and not isinstance(on_unpriced, Price):
            raise ConfigurationError(f'on_unpriced is "block" or a Price; got {on_unpriced!r}')
        self._own = own
        self.otherwise = None if on_unpriced == "block" else on_unpriced
        self._known: dict[tuple[str, str], Price | None] = {}
        self._regions: dict[str, str] = {}
        self._for_embeddings: dict[tuple[str, str], Price | None] = {}

    def find_for_embeddings(self, provider: str, model: str) -> Price | None:
        """Give a model's price for embeddings, of which there is no output; None if it has no known price."""
        known = self._for_embeddings
        if (provider, model) not in known:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            known[provider, model] = self._look_up(provider, model, writes=False)
        return known[provider, model]

    def serve_from(self, provider: str, region: str) -> None:
        """Note that a provider serves all its models from a region, whose prices hold where they are known."""
        if self._regions.get(provider) != region:
            self._regions[provider] = region
            self._known.clear()
            self._for_embeddings.clear()

    def find(self, provider: str, model: str) -> Price | None:
        """Give a model's price, or None if it has no known price."""
        try:
            return self._known[provider, model]
        except KeyError:
            pass
        price = self._look_up(provider, model)
        if price is not None and provider in self._regions:
            price = price.regions.get(self._regions[provider], price)
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
                f'prices={{"{provider}:{model}": Price(input="...", output="...")}} in dollars per million tokens '
                f'([prices."{provider}:{model}"] with input = "..." and output = "..." in a file of settings), '
                "or a default for such models with on_unpriced=Price(...) ([on_unpriced] in a file)"
            )
        return price

    def price_on(self, provider: str, model: str, terms: Terms) -> Price:
        """Give the price that covers a request on these terms.

        Raises `UnpricedModel` where nobody lists the model, or part of what the terms ask for, and no default is
        stated.
        """
        price = self.price(provider, model)
        if not terms:
            return price
        view = price.on(terms) or self.otherwise
        if view is None:
            what = ", ".join([each for each in terms[:3] if each] + sorted(terms.kinds))
            raise UnpricedModel(
                f'"{provider}:{model}" has no known price for what is asked of it ({what}), so no budget can cover it; '
                f'state one, prices={{"{provider}:{model}": Price(..., service_tiers={{"priority": Price(...)}})}} '
                f'([prices."{provider}:{model}".service_tiers.priority] in a file of settings) or whichever part it '
                "is, or a default for all such calls with on_unpriced=Price(...) ([on_unpriced] in a file)"
            )
        return view

    def _look_up(self, provider: str, model: str, *, writes: bool = True) -> Price | None:
        providers = [provider, *([_ALSO[provider]] if provider in _ALSO else [])]
        exact = [f"{each}:{model}" for each in providers]
        for name in (*exact, model, *(f"{each}:*" for each in providers)):
            if name in self._own:
                return self._own[name].of_model(exact[0])
        if provider == "local":
            return _LOCAL
        with imports.lock:
            from inferkit.pricing.genai_prices import listed_price

        return listed_price(providers[-1], model, writes=writes) or self.otherwise
