"""A budget: how much may be spent in a period, and what happens when it is gone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inferkit._errors import ConfigurationError
from inferkit.budgets.ledger import Line
from inferkit.budgets.money import to_nanos
from inferkit.budgets.windows import PERIODS, Period, Window, current_window, zone_named

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Budget", "Scope"]

_MOST = 2**53  # beyond any real limit, and far from what the ledger's 64 bits can add up
_LAST_DAY = 31


@dataclass(frozen=True)
class Budget:
    """A limit in dollars, tokens or calls (any of them, at least one) for each period.

    `per` is "call" (one model call), "hour", "day", "week", "month", "year" or "total". Days and longer are calendar
    periods in the IANA time zone `zone`; a month begins on `anchor_day`, or on the last day of a shorter month.
    `name` is the account in the ledger: budgets of one name share what was spent. On a function, a budget without one
    takes the function's name. When a running stream reaches the limit, `on_exceed` decides: "raise"
    `BudgetExceeded`, or "truncate" it with the finish reason "budget".
    """

    usd: str | int | Decimal | None = None
    tokens: int | None = None
    calls: int | None = None
    per: Period = "month"
    name: str | None = None
    zone: str = "UTC"
    anchor_day: int = 1
    on_exceed: Literal["raise", "truncate"] = "raise"

    def __post_init__(self) -> None:
        if self.usd is None and self.tokens is None and self.calls is None:
            raise ConfigurationError('a budget needs a limit: usd="5.00", tokens=100_000 or calls=50')
        nanos = None if self.usd is None else to_nanos(self.usd, "a budget's usd")
        if nanos == 0:
            raise ConfigurationError("a budget of zero dollars allows nothing; give an amount, or leave usd out")
        for unit, limit in (("tokens", self.tokens), ("calls", self.calls)):
            if limit is not None and (type(limit) is not int or not 0 < limit <= _MOST):
                raise ConfigurationError(f"a budget's {unit} is a whole number above zero; got {limit!r}")
        if self.per not in PERIODS:
            raise ConfigurationError(f"a budget's period is one of {', '.join(PERIODS)}; got {self.per!r}")
        if type(self.anchor_day) is not int or not 1 <= self.anchor_day <= _LAST_DAY:
            raise ConfigurationError(f"anchor_day is a day of the month, 1 to 31; got {self.anchor_day!r}")
        if self.anchor_day != 1 and self.per != "month":
            raise ConfigurationError(f'anchor_day goes with per="month"; this budget is per {self.per}')
        if self.on_exceed not in ("raise", "truncate"):
            raise ConfigurationError(f'on_exceed is "raise" or "truncate"; got {self.on_exceed!r}')
        if self.name is not None and not _is_name(self.name):
            raise ConfigurationError(f"a budget's name is a short text without a colon; got {self.name!r}")
        zone_named(self.zone)
        object.__setattr__(self, "_nanos", nanos)

    @property
    def nanos(self) -> int | None:
        """The limit in nano-dollars."""
        nanos: int | None = self.__dict__["_nanos"]
        return nanos

    def named(self, name: str) -> Budget:
        """Give this budget, under `name` if it has no name of its own."""
        return self if self.name is not None else dataclasses.replace(self, name=name)

    def window(self, at: float) -> Window:
        """Give the period that contains the instant `at`, in seconds since the epoch."""
        return current_window(self.per, at, self.zone, self.anchor_day)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip()) and ":" not in name and name.isprintable()


@dataclass(frozen=True)
class Scope:
    """One payer of a call: a budget, and whose share of it (`key`, for example a user's id)."""

    budget: Budget
    key: str | None = None

    def __post_init__(self) -> None:
        if self.budget.name is None:
            raise ConfigurationError('a budget that is not on a function needs a name: Budget(..., name="free-tier")')
        name = self.budget.name
        object.__setattr__(self, "_account", name if self.key is None else f"{name}:{self.key}")

    @property
    def account(self) -> str:
        """The name of what pays, in the ledger and in messages."""
        account: str = self.__dict__["_account"]
        return account

    def line(self, at: float) -> Line:
        """Give what the ledger has to check and charge for a call at this instant."""
        budget = self.budget
        return Line(self.account, budget.window(at).label, budget.nanos, budget.tokens, budget.calls)
