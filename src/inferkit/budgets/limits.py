"""What a budget's fields come to in the ledger's terms, and how fields that make no sense are explained."""

from __future__ import annotations

import contextlib
import inspect
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inferkit.budgets.windows import PERIODS, zone_named
from inferkit.core.errors import ConfigurationError
from inferkit.core.money import to_nanos
from inferkit.ledger.amounts import NOTHING, Amounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.budgets.windows import Period

__all__ = ["MOST", "Limits", "Share", "limits_of"]

Share = str | int | Decimal
MOST = 2**53  # beyond any real limit, and far from what the ledger's 64 bits can add up
_LAST_DAY = 31
_THOUSAND = 1000
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=3653)


class Limits(NamedTuple):
    """Limits (`usd` in nano-dollars; None where a unit is not limited), and the rest as `Line` has it."""

    usd: int | None
    tokens: int | None
    calls: int | None
    grace: Amounts
    carry: Amounts | None
    warn_at: tuple[int, ...]


class _Budget(Protocol):
    """What is looked at of a budget. Its fields are as they were passed in, whatever they are declared to be."""

    @property
    def usd(self) -> Share | None: ...
    @property
    def tokens(self) -> int | None: ...
    @property
    def calls(self) -> int | None: ...
    @property
    def per(self) -> Period | timedelta: ...
    @property
    def period(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def zone(self) -> str: ...
    @property
    def anchor_day(self) -> int: ...
    @property
    def on_exceed(self) -> str: ...
    @property
    def degrade_to(self) -> str | None: ...
    @property
    def land_with(self) -> str | None: ...
    @property
    def each(self) -> str | None: ...
    @property
    def within(self) -> _Budget | None: ...
    @property
    def warn_at(self) -> Share | Sequence[Share]: ...
    @property
    def on_threshold(self) -> object: ...
    @property
    def grace(self) -> Share: ...
    @property
    def rollover(self) -> Share: ...


def limits_of(budget: _Budget) -> Limits:
    """Work out a budget's terms. Raises `ConfigurationError`."""
    limits = _limits(budget)
    _check_period(budget)
    _check_choices(budget)
    warn_at = tuple(sorted({_share(share, "warn_at", lowest=1) for share in budget.warn_at}))  # type: ignore[union-attr]
    grace = _shares_of(limits, _share(budget.grace, "grace"))
    rollover = _share(budget.rollover, "rollover", highest=_THOUSAND)
    if rollover and (budget.per in ("call", "total") or isinstance(budget.per, timedelta)):
        raise ConfigurationError(f"a budget {budget.period} has no next period to roll over into; leave rollover out")
    if budget.per == "call" and (warn_at or any(grace)):
        raise ConfigurationError("a budget per call keeps no account; warn_at and grace are for those of a period")
    return Limits(*limits, grace, _shares_of(limits, rollover) if rollover else None, warn_at)


def _limits(budget: _Budget) -> tuple[int | None, int | None, int | None]:
    if budget.usd is None and budget.tokens is None and budget.calls is None:
        raise ConfigurationError('a budget needs a limit: usd="5.00", tokens=100_000 or calls=50')
    nanos = None if budget.usd is None else to_nanos(budget.usd, "a budget's usd")
    if nanos == 0:
        raise ConfigurationError("a budget of zero dollars allows nothing; give an amount, or leave usd out")
    for unit, limit in (("tokens", budget.tokens), ("calls", budget.calls)):
        if limit is not None and (type(limit) is not int or not 0 < limit <= MOST):
            raise ConfigurationError(f"a budget's {unit} is a whole number above zero; got {limit!r}")
    return nanos, budget.tokens, budget.calls


def _check_choices(budget: _Budget) -> None:
    if budget.on_exceed not in ("raise", "truncate", "degrade", "land"):
        raise ConfigurationError(f'on_exceed is "raise", "truncate", "degrade" or "land"; got {budget.on_exceed!r}')
    _check_smaller_model(budget)
    if budget.name is not None and not _is_name(budget.name):
        raise ConfigurationError(f"a budget's name is a short text without a colon; got {budget.name!r}")
    if budget.each not in (None, "user", "tenant"):
        raise ConfigurationError(f'each is "user" or "tenant"; got {budget.each!r}')
    if budget.within is not None and not (isinstance(budget.within, type(budget)) and budget.within.name):
        raise ConfigurationError('within is a budget with a name: within=Budget(usd="1000", name="company")')
    if budget.on_threshold is not None and not (callable(budget.on_threshold) and budget.warn_at):
        raise ConfigurationError('on_threshold is a function, and needs warn_at="0.8" to say when it is called')
    if inspect.iscoroutinefunction(budget.on_threshold):
        raise ConfigurationError(
            "on_threshold is called, not awaited, since a call may end where no event loop runs; pass a plain "
            "function, which may start a task"
        )


def _check_smaller_model(budget: _Budget) -> None:
    if budget.land_with is not None and budget.on_exceed != "land":
        raise ConfigurationError('land_with goes with on_exceed="land"; add that, or leave land_with out')
    if budget.land_with is not None and not (isinstance(budget.land_with, str) and budget.land_with.strip()):
        raise ConfigurationError('land_with is the name of a local model: "local", an alias, or "local:some-package"')
    if budget.on_exceed != "degrade":
        if budget.degrade_to is not None:
            raise ConfigurationError('degrade_to goes with on_exceed="degrade"; add that, or leave degrade_to out')
    elif not (isinstance(budget.degrade_to, str) and budget.degrade_to.strip()):
        raise ConfigurationError(
            'on_exceed="degrade" needs the model to go to: degrade_to="local", an alias, or "provider:model"'
        )


def _check_period(budget: _Budget) -> None:
    zone_named(budget.zone)
    if isinstance(budget.per, timedelta):
        if not _SHORTEST <= budget.per <= _LONGEST or budget.per.microseconds:
            raise ConfigurationError(
                f"a rolling window is a whole number of seconds, from a minute to ten years; got {budget.per}"
            )
    elif budget.per not in PERIODS:
        raise ConfigurationError(
            f"a budget's period is one of {', '.join(PERIODS)}, or a timedelta for a rolling one; got {budget.per!r}"
        )
    if type(budget.anchor_day) is not int or not 1 <= budget.anchor_day <= _LAST_DAY:
        raise ConfigurationError(f"anchor_day is a day of the month, 1 to 31; got {budget.anchor_day!r}")
    if budget.anchor_day != 1 and budget.per != "month":
        raise ConfigurationError(f'anchor_day goes with per="month"; this budget is {budget.period}')


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
