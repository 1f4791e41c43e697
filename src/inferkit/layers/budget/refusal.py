"""What a caller is told whom a budget refuses: which budget, how far it is, until when, and what to do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.budgets.windows import rolling_end
from inferkit.core.errors import BudgetExceeded
from inferkit.core.money import format_usd, to_usd

if TYPE_CHECKING:
    from datetime import datetime

    from inferkit.budgets.budget import Budget
    from inferkit.layers.budget.quote import Quote
    from inferkit.ledger.amounts import Amounts, Refusal

__all__ = ["exceeded", "ran_past"]

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
    running = f" and {_amount(unit, refusal.pending)} held by running calls" if refusal.pending else ""
    limit = {"usd": line.usd, "tokens": line.tokens, "calls": line.calls}[unit] or 0
    whole = "" if limit == refusal.limit else f" ({_amount(unit, refusal.limit)} with grace and credit)"
    return BudgetExceeded(
        f"budget {line.account} of {_amount(unit, limit)} {scope.budget.period}{whole} does not cover this call: "
        f"{_amount(unit, refusal.posted)} spent{running}, and {need}{until}; {advice}",
        scope=line.account,
        limit=to_usd(refusal.limit) if unit == "usd" else Decimal(refusal.limit),
        spent=to_usd(used) if unit == "usd" else Decimal(used),
        unit=unit,
        resets_at=end,
    )


def ran_past(quote: Quote, held: Amounts) -> BudgetExceeded:
    """Give the error for a stream that ran past what was held for it."""
    scope = next((s for s in quote.scopes if s.budget.on_exceed == "raise"), quote.scopes[0])
    budget = scope.budget
    unit = "usd" if budget.usd is not None else "tokens"
    return BudgetExceeded(
        f"the reply was cut: it ran past what budget {scope.account} held for it, because the provider did not "
        "keep to max_output_tokens",
        scope=scope.account,
        limit=to_usd(budget.nanos or 0) if unit == "usd" else Decimal(budget.tokens or 0),
        spent=to_usd(held.usd) if unit == "usd" else Decimal(held.tokens),
        unit=unit,
    )


def _free_again(budget: Budget, refusal: Refusal, at: float) -> datetime | None:
    """Give the end of the period, or when the first of what was spent in a rolling window leaves it."""
    if isinstance(budget.per, timedelta):
        return None if refusal.oldest is None else rolling_end(budget.per, refusal.oldest)
    return budget.window(at).end


def _amount(unit: str, amount: int) -> str:
    if unit == "usd":
        return format_usd(amount)
    return f"{amount:,} {unit if amount != 1 else unit[:-1]}"
