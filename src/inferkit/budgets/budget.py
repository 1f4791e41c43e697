"""A budget: how much may be spent in a period, and what happens when it is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inferkit.budgets.keys import key_text
from inferkit.budgets.limits import MOST, limits_of
from inferkit.budgets.windows import Period, Window, rolling_window, window, window_before, zone_named
from inferkit.core.errors import ConfigurationError
from inferkit.core.money import to_nanos, to_usd
from inferkit.core.shown import fields_shown, html_of, table_html
from inferkit.ledger.amounts import Amounts, Line
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from inferkit.budgets.keys import KeyValue
    from inferkit.budgets.limits import Limits, Share
    from inferkit.ledger.ledger import Ledger

__all__ = ["Budget", "Remaining", "Spent", "Threshold"]


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

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        rows = [
            ("dollars", self.usd, self.held_usd),
            ("tokens", self.tokens, self.held_tokens),
            ("calls", self.calls, self.held_calls),
        ]
        return html_of("Spent", table_html(rows, ("", "spent", "held by running calls")))


class Remaining(NamedTuple):
    """What a budget has left, in each unit that it limits, and when its period ends (None: never, or it rolls)."""

    usd: Decimal | None
    tokens: int | None
    calls: int | None
    resets_at: datetime | None

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        said = [("dollars", self.usd), ("tokens", self.tokens), ("calls", self.calls), ("begins anew", self.resets_at)]
        return html_of("Remaining", table_html([(what, f"{each}") for what, each in said if each is not None]))


@dataclass(frozen=True, repr=False)
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
    money, and to no other limit of this budget. A running stream ends as with "truncate". "land": a reply that is cut
    ends as with "truncate", and before that a local model ends its sentence, or the object of its schema, in a few
    tokens: `land_with`, an alias or "local:...", or else the call's local candidate, or the embedded model.
    """

    usd: str | int | Decimal | None = None
    tokens: int | None = None
    calls: int | None = None
    per: Period | timedelta = "month"
    name: str | None = None
    zone: str = "UTC"
    anchor_day: int = 1
    on_exceed: Literal["raise", "truncate", "degrade", "land"] = "raise"
    degrade_to: str | None = None
    land_with: str | None = None
    each: Literal["user", "tenant"] | None = None
    within: Budget | None = None
    warn_at: Share | Sequence[Share] = ()
    on_threshold: Callable[[Threshold], object] | None = field(default=None, compare=False, repr=False)
    grace: Share = 0
    rollover: Share = 0

    def __post_init__(self) -> None:
        one = not isinstance(self.warn_at, Sequence) or isinstance(self.warn_at, str)
        given: tuple[Any, ...] = (self.warn_at,) if one else tuple(self.warn_at)  # type: ignore[arg-type]
        object.__setattr__(self, "warn_at", given)  # hashable, as a frozen dataclass is
        object.__setattr__(self, "_limits", limits_of(self))

    def __repr__(self) -> str:
        """Write it as whoever makes it would."""
        return fields_shown(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook: what may be used, and of which period. What is used, `remaining(ledger=...)` says."""
        units = {"dollars": self.usd, "tokens": self.tokens, "calls": self.calls}
        limits = [f"{limit:,}" if type(limit) is int else str(limit) for limit in units.values()]
        rows = [(unit, limit) for (unit, given), limit in zip(units.items(), limits, strict=True) if given is not None]
        window = None if self.per == "call" else self.window(clock.time())
        end = None if window is None or isinstance(self.per, timedelta) else window.end
        rows.append(("period", f"{self.period} ({self.zone})"))
        rows += [] if end is None else [("begins anew", f"{end.astimezone(zone_named(self.zone)):%Y-%m-%d %H:%M}")]
        rows += [] if self.each is None else [("for each", self.each)]
        rows.append(("when it is used up", f"{self.on_exceed} {self.degrade_to or ''}".strip()))
        rows += [] if self.within is None else [("within", self.within.name or "")]
        return html_of(f"Budget {self.name or ''}".strip(), table_html(rows))

    @property
    def nanos(self) -> int | None:
        """The limit in nano-dollars."""
        limits: Limits = self.__dict__["_limits"]
        return limits.usd

    @property
    def period(self) -> str:
        """The period in words, for messages."""
        if isinstance(self.per, timedelta):
            return f"in any {self.per}"
        return "in total" if self.per == "total" else f"per {self.per}"

    def named(self, name: str) -> Budget:
        """Give this budget, under `name` if it has no name of its own."""
        return self if self.name is not None else dataclasses.replace(self, name=name)

    def account(self, key: KeyValue | None = None) -> str:
        """Give the name of what pays, in the ledger and in messages: this budget, or the share of `key` in it.

        A key is a str, an int, a UUID or a member of an Enum. Raises `ConfigurationError` for others.
        """
        if self.name is None:
            raise ConfigurationError('a budget that is not on a function needs a name: Budget(..., name="free-tier")')
        if key is None:
            return self.name
        if type(key) is not str or not key.isascii():
            key = key_text(key, f"the share of budget {self.name} is kept by key, and key=")
        return f"{self.name}:{key}"

    def window(self, at: float) -> Window:
        """Give the period that contains the instant `at`, in seconds since the epoch; a rolling one's last part."""
        if isinstance(self.per, timedelta):
            return rolling_window(self.per, at)[0]
        return _current(self.per, at, self.zone, self.anchor_day)[2]

    def line(self, account: str, at: float) -> Line:
        """Give what the ledger has to check and charge under this budget for a call at this instant."""
        usd, tokens, calls, grace, carry, warn_at = self.__dict__["_limits"]
        if isinstance(self.per, timedelta):
            short, since = rolling_window(self.per, at)
            return Line(account, short.label, usd, tokens, calls, grace, since, None, None, warn_at)
        window = _current(self.per, at, self.zone, self.anchor_day)[2]
        previous = None
        if carry is not None and window.start is not None:
            previous = window_before(self.per, window.start, self.zone, self.anchor_day).label
        return Line(account, window.label, usd, tokens, calls, grace, None, previous, carry, warn_at)

    def span(self, at: float) -> tuple[float, float]:
        """Give from when until when a line at this instant is the same, in seconds since the epoch."""
        if isinstance(self.per, timedelta):
            return at, at  # what rolls is never the same
        return _current(self.per, at, self.zone, self.anchor_day)[:2]

    def usage(self, key: KeyValue | None = None, *, ledger: Ledger, at: float | None = None) -> Spent:
        """Say what was spent in the period that contains `at` (default: now), of the share of `key` if it has shares.

        Raises `ConfigurationError` for a budget per call, which keeps no account, and `LedgerError`.
        """
        line = self._account_line(key, at)
        balance = _kept(ledger).balance(line.account, line.window, since=line.since)
        posted, held = balance.posted, balance.pending
        return Spent(to_usd(posted.usd), posted.tokens, posted.calls, to_usd(held.usd), held.tokens, held.calls)

    def remaining(self, key: KeyValue | None = None, *, ledger: Ledger, at: float | None = None) -> Remaining:
        """Say what is left in the period that contains `at` (default: now), with what was topped up, without the grace.

        What an unused period before it may carry over is there once the period's first call was made. Raises like
        `usage`.
        """
        line = self._account_line(key, at)
        balance = _kept(ledger).balance(line.account, line.window, since=line.since)
        left: list[int | None] = [
            None if limit is None else max(0, limit + extra - posted - held)
            for limit, extra, posted, held in zip(
                line[2:5], balance.extra, balance.posted, balance.pending, strict=True
            )
        ]
        usd, tokens, calls = left
        end = None if line.since is not None else self.window(clock.time() if at is None else at).end
        return Remaining(None if usd is None else to_usd(usd), tokens, calls, end)

    def top_up(
        self,
        key: KeyValue | None = None,
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
        if not any(amounts) or any(type(each) is not int or each < 0 for each in amounts) or max(amounts[1:]) > MOST:
            raise ConfigurationError('a top-up adds dollars, tokens or calls, whole numbers above zero: usd="5.00"')
        for unit, limit, amount in zip(Amounts._fields, line[2:5], amounts, strict=True):
            if amount and limit is None:
                raise ConfigurationError(f"budget {self.name} does not limit {unit}; top up what it limits")
        _kept(ledger).top_up(line, amounts, at=clock.time() if at is None else at)

    def _account_line(self, key: KeyValue | None, at: float | None) -> Line:
        if self.per == "call":
            raise ConfigurationError("a budget per call keeps no account; only budgets of a period do")
        if key is None and self.each is not None:
            raise ConfigurationError(f"budget {self.name} is kept for each {self.each}; say which: key=...")
        return self.line(self.account(key), clock.time() if at is None else at)


def _kept(ledger: Any) -> Ledger:
    """Give a ledger. Raises `ConfigurationError` for what is none, such as its path."""
    if not hasattr(ledger, "balance"):
        raise ConfigurationError(f'ledger= is a ledger: llm.ledger, or SqliteLedger("path"); got {ledger!r}')
    found: Ledger = ledger
    return found


_known: dict[tuple[Period, str, int], tuple[float, float, Window]] = {}


def _current(per: Period, at: float, zone: str, anchor_day: int) -> tuple[float, float, Window]:
    """Do as `window`, remembering the last period of each kind, since the clock hardly ever leaves it: since, until."""
    known = _known.get((per, zone, anchor_day))
    if known is not None and known[0] <= at < known[1]:
        return known
    found = window(per, at, zone, anchor_day)
    start = float("-inf") if found.start is None else found.start.timestamp()
    end = float("inf") if found.end is None else found.end.timestamp()
    known = _known[per, zone, anchor_day] = (start, end, found)
    return known
