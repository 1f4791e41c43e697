"""Policies that go by money: by what a customer's plan has left of its margin, and by what a budget has left.

Both choose between policies, and read what they go by on the request (`Standing`), where the budget layer puts it.
"""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import format_usd
from inferkit.routing.combining import Switch, as_policy
from inferkit.routing.ranking import Cheapest
from inferkit.routing.standing import BUDGETS, MARGIN, STANDING

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.routing.policy import Policy
    from inferkit.routing.standing import BudgetStanding, MarginStanding

__all__ = ["ByBudgetLeft", "ByMargin"]

_NO_TARGET = Decimal(0)


class ByMargin(Switch):
    """Takes `ample` while a customer's plan keeps its target margin, and `short` for the last of what that leaves.

    What counts is what the customer pays for the billing period that runs, and what its calls have cost in it. The
    `target` is the share of the price that is to remain ("0.7"); without one it is the plan's own `target_margin`, and
    where that says none either, the customer is not to cost more than it pays. The rest of the price may be spent, and
    the `last` share of that ("0.2": the last fifth), and what goes beyond it, is for `short`.

    `ahead` is how far a customer may be ahead of an even pace: with "0.1" a tenth of what may be spent is there at
    once, and half of it not before four tenths of the period are over; "1" lets it be spent at any time.

    Without `short` that is the cheapest. A customer of a plan without a price is served by `short`: whatever it costs
    is lost. Calls without a plan, and those of a client that keeps no ledger, are served by `unknown`.
    """

    def __init__(
        self,
        ample: Any = "ordered",
        short: Any = None,
        *,
        target: str | int | Decimal | None = None,
        last: str | int | Decimal = "0.2",
        ahead: str | int | Decimal = 1,
        unknown: Any = "ordered",
    ) -> None:
        self._target = None if target is None else _share(target, "target", "the share of the price that is to remain")
        self._first = 1 - _share(last, "last", "the part of what may be spent that goes to the other policy")
        self._ahead = _share(ahead, "ahead", "the share of what may be spent that is there at once")
        self._ample, self._short, self._unknown = as_policy(ample), _frugal(short), as_policy(unknown)
        name = f"by-margin({self._ample.name},{self._short.name})"
        super().__init__(name, (self._ample, self._short, self._unknown), frozenset({MARGIN}))

    def chosen(self, request: Request) -> Policy:
        """See `Switch`."""
        margin = _margin(request)
        if margin is None:
            return self._unknown
        return self._ample if margin.booked < self._for_ample(margin) else self._short

    def because(self, request: Request) -> str:
        """See `Switch`."""
        margin = _margin(request)
        if margin is None:
            return f"nothing is known of what this customer pays, so {self._unknown.name}"
        who = f'plan "{margin.plan}"'
        if not margin.revenue:
            return f"{who} has no price, so {self._short.name}"
        kept = f"{who} brings {format_usd(margin.revenue)}, of which {self._kept(margin):.0%} are to remain"
        limit, chosen = format_usd(self._for_ample(margin)), self.chosen(request).name
        return f"{kept}; {format_usd(margin.booked)} are booked, of {limit} for {self._ample.name} by now, so {chosen}"

    def _kept(self, margin: MarginStanding) -> Decimal:
        if self._target is not None:
            return self._target
        return _NO_TARGET if margin.target is None else margin.target

    def _for_ample(self, margin: MarginStanding) -> int:
        """Give what may have been spent by now, in nano-dollars, before the other policy applies."""
        pace = min(Decimal(1), Decimal(margin.elapsed) + self._ahead)
        return int(margin.revenue * (1 - self._kept(margin)) * pace * self._first)


class ByBudgetLeft(Switch):
    """Takes `short` for the last `share` of a budget's period ("0.2": the last fifth), and `ample` before that.

    Without `short` that is the cheapest.

    Of several budgets that pay, and of several limits of one, whichever has the least left counts; `budget` names the
    one that alone is to count. What running calls hold is used. Calls that no budget pays for are served by `ample`.
    """

    def __init__(
        self,
        share: str | int | Decimal = "0.2",
        short: Any = None,
        ample: Any = "ordered",
        *,
        budget: str | None = None,
    ) -> None:
        self._share = _share(share, "share", "the part of the budget that goes to the other policy")
        if budget is not None and not isinstance(budget, str):
            raise ConfigurationError(f"budget is the name of the budget that counts; got {budget!r}")
        self._budget = budget
        self._short, self._ample = _frugal(short), as_policy(ample)
        name = f"by-budget-left({self._short.name},{self._ample.name})"
        super().__init__(name, (self._short, self._ample), frozenset({BUDGETS}))

    def chosen(self, request: Request) -> Policy:
        """See `Switch`."""
        least = self._least(request)
        return self._ample if least is None or least.left > self._share else self._short

    def because(self, request: Request) -> str:
        """See `Switch`."""
        least = self._least(request)
        if least is None:
            whose = "no budget pays" if self._budget is None else f"no budget {self._budget} pays"
            return f"{whose} for this call, so {self._ample.name}"
        left = f"{least.left:.0%} of the {least.unit} of {least.account} are left"
        return f"{left}, the last {self._share:.0%} are for {self._short.name}, so {self.chosen(request).name}"

    def _least(self, request: Request) -> BudgetStanding | None:
        standing = STANDING.get(request)
        if standing is None:
            return None
        counting = [each for each in standing.budgets if self._budget in (None, each.budget)]
        return min(counting, key=lambda each: each.left, default=None)


def _frugal(given: Any) -> Policy:
    """Give what is to be frugal: by default the cheapest, which tries no dearer one now and then to measure it."""
    return Cheapest(explore=0.0) if given is None else as_policy(given)


def _margin(request: Request) -> MarginStanding | None:
    standing = STANDING.get(request)
    return None if standing is None else standing.margin


def _share(given: Any, name: str, what: str) -> Decimal:
    share = Decimal(-1)
    if isinstance(given, str | int | Decimal) and not isinstance(given, bool):
        with contextlib.suppress(ArithmeticError):
            share = Decimal(given)
    if not (share.is_finite() and 0 <= share <= 1):
        raise ConfigurationError(f'{name} is {what}, from 0 to 1, for example "0.2"; got {given!r}')
    return share
