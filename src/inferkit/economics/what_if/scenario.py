"""A scenario: other plans, limits and prices than those that the calls were made under."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferkit.pricing.price_book import PriceBook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.budgets.budget import Budget
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = ["Scenario"]


@dataclass(frozen=True)
class Scenario:
    """What to replay the recorded calls against; what is left out stays as it was.

    `plans` replace those of the same name, and their allowances are applied. `users` and `tenants` name the plan that
    each is on, whose allowance is applied too, `default_plan` that of those who are on none. `limits` are budgets for
    everybody, each user or each tenant. `prices` are other prices of models, and `reroute` sends the calls of a model
    to another one.
    """

    name: str
    plans: Mapping[str, Plan] = field(default_factory=dict)
    default_plan: str | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    tenants: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Budget, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    reroute: Mapping[str, str] = field(default_factory=dict)

    def book(self) -> PriceBook:
        """Give the prices, with the bundled list behind them."""
        return PriceBook(self.prices)
