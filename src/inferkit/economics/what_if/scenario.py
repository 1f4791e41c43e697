"""A scenario: other plans, limits and prices than those that the calls were made under."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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

    @property
    def moves(self) -> bool:
        """Whether it changes what customers pay, or who is on which plan."""
        return bool(self.plans or self.users or self.tenants or self.default_plan is not None)

    def changes(self) -> list[tuple[str, Scenario]]:
        """Give each change by itself, in words, as a scenario that has nothing but it.

        Those who are moved to a plan that the scenario defines are moved to it as it is there, and a model that calls
        are taken to has its price.
        """
        moved_to = {*self.users.values(), *self.tenants.values(), self.default_plan}
        found = [
            (f'plan "{name}"', self._only(plans={name: self.plans[name]})) for name in self.plans.keys() - moved_to
        ]
        for name in sorted(name for name in moved_to if name is not None):
            one = self._only(
                plans={name: self.plans[name]} if name in self.plans else {},
                users={user: plan for user, plan in self.users.items() if plan == name},
                tenants={tenant: plan for tenant, plan in self.tenants.items() if plan == name},
                default_plan=name if self.default_plan == name else None,
            )
            found.append((f'plan "{name}" with those who are moved to it', one))
        found += [(f'limit "{limit.name}"', self._only(limits=(limit,))) for limit in self.limits]
        found += [(f'the price of "{model}"', self._only(prices={model: self.prices[model]})) for model in self.prices]
        found += [
            (f'"{source}" sent to "{target}"', self._only(reroute={source: target}))
            for source, target in self.reroute.items()
        ]
        return found

    def _only(self, **change: Any) -> Scenario:
        one = Scenario(self.name, **change)
        budgets = [*one.limits, *(plan.budget for plan in one.plans.values())]
        targets = {*one.reroute.values(), *(budget.degrade_to for budget in budgets if budget is not None)}
        theirs = {name: price for name, price in self.prices.items() if name in targets}
        return replace(one, prices={**one.prices, **theirs})

    def book(self) -> PriceBook:
        """Give the prices, with the bundled list behind them."""
        return PriceBook(self.prices)
