"""Calls under budgets, without a client: what is asked for, granted and paid at an instant of the test's choosing."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from inferkit.budgets.scope import Scope
from inferkit.ledger.amounts import Amounts, Grant, Refusal
from inferkit.ledger.journal import Charge

_numbers = itertools.count()


def instant(text):
    """Seconds since the epoch of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def reserve(ledger, budget, calls=1, *, at, key=None, call=None, lease_seconds=10**9):
    """Reserve so many calls, all or none; give the call's id and the answer."""
    call = call or f"call-{next(_numbers)}"
    amounts = Amounts(0, 0, calls)
    lines = [Scope(budget, key).line(at)]
    return call, ledger.reserve(call, lines, amounts, amounts, at=at, lease_seconds=lease_seconds)


def spend(ledger, budget, calls=1, *, at, key=None):
    """Use so many calls, all or none: True if the budget covered them."""
    call, answer = reserve(ledger, budget, calls, at=at, key=key)
    if isinstance(answer, Refusal):
        return False
    assert isinstance(answer, Grant)
    assert ledger.settle(call, Charge(0), at=at, calls=calls)
    return True


def most(ledger, budget, *, at, key=None):
    """How many calls the budget still covers."""
    call, answer = reserve(ledger, budget, 0, at=at, key=key)
    assert ledger.void(call, at=at)
    return answer.remaining[2]
