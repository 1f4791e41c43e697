"""What the contract's tests are made of: one account, one user, and calls that ask for dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Attribution

if TYPE_CHECKING:
    from inferkit.ledger.amounts import Grant, Refusal
    from inferkit.ledger.ledger import Ledger
    from inferkit.ledger.protocols import Store
    from inferkit.runtime.protocol import Runtime

__all__ = ["ALICE", "LINE", "W", "asking", "entered", "reserve", "usd_of"]

W = "month:2026-11-01"
LINE = Line("a", W, 100)
ALICE = Attribution("alice", "acme")


def reserve(
    ledger: Ledger, call: str, usd: int, *lines: Line, least: int | None = None, at: float = 0, **options: Any
) -> Grant | Refusal:
    """Reserve for one call, for a minute."""
    wanted, minimum = Amounts(usd, 0, 1), Amounts(usd if least is None else least, 0, 1)
    return ledger.reserve(call, lines or [LINE], wanted, minimum, at=at, lease_seconds=60, **options)


async def asking(store: Store, runtime: Runtime, call: str, usd: int = 60) -> Grant | Refusal:
    """Reserve for one call, wherever a runtime runs."""
    wanted = Amounts(usd, 0, 1)
    return await store.reserve(runtime, call, [LINE], wanted, wanted, at=0, lease_seconds=60)


def usd_of(ledger: Ledger, account: str = "a") -> tuple[int, int]:
    """Give what is posted and pending."""
    balance = ledger.balance(account, W)
    return balance.posted.usd, balance.pending.usd


def entered(ledger: Ledger, **whose: Any) -> int:
    """Give what the journal's entries come to."""
    return sum(entry.charge.usd or 0 for entry in ledger.entries(**whose))
