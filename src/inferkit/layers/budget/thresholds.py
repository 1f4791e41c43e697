"""Tells of the shares of budgets that a call has passed: in an event, and to whoever wants to know."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.budgets.budget import Threshold
from inferkit.core.errors import LedgerError
from inferkit.core.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inferkit.core.request import Request
    from inferkit.layers.budget.quote import Quote
    from inferkit.ledger.amounts import Crossing, Line
    from inferkit.ledger.protocols import Accounts
    from inferkit.runtime.protocol import Runtime

__all__ = ["tell", "tell_of_thresholds", "watched"]

_log = logging.getLogger("inferkit")


async def tell_of_thresholds(accounts: Accounts, runtime: Runtime, request: Request, quote: Quote) -> None:
    """Find out what was passed, and tell of it. A ledger that fails hurts no call."""
    lines = watched(quote)
    if not lines:
        return
    try:
        crossings = await accounts.warn(runtime, lines)
    except LedgerError as error:  # the call itself says what is wrong
        _log.error("whether a budget's threshold was passed is not known: %s", error)
        return
    tell(request, quote, crossings)


def watched(quote: Quote) -> list[Line]:
    """Give the lines of which somebody wants to be told."""
    return [line for line in quote.watched if line.warn_at]


def tell(request: Request, quote: Quote, crossings: Iterable[Crossing]) -> None:
    """Tell of what was passed just now. Whoever is told hurts no call."""
    for crossing in crossings:
        line, share = crossing.line, Decimal(crossing.share) / 1000
        request.record.note("budget", decision="threshold", scope=line.account, share=float(share))
        used, limit = (_in_unit(crossing.unit, amount) for amount in (crossing.used, crossing.limit))
        for on_threshold in quote.told_of(line, crossing.share):
            _tell(on_threshold, Threshold(line.account, share, crossing.unit, used, limit))


def _in_unit(unit: str, amount: int) -> Decimal:
    return to_usd(amount) if unit == "usd" else Decimal(amount)


def _tell(on_threshold: Callable[[Threshold], object], threshold: Threshold) -> None:
    try:
        on_threshold(threshold)
    except Exception:  # the call has ended, and its reply must not be lost to this
        _log.exception("on_threshold of budget %s failed", threshold.scope)
