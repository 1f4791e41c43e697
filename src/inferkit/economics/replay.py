"""Replays recorded calls under a scenario: priced anew, refused or cut short where they pass a limit.

It is assumed that customers ask for the same as they did, and that a refused call is not made again.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from inferkit._errors import ConfigurationError
from inferkit._types import Usage
from inferkit.budgets.scope import Scope
from inferkit.economics.calls import name_of
from inferkit.economics.revenue import Customer, Stay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.budgets.book import Charge, Entry, Part, Payer
    from inferkit.budgets.plan import Plan
    from inferkit.economics.scenario import Scenario

__all__ = ["Effect", "Replay"]


@dataclass(slots=True)
class Effect:
    """What a limit did: calls `refused` and `cut` short, the users it refused, and the nano-dollars it saved."""

    refused: int = 0
    cut: int = 0
    saved: int = 0
    users: set[Customer] = field(default_factory=set)


class _Used(NamedTuple):
    usd: int = 0
    tokens: int = 0
    calls: int = 0


class Replay:
    """One run through the calls of a period, in the order they were made.

    `plans` are those that the calls were made under, `assigned` who was on which, `period` the first and the last
    instant in seconds since the epoch.
    """

    def __init__(
        self, scenario: Scenario, plans: Mapping[str, Plan], assigned: Sequence[Stay], period: tuple[float, float]
    ) -> None:
        self._scenario = scenario
        self._period = period
        self._book = scenario.book()
        self.plans = {**plans, **scenario.plans}
        for name in (*scenario.users.values(), *scenario.tenants.values(), scenario.default_plan):
            if name is not None and name not in self.plans:
                raise ConfigurationError(f'{scenario.name} puts customers on plan "{name}", which is not defined')
        self._seats: dict[Customer, list[tuple[float, int]]] = defaultdict(list)
        for stay in assigned:
            self._seats[stay.customer].append((stay.start, stay.seats))
        self._used: dict[str, dict[str, _Used]] = defaultdict(dict)
        self.effects: dict[str, Effect] = {}
        self.users: set[Customer] = set()

    def stays(self, assigned: Iterable[Stay]) -> list[Stay]:
        """Put customers on the plans that the scenario says."""
        users, tenants = self._scenario.users, self._scenario.tenants
        return [
            stay._replace(
                plan=users.get(stay.customer.user or "") or tenants.get(stay.customer.tenant or "") or stay.plan
            )
            for stay in assigned
        ]

    def run(self, calls: Iterable[Entry]) -> Iterator[Entry]:
        """Give the calls as they would have been; refused ones are left out."""
        for entry in calls:
            payer = self._payer(entry.charge.payer)
            self.users.add(_user(payer))
            charge = self._priced(entry.charge)._replace(payer=payer)
            allowed = self._allowed(charge, entry.at, entry.calls)
            if allowed is not None:
                yield dataclasses.replace(entry, charge=allowed)

    def _payer(self, payer: Payer) -> Payer:
        scenario = self._scenario
        plan = scenario.users.get(payer.user or "") or scenario.tenants.get(payer.tenant or "") or payer.plan
        return payer._replace(plan=plan or scenario.default_plan)

    def _priced(self, charge: Charge) -> Charge:
        if charge.parts:
            parts = tuple(self._part_priced(part) for part in charge.parts)
            known = [part.usd for part in parts if part.usd is not None]
            return charge._replace(parts=parts, usd=sum(known) if len(known) == len(parts) else charge.usd)
        priced = self._repriced(charge.provider, charge.model, charge, charge.usd)
        if priced is None:
            return charge
        provider, model, usd = priced
        saved = charge.routing_saved if model == charge.model else 0
        return charge._replace(provider=provider, model=model, usd=usd, routing_saved=saved)

    def _part_priced(self, part: Part) -> Part:
        priced = self._repriced(part.provider, part.model, part, part.usd)
        if priced is None:
            return part
        provider, model, usd = priced
        return part._replace(provider=provider, model=model, usd=usd)

    def _repriced(
        self, provider: str | None, model: str | None, used: Charge | Part, usd: int | None
    ) -> tuple[str, str, int] | None:
        """Give an attempt's new provider, model and cost, if its model is rerouted or has another price."""
        name = name_of(provider, model)
        if name is None or not (usd or provider == "local"):  # not known what it was, or nothing was billed
            return None
        other = self._scenario.reroute.get(name)
        if other is None and not {name, model, f"{provider}:*"} & self._scenario.prices.keys():
            return None
        new_provider, _, new_model = (other or name).partition(":")
        usage = Usage(
            used.input_tokens,
            used.output_tokens,
            used.cache_read_tokens,
            used.cache_write_tokens,
            used.reasoning_tokens,
        )
        return new_provider, new_model, self._book.price(new_provider, new_model).cost(usage)

    def _allowed(self, charge: Charge, at: float, calls: int) -> Charge | None:
        """Hold a call to all limits: give it as it was, cut short, or None where it is refused."""
        scopes = [(name, scope) for name, scope in self._scopes(charge, at) if scope is not None]
        cost = left = charge.usd or 0
        cutter = None
        for name, scope in scopes:
            line = scope.line(at)
            used = self._used_in(line.account, line.window, line.since)
            room = None if line.usd is None else line.usd + line.grace.usd - used.usd
            full = (
                (room is not None and room <= 0 < cost)
                or (line.tokens is not None and used.tokens >= line.tokens + line.grace.tokens)
                or (line.calls is not None and used.calls + calls > line.calls + line.grace.calls)
            )
            if full:
                effect = self.effects.setdefault(name, Effect())
                effect.refused += calls
                effect.saved += cost
                effect.users.add(_user(charge.payer))
                return None
            if room is not None and room < left:
                left, cutter = room, name
        if cutter is not None:
            effect = self.effects.setdefault(cutter, Effect())
            effect.cut += calls
            effect.saved += cost - left
            charge = charge._replace(
                usd=left, output_tokens=charge.output_tokens * left // cost, finish_reason="budget", parts=()
            )
        for _, scope in scopes:
            line = scope.line(at)
            before = self._used[line.account].get(line.window, _Used())
            self._used[line.account][line.window] = _Used(
                before.usd + (charge.usd or 0), before.tokens + charge.tokens, before.calls + calls
            )
        return charge

    def _scopes(self, charge: Charge, at: float) -> Iterator[tuple[str, Scope | None]]:
        payer = charge.payer
        plan = self._scenario.plans.get(payer.plan or "")
        if plan is not None and (payer.user is not None or payer.tenant is not None):
            customer = Customer(tenant=payer.tenant) if plan.pooled and payer.tenant else Customer(user=payer.user)
            yield (
                f'the allowance of plan "{plan.name}"',
                plan.scope(self._seats_of(customer, at, plan), user=payer.user or payer.tenant, tenant=payer.tenant),
            )
        for budget in self._scenario.limits:
            key = None if budget.each is None else payer.user if budget.each == "user" else payer.tenant
            if budget.each is None or key is not None:
                yield budget.name or "", Scope(budget, key)

    def _seats_of(self, customer: Customer, at: float, plan: Plan) -> int:
        known = self._seats.get(customer)
        if not known:
            return plan.seats
        index = bisect.bisect_right(known, (at, 10**9)) - 1
        return known[max(0, index)][1]

    def _used_in(self, account: str, window: str, since: str | None) -> _Used:
        windows = self._used[account]
        if since is None:
            return windows.get(window, _Used())
        found = [used for label, used in windows.items() if since <= label]
        return _Used(*(sum(used[unit] for used in found) for unit in range(3)))


def _user(payer: Payer) -> Customer:
    return Customer(user=payer.user) if payer.user is not None else Customer(tenant=payer.tenant)
