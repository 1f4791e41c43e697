"""Who is on which plan: assignments in the ledger, remembered for some seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from inferkit.budgets.scope import all_scopes
from inferkit.core.errors import ConfigurationError
from inferkit.core.shown import shown
from inferkit.ledger.journal import Assignment
from inferkit.plans.plan import Plan
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime, drive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

    from inferkit.budgets.budget import Budget, Remaining, Spent
    from inferkit.budgets.scope import Scope
    from inferkit.ledger.ledger import Ledger
    from inferkit.runtime.protocol import Runtime

__all__ = ["Plans", "Subscription"]

_HERE = DirectRuntime()
_REMEMBER_SECONDS = 5.0
_MOST_REMEMBERED = 10_000


class Subscription(NamedTuple):
    """A customer's plan and seats; `own` where the customer is the user alone, and not a tenant.

    Without a plan nothing is owed and nothing limited.
    """

    plan: Plan | None
    seats: int = 1
    own: bool = False


class Plans:
    """The plans on offer, and who is on which.

    A call is under the plan of its user, else of its tenant, else under `default`. Another process sees a new
    assignment within five seconds. The methods for plain code block until the ledger has answered: microseconds, unless
    another program locks it. A call's own question (`look_up`) waits through its runtime.
    With `define=False` nothing is entered in the ledger before `define` is called.
    """

    def __init__(
        self,
        plans: Iterable[Plan],
        ledger: Ledger,
        *,
        default: str | None = None,
        define: bool = True,
    ) -> None:
        given = list(plans)
        for plan in given:
            if not isinstance(plan, Plan):
                raise ConfigurationError(f'plans are Plan values: Plan("pro", price="99"); got {type(plan).__name__}')
        self._plans = {plan.name: plan for plan in given}
        if len(self._plans) != len(given):
            names = [plan.name for plan in given]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(f'two plans have the name "{twice}"; give each a name of its own')
        self._ledger = ledger
        self._default = (
            Subscription(None) if default is None else Subscription(self.named(default), self.named(default).seats)
        )
        self._changes = 0
        self._known: dict[tuple[str | None, str | None], tuple[float, Subscription]] = {}
        self._scopes: dict[tuple[str | None, str | None], tuple[Subscription, tuple[Scope, ...]]] = {}
        self._books: dict[tuple[str | None, str | None], tuple[Subscription, Scope]] = {}
        if define:
            self.define()

    def define(self) -> None:
        """Enter in the ledger, for reports, what the plans are from now on, where it is not known yet."""
        self._ledger.define({name: plan.definition() for name, plan in self._plans.items()}, at=clock.time())

    def __repr__(self) -> str:
        default = self._default.plan
        return shown(self, list(self._plans), default=None if default is None else default.name)

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the plans."""
        return iter(self._plans)

    def named(self, name: str) -> Plan:
        """Give the plan of this name. Raises `ConfigurationError` if there is none."""
        plan = self._plans.get(name)
        if plan is None:
            known = ", ".join(self._plans) or "none"
            raise ConfigurationError(f'there is no plan "{name}"; the plans are: {known}')
        return plan

    @property
    def allowances(self) -> dict[str, Budget]:
        """The allowances of all plans that limit anything, by the plans' names."""
        return {name: plan.budget for name, plan in self._plans.items() if plan.budget is not None}

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
        nothing. An assignment in the future stays until another one is made for the same instant. Raises
        `ConfigurationError` for an unknown plan, and `LedgerError`.
        """
        if (user is None) == (tenant is None):
            raise ConfigurationError("a plan is assigned to a user or to a tenant: assign(plan, user=...)")
        for name in (user, tenant):
            if name is not None and (not isinstance(name, str) or not name):
                raise ConfigurationError(f"users and tenants are texts that are not empty; got {name!r}")
        if at is not None and not (isinstance(at, int | float) and math.isfinite(at)):
            raise ConfigurationError(f"at is in seconds since the epoch, datetime.timestamp() gives them; got {at!r}")
        number = 1
        if plan is not None:
            known = self.named(plan)
            number = known.seats if seats is None else seats
            known.check_seats(number)
        drive(self._put(_HERE, Assignment(clock.time() if at is None else at, user, tenant, plan, number)))

    def of(self, *, user: str | None = None, tenant: str | None = None) -> Subscription:
        """Say which plan a call of this user and tenant is under. Raises `LedgerError`."""
        return drive(self.look_up(_HERE, user, tenant))

    def usage(self, *, user: str | None = None, tenant: str | None = None) -> Spent | None:
        """Say what was used of a customer's allowance in this period; None without one. Raises as `Budget.usage`."""
        scope = self._allowance(user, tenant)
        return None if scope is None else scope.budget.usage(scope.key, ledger=self._ledger, at=clock.time())

    def remaining(self, *, user: str | None = None, tenant: str | None = None) -> Remaining | None:
        """Say what is left of a customer's allowance in this period; None without one. Raises as `Budget.usage`."""
        scope = self._allowance(user, tenant)
        return None if scope is None else scope.budget.remaining(scope.key, ledger=self._ledger, at=clock.time())

    def top_up(
        self,
        *,
        user: str | None = None,
        tenant: str | None = None,
        usd: str | int | Decimal | None = None,
        tokens: int = 0,
        calls: int = 0,
    ) -> None:
        """Add to what a customer may use, as `Budget.top_up` does. Raises `ConfigurationError` without an allowance."""
        scope = self._allowance(user, tenant)
        if scope is None:
            raise ConfigurationError("this customer has no allowance that could be topped up")
        scope.budget.top_up(
            scope.key, ledger=self._ledger, usd=usd, tokens=tokens, calls=calls, at=clock.time()
        )  # fmt: skip

    async def look_up(
        self, runtime: Runtime, user: str | None, tenant: str | None, stated: str | None = None
    ) -> Subscription:
        """Give a customer's plan; where the application says another one (`stated`), it is assigned from now on."""
        known = self._known.get((user, tenant))
        if (
            known is not None
            and 0 < known[0] - runtime.time() <= _REMEMBER_SECONDS  # clocks are set back, too
            and (stated is None or _is(known[1], stated))
        ):
            return known[1]
        return await self._ask(runtime, user, tenant, stated)

    async def _ask(self, runtime: Runtime, user: str | None, tenant: str | None, stated: str | None) -> Subscription:
        now, changes = runtime.time(), self._changes
        found = await self._assignment(runtime, user, tenant, now)
        name = found.plan if found is not None else self._default.plan and self._default.plan.name
        if stated is not None and stated != name:
            found = self._stated(
                self.named(stated), user, tenant, now, own=found is not None and found.user is not None
            )
            await self._put(runtime, found)
            changes += 1
        subscription = self._default if found is None else self._subscription(found)
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        if changes == self._changes:  # or else somebody has assigned a plan since the ledger was asked
            self._known[user, tenant] = (now + _REMEMBER_SECONDS, subscription)
        return subscription

    def scopes(self, subscription: Subscription, user: str | None, tenant: str | None) -> tuple[Scope, ...]:
        """Give what pays under a plan. Raises `ConfigurationError` for a call that does not say whose allowance."""
        known = self._scopes.get((user, tenant))
        if known is not None and known[0] is subscription:
            return known[1]
        scope = self._scope(subscription, user, tenant)
        scopes = () if scope is None else all_scopes((scope,), user, tenant)
        if len(self._scopes) >= _MOST_REMEMBERED:
            self._scopes.clear()
        self._scopes[user, tenant] = (subscription, scopes)
        return scopes

    def books(self, subscription: Subscription, user: str | None, tenant: str | None) -> Scope | None:
        """Give the account that says what the customer of a call has cost in the billing period that runs.

        That is the allowance where it is the customer's own and for that period, or else an account without a limit,
        which counts what is charged to it. None without a plan, and for a call that names nobody.
        """
        plan = subscription.plan
        if plan is None or (user is None and tenant is None):
            return None
        known = self._books.get((user, tenant))
        if known is None or known[0] is not subscription:
            pays_alone = user is not None and (subscription.own or subscription is self._default or tenant is None)
            scope = plan.books(subscription.seats, user=user, tenant=None if pays_alone else tenant)
            if len(self._books) >= _MOST_REMEMBERED:
                self._books.clear()
            known = self._books[user, tenant] = (subscription, scope)
        return known[1]

    def _allowance(self, user: str | None, tenant: str | None) -> Scope | None:
        return self._scope(self.of(user=user, tenant=tenant), user, tenant)

    def _scope(self, subscription: Subscription, user: str | None, tenant: str | None) -> Scope | None:
        if subscription.plan is None:
            return None
        return subscription.plan.scope(subscription.seats, user=user, tenant=None if subscription.own else tenant)

    async def _put(self, runtime: Runtime, assignment: Assignment) -> None:
        await self._ledger.accounts.assign(runtime, assignment)
        self._changes += 1
        self._known.clear()

    async def _assignment(self, runtime: Runtime, user: str | None, tenant: str | None, at: float) -> Assignment | None:
        for whose in ({"user": user}, {"tenant": tenant}):
            if None not in whose.values():
                found = await self._ledger.accounts.assignment(runtime, **whose, at=at)
                if found is not None and found.plan is not None:
                    return found
        return None

    def _stated(self, plan: Plan, user: str | None, tenant: str | None, at: float, *, own: bool) -> Assignment:
        """Give the assignment of who is on a plan: the user, or the tenant whose users share it."""
        if user is None and tenant is None:
            raise ConfigurationError(f'the call says plan="{plan.name}", but not whose; pass user=... or tenant=...')
        if tenant is not None and (user is None or (plan.pooled and not own)):
            return Assignment(at, None, tenant, plan.name, plan.seats)
        return Assignment(at, user, None, plan.name, plan.seats)

    def _subscription(self, assignment: Assignment) -> Subscription:
        plan = self._plans.get(assignment.plan or "")
        if plan is None:
            who = f'user "{assignment.user}"' if assignment.user is not None else f'tenant "{assignment.tenant}"'
            raise ConfigurationError(
                f'{who} is on plan "{assignment.plan}", which is not among plans=; keep plans that customers are on'
            )
        return Subscription(plan, assignment.seats, own=assignment.user is not None)


def _is(subscription: Subscription, name: str) -> bool:
    return subscription.plan is not None and subscription.plan.name == name
