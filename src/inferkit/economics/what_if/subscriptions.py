"""Who is on which plan in a scenario, and which limits hold their calls."""

from __future__ import annotations

import bisect
from collections import defaultdict
from typing import TYPE_CHECKING

from inferkit.budgets.scope import Scope
from inferkit.core.errors import ConfigurationError
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inferkit.budgets.budget import Budget
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.ledger.journal import Attribution
    from inferkit.plans.plan import Plan

__all__ = ["Subscriptions", "allowance_of"]


class Subscriptions:
    """The customers of a period: `assigned` to `plans` as they were, and moved as the scenario says.

    Raises `ConfigurationError` where it moves them to a plan that there is not.
    """

    def __init__(self, scenario: Scenario, plans: Mapping[str, Plan], assigned: Sequence[SubscriptionPeriod]) -> None:
        self.plans = {**plans, **scenario.plans}
        self._scenario = scenario
        self._seats: dict[Customer, list[tuple[float, int]]] = defaultdict(list)
        for subscription in assigned:
            self._seats[subscription.customer].append((subscription.start, subscription.seats))
        self._varying = {who for who, known in self._seats.items() if len({seats for _, seats in known}) > 1}
        moved_to = {*scenario.users.values(), *scenario.tenants.values()}
        if scenario.default_plan is not None:
            moved_to.add(scenario.default_plan)
        for name in sorted(moved_to - self.plans.keys()):
            raise ConfigurationError(f'{scenario.name} puts customers on plan "{name}", which is not defined')
        self.limiting = [self.plans[name] for name in sorted(moved_to | scenario.plans.keys())]
        self.may_differ = scenario.moves or bool(scenario.limits)
        self._found: dict[tuple[str | None, str | None, str | None, int], tuple[tuple[str, Scope], ...]] = {}

    def periods(self, assigned: Iterable[SubscriptionPeriod]) -> list[SubscriptionPeriod]:
        """Put customers on the plans that the scenario says."""
        moved = ((subscription, self._moved(subscription.customer)) for subscription in assigned)
        return [
            subscription if plan in (None, subscription.plan) else subscription._replace(plan=plan)
            for subscription, plan in moved
        ]

    def attribution(self, attribution: Attribution) -> Attribution:
        """Put the attribution of a call on the plan that the scenario says."""
        user = Customer(user=attribution.user)
        plan = self._moved(user)
        if plan is None and user not in self._seats:  # a user's own plan comes before the tenant's
            plan = self._moved(Customer(tenant=attribution.tenant))
        plan = plan or attribution.plan
        if plan is None and (attribution.user is not None or attribution.tenant is not None):
            plan = self._scenario.default_plan
        return attribution if plan == attribution.plan else attribution._replace(plan=plan)

    def _moved(self, customer: Customer) -> str | None:
        if customer.user is not None:
            return self._scenario.users.get(customer.user)
        return None if customer.tenant is None else self._scenario.tenants.get(customer.tenant)

    def limits(self, attribution: Attribution, recorded: Attribution, at: float) -> Sequence[tuple[str, Scope]]:
        """Give what holds a call, by its name: the scenario's limits and allowances, and those of plans it moves to.

        What is divided by users or tenants holds no call that names none.
        """
        plan = None
        if attribution.plan is not None and (
            attribution.plan in self._scenario.plans or attribution.plan != recorded.plan
        ):
            plan = self.plans[attribution.plan]
        seats = 1 if plan is None else self._seats_at(plan, attribution, at)
        alike = (attribution.user, attribution.tenant, None if plan is None else plan.name, seats)
        found = self._found.get(alike)
        if found is None:
            found = self._found[alike] = self._limits_of(attribution, plan is not None, seats)
        return found

    def varies(self, attribution: Attribution) -> bool:
        """Whether those who pay for a call had one number of seats, and then another."""
        varying = self._varying
        return bool(varying) and (
            Customer(user=attribution.user) in varying or Customer(tenant=attribution.tenant) in varying
        )

    def _own(self, attribution: Attribution) -> bool:
        """Whether the user is the customer alone, and not the tenant."""
        customer = Customer(user=attribution.user)
        return attribution.user is not None and (customer in self._seats or self._moved(customer) is not None)

    def _seats_at(self, plan: Plan, attribution: Attribution, at: float) -> int:
        alone = attribution.tenant is None or self._own(attribution)
        customer = Customer(user=attribution.user) if alone else Customer(tenant=attribution.tenant)
        known = self._seats.get(customer)
        if known is None:
            return plan.seats
        return known[max(0, bisect.bisect(known, at, key=lambda each: each[0]) - 1)][1]

    def _limits_of(self, attribution: Attribution, has_allowance: bool, seats: int) -> tuple[tuple[str, Scope], ...]:
        user, tenant = attribution.user, attribution.tenant
        found = []
        if has_allowance and (user is not None or tenant is not None):
            plan = self.plans[attribution.plan or ""]
            whose = None if self._own(attribution) else tenant
            scope = plan.scope(seats, user=tenant if user is None else user, tenant=whose)
            if scope is not None:
                found.append((allowance_of(plan), scope))
        for budget in self._scenario.limits:
            key = _key(budget, attribution)
            if key is not None or budget.each is None:
                found.append((budget.name or "", Scope(budget, key)))
        return tuple(found)


def _key(budget: Budget, attribution: Attribution) -> str | None:
    return None if budget.each is None else attribution.user if budget.each == "user" else attribution.tenant


def allowance_of(plan: Plan) -> str:
    """Name the limit that a plan's allowance is."""
    return f'the allowance of plan "{plan.name}"'
