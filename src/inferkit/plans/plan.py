"""What customers pay, and what they may use for it: the unit economics of an offer."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from inferkit.budgets.budget import Budget
from inferkit.budgets.limits import MOST
from inferkit.budgets.scope import Scope
from inferkit.budgets.windows import zone_named
from inferkit.core.errors import ConfigurationError
from inferkit.core.money import NANOS_PER_USD, to_nanos, to_usd
from inferkit.core.shown import fields_shown, html_of, table_html

if TYPE_CHECKING:
    from inferkit.budgets.limits import Share

__all__ = ["Billing", "Plan"]

Billing = Literal["day", "week", "month", "year"]
_MOST_SEATS = 1_000_000
_OWN, _POOLED = "allowance", "pooled-allowance"  # accounts: a user and a tenant may have the same id
_BOOKED, _BOOKED_BY_TENANT = "booked", "booked-by-tenant"
_NOT_IN_ALLOWANCES = {"name", "each", "within", "on_threshold"}


@dataclass(frozen=True, repr=False)
class Plan:
    """An offer: its `price` in dollars for each `per`, and the `allowance` that each customer has for it.

    With `per_seat` the price is for each seat. `seats` is how many a customer has whose assignment names none. The
    allowance is a `Budget` for each user, or with `pooled` one of `seats` times that size, which all users of a tenant
    share. Where only a `target_margin` is given ("0.7": seven tenths of the price are to remain), the allowance is what
    the rest of the price buys, in equal parts for the seats. "unlimited" is an allowance too, if it is said.

    A customer who changes plans in the middle of a period takes along what was used of it, where both allowances are
    for the same period, and both are pooled or both are not.

    Raises `ConfigurationError` for a plan that makes no sense, or that limits nothing without saying so.
    """

    name: str
    price: str | int | Decimal = 0
    per: Billing = "month"
    per_seat: bool = False
    seats: int = 1
    allowance: Budget | Literal["unlimited"] | None = None
    pooled: bool = False
    target_margin: Share | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise ConfigurationError(f'a plan has a name, for example "pro"; got {self.name!r}')
        price = to_nanos(self.price, f'the price of plan "{self.name}"')
        if self.per not in get_args(Billing):
            raise ConfigurationError(
                f'plan "{self.name}" is paid for each {", ".join(get_args(Billing))}; got {self.per!r}'
            )
        zone_named(self.zone)
        for flag in ("per_seat", "pooled"):
            if not isinstance(getattr(self, flag), bool):
                raise ConfigurationError(
                    f'{flag} of plan "{self.name}" is true or false, without quotes; got {getattr(self, flag)!r}'
                )
        object.__setattr__(self, "_fixed", (price, self._margin(), self._checked_allowance()))
        self.check_seats(self.seats)

    def __repr__(self) -> str:
        """Write it as whoever makes it would."""
        return fields_shown(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        allowance = self.budget
        limits = () if allowance is None else ((unit, getattr(allowance, unit)) for unit in ("usd", "tokens", "calls"))
        seats = f" for each of {self.seats} seats" if self.per_seat else ""
        rows = [("price", f"{to_usd(self.price_nanos)} dollars per {self.per}{seats}")]
        rows += [(f"allowance, {unit}", f"{limit} {allowance.period}") for unit, limit in limits if limit and allowance]
        rows += [("allowance", "unlimited")] if allowance is None else []
        rows += [("allowance is", "shared by all users of a tenant")] if self.pooled else []
        rows += [] if self.margin is None else [("target margin", f"{self.margin:.1%}")]
        return html_of(f"Plan {self.name}", table_html(rows))

    def check_seats(self, seats: int) -> None:
        """Raise `ConfigurationError` for what cannot be a number of seats."""
        if type(seats) is not int or not 1 <= seats <= _MOST_SEATS:
            raise ConfigurationError(f'plan "{self.name}" is sold for a whole number of seats from 1; got {seats!r}')
        self.allowance_for(seats)

    def _margin(self) -> int | None:
        if self.target_margin is None:
            return None
        billionths = to_nanos(self.target_margin, f'target_margin of plan "{self.name}"')
        if billionths >= NANOS_PER_USD:
            raise ConfigurationError(
                f'target_margin of plan "{self.name}" is the share of the price that is to remain, for example "0.7"; '
                f"got {self.target_margin!r}"
            )
        return billionths

    def _checked_allowance(self) -> Budget | None:
        given = self.allowance
        if given is None or given == "unlimited":
            return None
        if not isinstance(given, Budget):
            raise ConfigurationError(
                f'the allowance of plan "{self.name}" is a Budget or "unlimited"; got {type(given).__name__}'
            )
        if given.each is not None:
            raise ConfigurationError(
                f"the allowance of plan \"{self.name}\" is each user's, or everybody's with pooled=True; "
                "leave each= out of it"
            )
        if given.name is not None:
            raise ConfigurationError(
                f'the allowance of plan "{self.name}" is counted under one name in all plans, so that a customer who '
                "changes plans takes along what was used; leave name= out of it"
            )
        return given.named(_OWN)

    @property
    def price_nanos(self) -> int:
        """The price in nano-dollars, of one seat where it is per seat."""
        return cast("int", self.__dict__["_fixed"][0])

    @property
    def margin(self) -> Decimal | None:
        """The share of the price that is to remain."""
        billionths: int | None = self.__dict__["_fixed"][1]
        return None if billionths is None else Decimal(billionths).scaleb(-9)

    @property
    def budget(self) -> Budget | None:
        """The allowance of a customer whose assignment names no seats; None where it is unlimited."""
        return self.allowance_for(self.seats)

    def allowance_for(self, seats: int) -> Budget | None:
        """Give the allowance of each user, or with `pooled` of all together; None where it is unlimited."""
        budget: Budget | None = self.__dict__["_fixed"][2]
        if budget is not None:
            return _times(budget, seats) if self.pooled else budget
        if self.allowance == "unlimited":
            return None
        margin: int | None = self.__dict__["_fixed"][1]
        if margin is None or self.price_nanos == 0:
            raise ConfigurationError(
                f'plan "{self.name}" limits nothing; give it an allowance=Budget(usd="5"), a price and a '
                'target_margin="0.7", or allowance="unlimited"'
            )
        rest = self.revenue(seats) * (NANOS_PER_USD - margin) // NANOS_PER_USD // (1 if self.pooled else seats)
        if rest == 0:
            raise ConfigurationError(
                f'the target_margin of plan "{self.name}" leaves nothing for {seats} seats; raise its price'
            )
        return Budget(usd=to_usd(rest), per=self.per, zone=self.zone, name=_OWN)

    def scope(self, seats: int, *, user: str | None, tenant: str | None) -> Scope | None:
        """Give what pays for a call of a customer: None where the plan is unlimited.

        A user whose plan is not a tenant's is the customer alone: leave `tenant` out. Raises `ConfigurationError` for a
        call that does not say whose allowance it is to use.
        """
        budget = self.allowance_for(seats)
        if budget is None:
            return None
        if self.pooled and tenant is not None:
            return Scope(dataclasses.replace(budget, name=_POOLED), tenant)
        if user is None:
            raise ConfigurationError(
                f'plan "{self.name}" has an allowance for each {"tenant or user" if self.pooled else "user"}, and the '
                f"call names none; pass user=... with the call{' or tenant=...' if self.pooled else ''} (calls of your "
                'own too: put user="internal" on a plan with allowance="unlimited")'
            )
        return Scope(budget, user)

    def books(self, seats: int, *, user: str | None, tenant: str | None) -> Scope:
        """Give the account of what a customer costs in a billing period: the tenant, or without one the user.

        It is the allowance where that is the customer's own, and for this period; or else one that has no limit.
        """
        budget = self.allowance_for(seats)
        is_own = tenant is None or self.pooled
        if budget is not None and is_own and (budget.per, budget.zone, budget.anchor_day) == (self.per, self.zone, 1):
            scope = self.scope(seats, user=user, tenant=tenant)
            assert scope is not None
            return scope
        name, key = (_BOOKED, user) if tenant is None else (_BOOKED_BY_TENANT, tenant)
        return Scope(Budget(calls=MOST, per=self.per, zone=self.zone, name=name), key)

    def revenue(self, seats: int) -> int:
        """What a customer pays for a whole period, in nano-dollars."""
        return self.price_nanos * (seats if self.per_seat else 1)

    def definition(self) -> str:
        """Write the plan down as JSON, as a file says it, without `within` and `on_threshold` of its allowance."""
        fields = _plain(self, {"name", "allowance"})
        if isinstance(self.allowance, Budget):
            fields["allowance"] = _plain(self.allowance, _NOT_IN_ALLOWANCES)
        elif self.allowance is not None:
            fields["allowance"] = self.allowance
        return json.dumps(fields, sort_keys=True)


def _plain(thing: Plan | Budget, without: set[str]) -> dict[str, Any]:
    """Give the fields that differ from their defaults, as JSON has them."""
    plain = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if field.name not in without and value != field.default and value is not None:
            plain[field.name] = _text(value)
    return plain


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_text(each) for each in value]
    if isinstance(value, timedelta):
        return {"seconds": int(value.total_seconds())}
    return str(value) if isinstance(value, Decimal) else value


def _times(budget: Budget, seats: int) -> Budget:
    if seats == 1:
        return budget
    return dataclasses.replace(
        budget,
        usd=None if budget.nanos is None else to_usd(budget.nanos * seats),
        tokens=None if budget.tokens is None else budget.tokens * seats,
        calls=None if budget.calls is None else budget.calls * seats,
    )
