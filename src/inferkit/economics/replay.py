"""Replays recorded calls under a scenario: priced anew, and held to other limits in the order they were made.

It is assumed that customers ask for the same as they did, and that a refused call is not made again. A call that a
limit covers in part is cut short, and costs in proportion. Calls that were refused when they were made stay so.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from inferkit._errors import ConfigurationError
from inferkit.budgets.budget import Scope
from inferkit.budgets.ledger import Amounts
from inferkit.economics.accounts import Accounts
from inferkit.economics.limits import Limit, judge
from inferkit.economics.repricing import Repricing, cost_of
from inferkit.economics.revenue import Customer, Stay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.budgets.book import Charge, Entry, Payer
    from inferkit.budgets.budget import Budget
    from inferkit.budgets.plan import Plan
    from inferkit.economics.limits import Note
    from inferkit.economics.scenario import Scenario

__all__ = ["Effect", "Replay", "allowance_of"]

_MOST_REMEMBERED = 10_000
_NOBODY = Customer()


@dataclass(slots=True)
class Effect:
    """What a limit did: calls `refused`, `cut` short and taken to a smaller model (`degraded`).

    `users` are those whom it refused a call, `saved` the nano-dollars that all of this saved.
    """

    refused: int = 0
    cut: int = 0
    degraded: int = 0
    saved: int = 0
    users: set[Customer] = field(default_factory=set)

    def add(self, note: Note, calls: int) -> None:
        """Count what was done to so many calls."""
        setattr(self, note.did, getattr(self, note.did) + calls)
        self.saved += note.saved


class Replay:
    """One run through the calls of a period, in the order they were entered.

    `plans` are those that the calls were made under, `assigned` who was on which. Raises `ConfigurationError` for a
    scenario that cannot be replayed.
    """

    def __init__(self, scenario: Scenario, plans: Mapping[str, Plan], assigned: Sequence[Stay]) -> None:
        self.plans = {**plans, **scenario.plans}
        self.effects: dict[str, Effect] = {}
        self.users: set[Customer] = set()
        self._scenario = scenario
        self._repricing = Repricing(scenario)
        self._accounts = Accounts()
        self._scope = functools.lru_cache(maxsize=_MOST_REMEMBERED)(self._scope_of_plan)
        self._seats: dict[Customer, list[tuple[float, int]]] = defaultdict(list)
        for stay in assigned:
            self._seats[stay.customer].append((stay.start, stay.seats))
        self._check()

    def _check(self) -> None:
        scenario = self._scenario
        moved_to = {*scenario.users.values(), *scenario.tenants.values()} | {scenario.default_plan or ""} - {""}
        for name in sorted(moved_to - self.plans.keys()):
            raise ConfigurationError(f'{scenario.name} puts customers on plan "{name}", which is not defined')
        self._budgets = list(scenario.limits)
        for name in sorted(moved_to | scenario.plans.keys()):
            budget, what = self.plans[name].budget, f'{scenario.name}, plan "{name}"'
            if budget is None:
                continue
            if budget.line("", 0.0).carry is not None:
                raise ConfigurationError(
                    f"{what}: a replay carries nothing over from the periods before; leave rollover out"
                )
            if budget.degrade_to is not None:
                self._repricing.check(budget.degrade_to, what)
            self._budgets.append(budget)

    def begins(self, since: float) -> float:
        """Give the instant from which calls count towards limits at `since`, in seconds since the epoch."""
        return min([since, *(_window_start(budget, since) for budget in self._budgets)])

    def stays(self, assigned: Iterable[Stay]) -> list[Stay]:
        """Put customers on the plans that the scenario says."""
        return [stay._replace(plan=self._moved(stay.customer) or stay.plan) for stay in assigned]

    def lead_in(self, earlier: Iterable[Entry]) -> None:
        """Use what calls before the period used of the limits that it begins in the middle of."""
        for _ in self.run(earlier):
            pass
        self.effects.clear()
        self.users.clear()

    def run(self, calls: Iterable[Entry]) -> Iterator[Entry]:
        """Give the calls as they would have been; refused ones are left out."""
        for entry in calls:
            payer = self._payer(entry.charge.payer)
            user = Customer(user=payer.user) if payer.user is not None else Customer(tenant=payer.tenant)
            if user != _NOBODY:
                self.users.add(user)
            charge = self._repricing(entry.charge, entry.at)._replace(payer=payer)
            scopes = list(self._scopes(payer, entry.charge.payer.plan, entry.at))
            held = self._held(charge, scopes, entry, user) if scopes else charge
            if held is not None:
                yield dataclasses.replace(entry, charge=held)

    def _payer(self, payer: Payer) -> Payer:
        user, tenant = Customer(user=payer.user), Customer(tenant=payer.tenant)
        plan = self._moved(user)
        if plan is None and user not in self._seats:  # a user's own plan comes before the tenant's
            plan = self._moved(tenant)
        plan = plan or payer.plan
        if plan is None and (payer.user is not None or payer.tenant is not None):
            plan = self._scenario.default_plan
        return payer._replace(plan=plan)

    def _moved(self, customer: Customer) -> str | None:
        if customer.user is not None:
            return self._scenario.users.get(customer.user)
        return None if customer.tenant is None else self._scenario.tenants.get(customer.tenant)

    def _scopes(self, payer: Payer, recorded_plan: str | None, at: float) -> Iterator[tuple[str, Scope]]:
        """Give the allowance of a plan that the scenario defines or moves the customer to, and the scenario's limits.

        What is divided by users or tenants holds no call that names none.
        """
        user, tenant, _, name = payer
        if name is not None and (name in self._scenario.plans or name != recorded_plan):
            plan = self.plans[name]
            customer = Customer(tenant=tenant) if plan.pooled and tenant is not None else Customer(user=user)
            scope = self._scope(name, self._seats_of(customer, at, plan), user, tenant)
            if scope is not None:
                yield allowance_of(plan), scope
        for budget in self._scenario.limits:
            key = None if budget.each is None else user if budget.each == "user" else tenant
            if budget.each is None or key is not None:
                yield budget.name or "", Scope(budget, key)

    def _scope_of_plan(self, name: str, seats: int, user: str | None, tenant: str | None) -> Scope | None:
        key = user if user is not None else tenant
        return None if key is None else self.plans[name].scope(seats, user=key, tenant=tenant)

    def _seats_of(self, customer: Customer, at: float, plan: Plan) -> int:
        known = self._seats.get(customer)
        if not known:
            return plan.seats
        return known[max(0, bisect.bisect(known, at, key=lambda each: each[0]) - 1)][1]

    def _held(self, charge: Charge, scopes: Sequence[tuple[str, Scope]], entry: Entry, user: Customer) -> Charge | None:
        """Hold a call to all limits, and note what they do to it and what it uses of them."""
        lines = [scope.line(entry.at) for _, scope in scopes]
        limits = [
            Limit(name, self._accounts.room(line), scope.budget.degrade_to)
            for (name, scope), line in zip(scopes, lines, strict=True)
        ]
        held, notes = judge(
            charge, entry.calls, limits, lambda target, whole: self._repricing.on(target, whole, entry.at)
        )
        for note in notes:
            effect = self.effects.setdefault(note.limit, Effect())
            effect.add(note, entry.calls)
            if note.did == "refused" and user != _NOBODY:
                effect.users.add(user)
        if held is not None:
            self._accounts.charge(lines, Amounts(cost_of(held), held.tokens, entry.calls))
        return held


def allowance_of(plan: Plan) -> str:
    """Name the limit that a plan's allowance is."""
    return f'the allowance of plan "{plan.name}"'


def _window_start(budget: Budget, at: float) -> float:
    if budget.per == "call":
        return at
    if isinstance(budget.per, timedelta):
        return at - budget.per.total_seconds() * 1.05  # with the part of it that counts a sixtieth too long
    start = budget.window(at).start
    return 0.0 if start is None else start.timestamp()
