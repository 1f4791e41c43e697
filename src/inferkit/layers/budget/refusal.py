"""What a caller is told whom a budget refuses: which budget, how far it is, until when, and what to do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from inferkit.budgets.windows import rolling_end
from inferkit.core.errors import BudgetExceeded, LedgerError
from inferkit.core.money import format_usd, to_usd
from inferkit.ledger.amounts import Amounts

if TYPE_CHECKING:
    from datetime import datetime

    from inferkit.budgets.budget import Budget
    from inferkit.budgets.scope import Scope
    from inferkit.layers.budget.quote import Quote
    from inferkit.ledger.amounts import Refusal, Unit
    from inferkit.ledger.protocols import Accounts
    from inferkit.runtime.protocol import Runtime

__all__ = ["exceeded", "ran_past", "tell_how_far"]

_BYTES_A_TOKEN = 4  # of English
_ASK_FOR_LESS = "shorten the prompt, use a cheaper model, or raise the limit"


def exceeded(quote: Quote, refusal: Refusal, *, more: Amounts | None = None) -> BudgetExceeded:
    """Give the error for a call that a budget does not cover.

    `more` is what another attempt needs beyond what the call holds already.
    """
    line, unit = refusal.line, refusal.unit
    scope = next(s for s in quote.scopes if s.account == line.account and s.line(quote.at).window == line.window)
    used = refusal.posted + refusal.pending
    least = quote.minimum if more is None else more
    needed = {"usd": least.usd, "tokens": least.tokens, "calls": least.calls}[unit]
    need = f"the call needs at least {_amount(unit, needed)}"
    if more is not None:
        need = f"another attempt of this one needs {_amount(unit, needed)} more"
    end = _free_again(scope.budget, refusal, quote.at)
    if scope.budget.per == "call":
        until, advice = "", _ASK_FOR_LESS
    elif end is None:
        until, advice = "", "raise the limit"
    else:
        anew = f"it starts anew at {end:%Y-%m-%d %H:%M}"
        if line.since is not None:
            anew = f"some of it comes free at {end:%Y-%m-%d %H:%M:%S}"
        until, advice = f"; {anew} UTC", "wait until then, or raise the limit"
        if more is None and needed > refusal.limit:
            until, advice = f"{until}, and does not cover it then either", _ASK_FOR_LESS
    if scope.budget.per != "call" and more is None and refusal.posted + needed <= refusal.limit:
        advice = "ask again when running calls have ended, or raise the limit"
    running = f" and {_amount(unit, refusal.pending)} held by running calls" if refusal.pending else ""
    limit = {"usd": line.usd, "tokens": line.tokens, "calls": line.calls}[unit] or 0
    whole = "" if limit == refusal.limit else f" ({_amount(unit, refusal.limit)} with grace and credit)"
    return BudgetExceeded(
        f"budget {line.account} of {_amount(unit, limit)} {scope.budget.period}{whole} does not cover this call: "
        f"{_amount(unit, refusal.posted)} spent{running}, and {need}{until}; {advice}"
        f"{_strictness(quote, unit, needed, refusal.limit - used)}",
        scope=line.account,
        limit=_decimal(unit, refusal.limit),
        spent=_decimal(unit, used),
        unit=unit,
        resets_at=end,
    )


def ran_past(quote: Quote, held: Amounts) -> BudgetExceeded:
    """Give the error for a stream that ran past what was held for it.

    How far the budget is, is known when the call is settled: `tell_how_far` says it then.
    """
    scope = next((s for s in quote.scopes if s.budget.on_exceed == "raise"), quote.scopes[0])
    unit: Unit = "usd" if scope.budget.usd is not None else "tokens"
    error = BudgetExceeded("", scope=scope.account, limit=Decimal(0), spent=Decimal(0))
    limit = (scope.budget.nanos if unit == "usd" else scope.budget.tokens) or 0
    _say_how_far(error, _HowFar(scope, unit, limit, getattr(held, unit)), quote.at)
    error.was_cut = True
    return error


async def tell_how_far(
    error: BudgetExceeded, quote: Quote, cost: Amounts, accounts: Accounts, runtime: Runtime
) -> None:
    """Have the error for a stream that was cut say how far its budgets are now, in `limit`, `spent` and its text.

    Of several, it names the one that has least left of its limit. `cost` is what the call came to. A ledger that fails
    leaves it as it is.
    """
    found: list[_HowFar] = []
    for scope in quote.scopes:
        if scope.budget.on_exceed != "raise":
            continue
        line, used = scope.line(quote.at), cost
        more = line.grace
        if scope.budget.per != "call":
            try:
                balance = await accounts.balance(runtime, line.account, line.window, since=line.since)
            except LedgerError:
                return
            used = Amounts(*map(sum, zip(balance.posted, balance.pending, strict=True)))
            more = Amounts(*map(sum, zip(balance.extra, line.grace, strict=True)))
        for unit in _COUNTED_IN_STREAMS:
            limit = getattr(line, unit)
            if limit is not None:
                found.append(_HowFar(scope, unit, limit + getattr(more, unit), getattr(used, unit)))
    if found:
        _say_how_far(error, min(found, key=lambda each: each.left), quote.at)


_COUNTED_IN_STREAMS: tuple[Unit, Unit] = ("usd", "tokens")


class _HowFar(NamedTuple):
    """How much of a scope's limit is used."""

    scope: Scope
    unit: Unit
    limit: int
    used: int

    @property
    def left(self) -> Decimal:
        """The share of the limit that is left; below zero where more was used."""
        return 1 - Decimal(self.used) / max(1, self.limit)


def _say_how_far(error: BudgetExceeded, how_far: _HowFar, at: float) -> None:
    scope, unit, limit, used = how_far
    budget = scope.budget
    end = budget.window(at).end
    if isinstance(budget.per, timedelta):  # what this call used comes free with the short window that it is in
        end = rolling_end(budget.per, budget.window(at).label)
    until = "" if end is None or budget.per == "call" else f", until {end:%Y-%m-%d %H:%M} UTC"
    spent = "this call came to" if budget.per == "call" else f"{budget.period} it is at"
    message = (
        f"the reply was cut: it ran past what budget {scope.account} held for it, because the provider did not keep to "
        f"max_output_tokens; {spent} {_amount(unit, used)} of {_amount(unit, limit)}{until}"
    )
    error.args = (message,)
    error.scope, error.unit, error.resets_at = scope.account, unit, end
    error.limit, error.spent = _decimal(unit, limit), _decimal(unit, used)


def _free_again(budget: Budget, refusal: Refusal, at: float) -> datetime | None:
    """Give the end of the period, or when the first of what was spent in a rolling window leaves it."""
    if isinstance(budget.per, timedelta):
        return None if refusal.oldest is None else rolling_end(budget.per, refusal.oldest)
    return budget.window(at).end


def _strictness(quote: Quote, unit: Unit, needed: int, left: int) -> str:
    """Say that it was the strict bound of the input that refused a call, if a likely count of it would not have."""
    if not quote.strict or unit == "calls":
        return ""
    fewer = quote.input - quote.input // _BYTES_A_TOKEN
    saved = fewer
    if unit == "usd":
        price = quote.price
        saved = 0 if price is None else price.upper_bound(quote.input, 0) - price.upper_bound(quote.input - fewer, 0)
    if needed <= left or needed - saved > left:
        return ""
    return (
        f". Its input counts as {quote.input:,} tokens here, the strict bound of a token a byte, which is too many for "
        'what is left; Client(estimates="learned"), or estimates = "learned" in a file of settings, counts it as the '
        "model's calls have shown"
    )


def _decimal(unit: Unit, amount: int) -> Decimal:
    return to_usd(amount) if unit == "usd" else Decimal(amount)


def _amount(unit: str, amount: int) -> str:
    if unit == "usd":
        return format_usd(amount)
    return f"{amount:,} {unit if amount != 1 else unit[:-1]}"
