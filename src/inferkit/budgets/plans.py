"""Who is on which plan: assignments in the ledger, remembered for some seconds."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, NamedTuple

from inferkit._errors import ConfigurationError
from inferkit.budgets.book import Assignment
from inferkit.budgets.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inferkit.budgets.budget import Budget, Scope
    from inferkit.budgets.ledger import Ledger

__all__ = ["Plans", "Standing"]

_REMEMBER_SECONDS = 5.0
_MOST_REMEMBERED = 10_000


class Standing(NamedTuple):
    """A customer's plan and seats. Without a plan nothing is owed and nothing limited."""

    plan: Plan | None
    seats: int = 1


class Plans:
    """The plans on offer, and who is on which.

    A call is under the plan of its user, else of its tenant, else under `default`. Another process sees a new
    assignment within five seconds.
    """

    def __init__(
        self,
        plans: Iterable[Plan],
        ledger: Ledger,
        *,
        default: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = list(plans)
        for plan in given:
            if not isinstance(plan, Plan):
                raise ConfigurationError(f'plans are Plan values: Plan("pro", price="99"); got {type(plan).__name__}')
        self._plans = {plan.name: plan for plan in given}
        if len(self._plans) != len(given):
            raise ConfigurationError("two plans have the same name")
        self._ledger = ledger
        self._clock = clock
        self._default = Standing(None) if default is None else Standing(self.named(default), self.named(default).seats)
        self._known: dict[tuple[str | None, str | None], tuple[float, Standing]] = {}
        self._scope = functools.lru_cache(maxsize=_MOST_REMEMBERED)(_scope)
        ledger.define({plan.name: plan.definition() for plan in given}, at=clock())

    def named(self, name: str) -> Plan:
        """Give the plan of this name. Raises `ConfigurationError` if there is none."""
        plan = self._plans.get(name)
        if plan is None:
            known = ", ".join(self._plans) or "none"
            raise ConfigurationError(f'there is no plan "{name}"; the plans are: {known}')
        return plan

    @property
    def allowances(self) -> list[Budget]:
        """The allowances of all plans that limit anything."""
        return [plan.budget for plan in self._plans.values() if plan.budget is not None]

    def assign(
        self,
        plan: str | None,
        *,
        user: str | None = None,
        tenant: str | None = None,
        seats: int | None = None,
        at: float | None = None,
    ) -> None:
        """Put a user or a tenant on a plan from `at` on (seconds since the epoch; default: now); None ends it.

        `seats` is how many the customer pays for (default: what the plan says). Saying what is so already changes
        nothing. Raises `ConfigurationError` for an unknown plan, and `LedgerError`.
        """
        if (user is None) == (tenant is None):
            raise ConfigurationError("a plan is assigned to a user or to a tenant: assign(plan, user=...)")
        number = 1
        if plan is not None:
            known = self.named(plan)
            number = known.seats if seats is None else seats
            known.check_seats(number)
        self._ledger.assign(Assignment(self._clock() if at is None else at, user, tenant, plan, number))
        self._known.clear()

    def of(self, *, user: str | None = None, tenant: str | None = None) -> Standing:
        """Say which plan a call of this user and tenant is under. Raises `LedgerError`."""
        return self.remembered(user, tenant) or self.look_up(user, tenant)

    def remembered(self, user: str | None, tenant: str | None) -> Standing | None:
        """Give a customer's plan if it was looked up just now."""
        known = self._known.get((user, tenant))
        return known[1] if known is not None and self._clock() < known[0] else None

    def look_up(self, user: str | None, tenant: str | None, *, wait: bool = True) -> Standing:
        """Ask the ledger for a customer's plan."""
        now = self._clock()
        found = None
        if user is not None:
            found = self._assigned(self._ledger.assignment(user=user, at=now, wait=wait))
        if found is None and tenant is not None:
            found = self._assigned(self._ledger.assignment(tenant=tenant, at=now, wait=wait))
        standing = found or self._default
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[user, tenant] = (now + _REMEMBER_SECONDS, standing)
        return standing

    def follow(self, plan: str, user: str | None, tenant: str | None, *, wait: bool = True) -> Standing:
        """Put a customer on the plan that the application says, and give the new standing."""
        if user is None and tenant is None:
            raise ConfigurationError(f'the call says plan="{plan}", but not whose it is; pass user=... or tenant=...')
        known = self.named(plan)
        assignment = Assignment(self._clock(), user, None if user is not None else tenant, plan, known.seats)
        self._ledger.assign(assignment, wait=wait)
        self._known.pop((user, tenant), None)
        return self.look_up(user, tenant, wait=wait)

    def scope(self, standing: Standing, user: str | None, tenant: str | None) -> Scope | None:
        """Give what pays under a plan. Raises `ConfigurationError` for a call that does not say whose allowance."""
        return None if standing.plan is None else self._scope(standing, user, tenant)

    def _assigned(self, assignment: Assignment | None) -> Standing | None:
        if assignment is None or assignment.plan is None:
            return None
        plan = self._plans.get(assignment.plan)
        if plan is None:
            who = f'user "{assignment.user}"' if assignment.user is not None else f'tenant "{assignment.tenant}"'
            raise ConfigurationError(
                f'{who} is on plan "{assignment.plan}", which is not among plans=; keep plans that customers are on'
            )
        return Standing(plan, assignment.seats)


def _scope(standing: Standing, user: str | None, tenant: str | None) -> Scope | None:
    assert standing.plan is not None
    return standing.plan.scope(standing.seats, user=user, tenant=tenant)
