"""Replays recorded calls under a scenario: priced anew, and held to other limits in the order they were made.

It is assumed that customers ask for the same as they did, and that a refused call is not made again. A call that a
limit covers in part is cut short, and costs in proportion. Calls that were refused when they were made stay so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod
from inferkit.economics.what_if.balances import Balances, is_plain
from inferkit.economics.what_if.limits import Limit, judge
from inferkit.economics.what_if.repricing import Repricing, cost_of
from inferkit.economics.what_if.subscriptions import Subscriptions
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.journal import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.budgets.budget import Budget
    from inferkit.budgets.scope import Scope
    from inferkit.economics.what_if.limits import Note
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.ledger.journal import Attribution, Charge
    from inferkit.ledger.summary import Total
    from inferkit.plans.plan import Plan
    from inferkit.pricing.rates import Rates

__all__ = ["Effect", "Replay"]

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


class _Caller(NamedTuple):
    """Who makes calls in the scenario, and what holds them; `varies` if that is not the same all the time."""

    attribution: Attribution
    user: Customer
    is_named: bool
    is_moved: bool
    scopes: Sequence[tuple[str, Scope]]
    varies: bool


class Replay:
    """One run through the calls of a period, in the order they were entered.

    `plans` are those that the calls were made under, `assigned` who was on which. Raises `ConfigurationError` for a
    scenario that cannot be replayed.
    """

    def __init__(self, scenario: Scenario, plans: Mapping[str, Plan], assigned: Sequence[SubscriptionPeriod]) -> None:
        self.effects: dict[str, Effect] = {}
        self.users: set[Customer] = set()
        self.met: set[Customer] = set()
        self.subscriptions = Subscriptions(scenario, plans, assigned)
        self._repricing = Repricing(scenario)
        self._callers: dict[Attribution, _Caller] = {}
        self._balances = Balances()
        self._budgets = list(scenario.limits)
        for plan in self.subscriptions.limiting:
            if plan.budget is not None:
                self._check(plan.budget, f'{scenario.name}, plan "{plan.name}"')
                self._budgets.append(plan.budget)

    def _check(self, budget: Budget, what: str) -> None:
        if budget.line("", 0.0).carry is not None:
            raise ConfigurationError(
                f"{what}: a replay carries nothing over from the periods before; leave rollover out"
            )
        if budget.degrade_to is not None:
            self._repricing.check(budget.degrade_to, what)

    def begins(self, since: float) -> float:
        """Give the instant from which calls count towards limits at `since`, in seconds since the epoch."""
        return min([since, *(_window_start(budget, since) for budget in self._budgets)])

    def begin(self) -> None:
        """Begin the period: what earlier calls used of limits stays used, and nothing else of them counts."""
        self.effects.clear()
        self.users.clear()
        self.met.clear()

    def scopes(self, recorded: Attribution, at: float) -> Sequence[tuple[str, Scope]]:
        """Give what holds a call that was made so, by its name."""
        return self._held_by(recorded, at).scopes

    @property
    def is_limited(self) -> bool:
        """Whether anything may hold a call."""
        return bool(self._budgets)

    def varies(self, attribution: Attribution) -> bool:
        """Whether an allowance is of another size at another time, since the customer has other seats."""
        return self._held_by(attribution, 0.0).varies

    def _held_by(self, recorded: Attribution, at: float) -> _Caller:
        caller = self._callers.get(recorded)
        if caller is None or caller.varies:
            attribution, varies = recorded, False
            scopes: Sequence[tuple[str, Scope]] = ()
            if self.subscriptions.may_differ:
                attribution = self.subscriptions.attribution(recorded)
                scopes = self.subscriptions.limits(attribution, recorded, at)
                varies = self.subscriptions.varies(recorded)
            user = _user_of(attribution)
            caller = _Caller(attribution, user, user != _NOBODY, attribution != recorded, scopes, varies)
            self._callers[recorded] = caller
        return caller

    def take(self, scopes: Sequence[tuple[str, Scope]], at: float, usd: int, tokens: int, calls: int) -> bool:
        """Charge a call to all that holds it, if there is room for all of it."""
        if len(scopes) == 1:  # as it mostly is
            line = scopes[0][1].line(at)
            if is_plain(line):
                return self._balances.take_of(line, usd, tokens, calls)
        return self._balances.take([scope.line(at) for _, scope in scopes], Amounts(usd, tokens, calls))

    def cost(self, entry: Entry) -> int:
        """Give what a call costs as the scenario prices it."""
        return self._repricing.cost(entry.charge, entry.at)

    def rates(self, total: Total) -> Rates | None:
        """Give what prices each of these calls anew, if that is the same for all of them and nothing else matters."""
        return self._repricing.rates(total)

    def together(self, total: Total) -> Total | None:
        """Give calls that are alike as the scenario prices them; None where that asks for each of them."""
        return self._repricing.together(total)

    def moved(self, recorded: Total) -> Total:
        """Give calls that no limit stops as they would have been."""
        total = self.together(recorded)
        assert total is not None
        return self.placed(total, is_changed=total is not recorded)

    def placed(self, total: Total, *, is_changed: bool) -> Total:
        """Note who made calls that no limit stops, which are priced already, and put them on their plan."""
        caller = self._held_by(total.attribution, total.first)
        if caller.is_named:
            self.users.add(caller.user)
            if caller.is_moved or is_changed:
                self.met.add(caller.user)
        return total._replace(attribution=caller.attribution) if caller.is_moved else total

    def run(self, calls: Iterable[Entry]) -> Iterator[Entry]:
        """Give the calls as they would have been; refused ones are left out."""
        for entry in calls:
            held = self.call(entry)
            if held is not None:
                yield held

    def call(self, entry: Entry) -> Entry | None:
        """Give one call as it would have been, the same object if nothing changes; None for one that is refused."""
        held = self.charge(entry)
        if held is None or held is entry.charge:
            return None if held is None else entry
        return Entry(entry.call, entry.kind, entry.at, entry.calls, held, entry.accounts)

    def charge(self, entry: Entry) -> Charge | None:
        """Give what one call would have cost, the same object if nothing changes; None for one that is refused."""
        recorded = entry.charge
        caller = self._held_by(recorded.attribution, entry.at)
        charge = self._repricing(recorded, entry.at)
        if caller.is_moved:
            charge = charge._replace(attribution=caller.attribution)
        held = self._held(charge, caller, entry) if caller.scopes else charge
        if caller.is_named:
            self.users.add(caller.user)
            if held is not recorded:
                self.met.add(caller.user)
        return held

    def _held(self, charge: Charge, caller: _Caller, entry: Entry) -> Charge | None:
        """Hold a call to all limits, and note what they do to it and what it uses of them."""
        scopes, user, at = caller.scopes, caller.user, entry.at
        if self.take(scopes, at, cost_of(charge), charge.tokens, entry.calls):
            return charge
        lines = [scope.line(at) for _, scope in scopes]
        limits = [
            Limit(name, self._balances.room(line), scope.budget.degrade_to)
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
            self._balances.charge(lines, Amounts(cost_of(held), held.tokens, entry.calls))
        return held


def _user_of(attribution: Attribution) -> Customer:
    return Customer(user=attribution.user) if attribution.user is not None else Customer(tenant=attribution.tenant)


def _window_start(budget: Budget, at: float) -> float:
    if budget.per == "call":
        return at
    if isinstance(budget.per, timedelta):
        return at - budget.per.total_seconds() * 1.05  # with the part of it that counts a sixtieth too long
    start = budget.window(at).start
    return 0.0 if start is None else start.timestamp()
