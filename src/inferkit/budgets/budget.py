"""A budget: how much may be spent in a period, and what happens when it is gone."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inferkit._errors import ConfigurationError
from inferkit.budgets.ledger import NOTHING, Amounts, Line
from inferkit.budgets.money import to_nanos, to_usd
from inferkit.budgets.windows import (
    PERIODS,
    Period,
    Window,
    current_window,
    rolling_window,
    window_before,
    zone_named,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from inferkit.budgets.ledger import Ledger

__all__ = ["Budget", "Remaining", "Scope", "Spent", "Threshold", "all_scopes"]

Share = str | int | Decimal
_MOST = 2**53  # beyond any real limit, and far from what the ledger's 64 bits can add up
_LAST_DAY = 31
_THOUSAND = 1000
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=3653)


class Threshold(NamedTuple):
    """A budget's account has used this `share` of its limit; told once a period. `used` and `limit` are in `unit`."""

    scope: str
    share: Decimal
    unit: str
    used: Decimal
    limit: Decimal


class Spent(NamedTuple):
    """What was spent from a budget in a period. `held` amounts belong to running calls and may come back."""

    usd: Decimal
    tokens: int
    calls: int
    held_usd: Decimal
    held_tokens: int
    held_calls: int


class Remaining(NamedTuple):
    """What a budget has left, in each unit that it limits, and when its period ends (None: never, or it rolls)."""

    usd: Decimal | None
    tokens: int | None
    calls: int | None
    resets_at: datetime | None


@dataclass(frozen=True)
class Budget:
    """A limit in dollars, tokens or calls (any of them, at least one) for each period.

    `per` is "call" (one model call), "hour", "day", "week", "month", "year", "total", or a `timedelta` for a rolling
    window of that length, in whole seconds from a minute to ten years. Days and longer are calendar periods in the IANA
    time zone `zone`; a month begins on `anchor_day`, or on the last day of a shorter month.

    `name` is the account in the ledger: budgets of one name share what was spent. On a function, a budget without one
    takes the function's name. `each` divides a budget by the `user` or the `tenant` that a call names: each has the
    whole limit. `within` is a larger budget that pays too: a user's within a team's within the company's.

    `warn_at` are shares of the limit ("0.8"), each told once a period, after the call that passed it, as an event of
    the trace and to `on_threshold`, a plain function, which may start a task. `grace` is the share of the limit that
    may be used beyond it ("0.1"), `rollover` the share of a limit that may be carried, unused, into the next period
    ("1" for all of it).

    `on_exceed` says what happens when the limit is reached. "raise": calls are refused with `BudgetExceeded`, and a
    running stream is cut with it. "truncate": a running stream ends with the finish reason "budget". "degrade": calls
    go to `degrade_to`, an alias or "provider:model", for example "local"; there they are held to what is left of the
    money, and to no other limit of this budget. A running stream ends as with "truncate".
    """

    usd: str | int | Decimal | None = None
    tokens: int | None = None
    calls: int | None = None
    per: Period | timedelta = "month"
    name: str | None = None
    zone: str = "UTC"
    anchor_day: int = 1
    on_exceed: Literal["raise", "truncate", "degrade"] = "raise"
    degrade_to: str | None = None
    each: Literal["user", "tenant"] | None = None
    within: Budget | None = None
    warn_at: Share | Sequence[Share] = ()
    on_threshold: Callable[[Threshold], object] | None = field(default=None, compare=False, repr=False)
    grace: Share = 0
    rollover: Share = 0

    def __post_init__(self) -> None:
        limits = self._checked_limits()
        self._check_period()
        self._check_choices()
        one = not isinstance(self.warn_at, Sequence) or isinstance(self.warn_at, str)
        given: tuple[Any, ...] = (self.warn_at,) if one else tuple(self.warn_at)  # type: ignore[arg-type]
        object.__setattr__(self, "warn_at", given)  # hashable, as a frozen dataclass is
        warn_at = tuple(sorted({_share(share, "warn_at", lowest=1) for share in given}))
        grace = _shares_of(limits, _share(self.grace, "grace"))
        rollover = _share(self.rollover, "rollover", highest=_THOUSAND)
        if rollover and (self.per in ("call", "total") or isinstance(self.per, timedelta)):
            raise ConfigurationError(f"a budget {self.period} has no next period to roll over into; leave rollover out")
        if self.per == "call" and (warn_at or any(grace)):
            raise ConfigurationError("a budget per call keeps no account; warn_at and grace are for those of a period")
        carry = _shares_of(limits, rollover) if rollover else None
        object.__setattr__(self, "_fixed", (*limits, grace, carry, warn_at))

    def _checked_limits(self) -> tuple[int | None, int | None, int | None]:
        if self.usd is None and self.tokens is None and self.calls is None:
            raise ConfigurationError('a budget needs a limit: usd="5.00", tokens=100_000 or calls=50')
        nanos = None if self.usd is None else to_nanos(self.usd, "a budget's usd")
        if nanos == 0:
            raise ConfigurationError("a budget of zero dollars allows nothing; give an amount, or leave usd out")
        for unit, limit in (("tokens", self.tokens), ("calls", self.calls)):
            if limit is not None and (type(limit) is not int or not 0 < limit <= _MOST):
                raise ConfigurationError(f"a budget's {unit} is a whole number above zero; got {limit!r}")
        return nanos, self.tokens, self.calls

    def _check_choices(self) -> None:
        if self.on_exceed not in ("raise", "truncate", "degrade"):
            raise ConfigurationError(f'on_exceed is "raise", "truncate" or "degrade"; got {self.on_exceed!r}')
        self._check_smaller_model()
        if self.name is not None and not _is_name(self.name):
            raise ConfigurationError(f"a budget's name is a short text without a colon; got {self.name!r}")
        if self.each not in (None, "user", "tenant"):
            raise ConfigurationError(f'each is "user" or "tenant"; got {self.each!r}')
        if self.within is not None and not (isinstance(self.within, Budget) and self.within.name):
            raise ConfigurationError('within is a budget with a name: within=Budget(usd="1000", name="company")')
        if self.on_threshold is not None and not (callable(self.on_threshold) and self.warn_at):
            raise ConfigurationError('on_threshold is a function, and needs warn_at="0.8" to say when it is called')
        if inspect.iscoroutinefunction(self.on_threshold):
            raise ConfigurationError(
                "on_threshold is called, not awaited, since a call may end where no event loop runs; pass a plain "
                "function, which may start a task"
            )

    def _check_smaller_model(self) -> None:
        if self.on_exceed != "degrade":
            if self.degrade_to is not None:
                raise ConfigurationError('degrade_to goes with on_exceed="degrade"; add that, or leave degrade_to out')
        elif not (isinstance(self.degrade_to, str) and self.degrade_to.strip()):
            raise ConfigurationError(
                'on_exceed="degrade" needs the model to go to: degrade_to="local", an alias, or "provider:model"'
            )

    def _check_period(self) -> None:
        zone_named(self.zone)
        if isinstance(self.per, timedelta):
            if not _SHORTEST <= self.per <= _LONGEST or self.per.microseconds:
                raise ConfigurationError(
                    f"a rolling window is a whole number of seconds, from a minute to ten years; got {self.per}"
                )
        elif self.per not in PERIODS:
            raise ConfigurationError(
                f"a budget's period is one of {', '.join(PERIODS)}, or a timedelta for a rolling one; got {self.per!r}"
            )
        if type(self.anchor_day) is not int or not 1 <= self.anchor_day <= _LAST_DAY:
            raise ConfigurationError(f"anchor_day is a day of the month, 1 to 31; got {self.anchor_day!r}")
        if self.anchor_day != 1 and self.per != "month":
            raise ConfigurationError(f'anchor_day goes with per="month"; this budget is {self.period}')

    @property
    def nanos(self) -> int | None:
        """The limit in nano-dollars."""
        nanos: int | None = self.__dict__["_fixed"][0]
        return nanos

    @property
    def period(self) -> str:
        """The period in words, for messages."""
        if isinstance(self.per, timedelta):
            return f"in any {self.per}"
        return "in total" if self.per == "total" else f"per {self.per}"

    def named(self, name: str) -> Budget:
        """Give this budget, under `name` if it has no name of its own."""
        return self if self.name is not None else dataclasses.replace(self, name=name)

    def window(self, at: float) -> Window:
        """Give the period that contains the instant `at`, in seconds since the epoch; a rolling one's last part."""
        if isinstance(self.per, timedelta):
            return rolling_window(self.per, at)[0]
        return current_window(self.per, at, self.zone, self.anchor_day)

    def line(self, account: str, at: float) -> Line:
        """Give what the ledger has to check and charge under this budget for a call at this instant."""
        usd, tokens, calls, grace, carry, warn_at = self.__dict__["_fixed"]
        if isinstance(self.per, timedelta):
            short, since = rolling_window(self.per, at)
            return Line(account, short.label, usd, tokens, calls, grace, since, None, None, warn_at)
        window = current_window(self.per, at, self.zone, self.anchor_day)
        previous = None
        if carry is not None and window.start is not None:
            previous = window_before(self.per, window.start, self.zone, self.anchor_day).label
        return Line(account, window.label, usd, tokens, calls, grace, None, previous, carry, warn_at)

    def usage(self, key: str | None = None, *, ledger: Ledger, at: float | None = None) -> Spent:
        """Say what was spent in the period that contains `at` (default: now), of the share of `key` if it has shares.

        Raises `ConfigurationError` for a budget per call, which keeps no account, and `LedgerError`.
        """
        line = self._account_line(key, at)
        balance = ledger.balance(line.account, line.window, since=line.since)
        posted, held = balance.posted, balance.pending
        return Spent(to_usd(posted.usd), posted.tokens, posted.calls, to_usd(held.usd), held.tokens, held.calls)

    def remaining(self, key: str | None = None, *, ledger: Ledger, at: float | None = None) -> Remaining:
        """Say what is left in the period that contains `at` (default: now), with what was topped up, without the grace.

        What an unused period before it may carry over is there once the period's first call was made. Raises like
        `usage`.
        """
        line = self._account_line(key, at)
        balance = ledger.balance(line.account, line.window, since=line.since)
        left: list[int | None] = [
            None if limit is None else max(0, limit + extra - posted - held)
            for limit, extra, posted, held in zip(
                line[2:5], balance.extra, balance.posted, balance.pending, strict=True
            )
        ]
        usd, tokens, calls = left
        end = None if line.since is not None else self.window(time.time() if at is None else at).end
        return Remaining(None if usd is None else to_usd(usd), tokens, calls, end)

    def top_up(
        self,
        key: str | None = None,
        *,
        ledger: Ledger,
        usd: str | int | Decimal | None = None,
        tokens: int = 0,
        calls: int = 0,
        at: float | None = None,
    ) -> None:
        """Add to what may be used, of the share of `key` where the budget has shares.

        It is used after the limit itself, and what is left of it stays for the periods to come (in a rolling window it
        lasts as long as that is). Raises `ConfigurationError` for a unit that this budget does not limit, and
        `LedgerError`.
        """
        amounts = Amounts(0 if usd is None else to_nanos(usd, "a top-up's usd"), tokens, calls)
        line = self._account_line(key, at)
        if not any(amounts) or any(type(each) is not int or each < 0 for each in amounts) or max(amounts[1:]) > _MOST:
            raise ConfigurationError('a top-up adds dollars, tokens or calls, whole numbers above zero: usd="5.00"')
        for unit, limit, amount in zip(Amounts._fields, line[2:5], amounts, strict=True):
            if amount and limit is None:
                raise ConfigurationError(f"budget {self.name} does not limit {unit}; top up what it limits")
        ledger.top_up(line, amounts, at=time.time() if at is None else at)

    def _account_line(self, key: str | None, at: float | None) -> Line:
        if self.per == "call":
            raise ConfigurationError("a budget per call keeps no account; only budgets of a period do")
        if key is None and self.each is not None:
            raise ConfigurationError(f"budget {self.name} is kept for each {self.each}; say which: key=...")
        return self.line(Scope(self, key).account, time.time() if at is None else at)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip()) and ":" not in name and name.isprintable()


def _share(share: Share, what: str, *, lowest: int = 0, highest: int = 10 * _THOUSAND) -> int:
    """Turn a share into thousandths."""
    thousandths = Decimal(-1)
    if isinstance(share, str | int | Decimal) and not isinstance(share, bool):
        with contextlib.suppress(ArithmeticError):  # what is no number, or one too large to multiply
            thousandths = Decimal(share) * _THOUSAND
    if not thousandths.is_finite() or not lowest <= thousandths <= highest or thousandths != int(thousandths):
        raise ConfigurationError(
            f'{what} is a share of the limit in thousandths, at most {highest // _THOUSAND}, for example "0.8"; '
            f"got {share!r}"
        )
    return int(thousandths)


def _shares_of(limits: tuple[int | None, ...], share: int) -> Amounts:
    return Amounts(*(0 if limit is None else limit * share // _THOUSAND for limit in limits)) if share else NOTHING


@dataclass(frozen=True)
class Scope:
    """One payer of a call: a budget, and whose share of it (`key`, for example a user's id).

    `feature` is the function that made it pay.
    """

    budget: Budget
    key: str | None = None
    feature: str | None = field(default=None, compare=False)

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
        return self.budget.line(self.account, at)


def all_scopes(scopes: Sequence[Scope], user: str | None, tenant: str | None) -> tuple[Scope, ...]:
    """Give the scopes with a share for each budget that is divided, and with the budgets that they lie within.

    Raises `ConfigurationError` for a call that does not say whose share it is.
    """
    found: list[Scope] = []
    names: dict[str, Any] = {"user": user, "tenant": tenant}
    for scope in scopes:
        budget: Budget | None = scope.budget
        key = scope.key
        while budget is not None:
            if key is None and budget.each is not None:
                key = names[budget.each]
                if key is None:
                    raise ConfigurationError(
                        f"budget {budget.name} is kept for each {budget.each}, and the call names none; "
                        f"pass {budget.each}=..."
                    )
            found.append(scope if key == scope.key and budget is scope.budget else Scope(budget, key))
            budget, key = budget.within, None
    return tuple(found)
