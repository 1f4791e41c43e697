"""How the customer and the budgets of a call stand before it is sent: values that ride on the request, for policies.

They are looked up once a call, and only where the policy of its name says in `needs` that it goes by them, so a policy
stays a pure function and every other call pays nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.core.request import Key

if TYPE_CHECKING:
    from inferkit.ledger.amounts import Unit

__all__ = ["BUDGETS", "MARGIN", "STANDING", "BudgetStanding", "MarginStanding", "Standing"]

BUDGETS = "budgets"
"""What a policy that goes by `Standing.budgets` has in its `needs`."""

MARGIN = "margin"
"""What a policy that goes by `Standing.margin` has in its `needs`."""


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """What is left of one limit of a budget that pays for the call, in the period that runs.

    `account` is who pays ("free-tier:ana"), `budget` the budget's name. `limit` is with what was topped up and carried
    over, `used` with what running calls hold; both in `unit`, dollars as nano-dollars.
    """

    account: str
    budget: str
    unit: Unit
    limit: int
    used: int

    @property
    def left(self) -> float:
        """The share of the limit that is left, from 0 to 1."""
        return max(0.0, 1.0 - self.used / self.limit) if self.limit > 0 else 0.0


@dataclass(frozen=True, slots=True)
class MarginStanding:
    """What the customer pays and has cost in the billing period that runs, in nano-dollars.

    `revenue` is the price of the whole period; `booked` what its calls cost so far, without those that still run.
    `target` is the share of the price that the plan says is to remain, None where it says none. `elapsed` is how much
    of the period is over, from 0 to 1.
    """

    plan: str
    revenue: int
    booked: int
    target: Decimal | None
    elapsed: float

    @property
    def share(self) -> Decimal | None:
        """The share of the price that is left now; below 0 where the customer cost more. None of a free plan."""
        return Decimal(self.revenue - self.booked) / self.revenue if self.revenue else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of how a call stands: its budgets, and its customer's margin where there is a plan."""

    budgets: tuple[BudgetStanding, ...] = ()
    margin: MarginStanding | None = None


STANDING: Key[Standing] = Key("standing")
"""Where it is found on a request: `STANDING.get(request)`."""
