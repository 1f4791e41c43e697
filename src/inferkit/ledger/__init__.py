"""What a store of the ledger is made of, for whoever writes one: two protocols, and the values that they speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.ledger.amounts import NOTHING, Amounts, Balance, Credit, Crossing, Grant, Line, Refusal, Settled
    from inferkit.ledger.journal import NOBODY, Assignment, Attribution, Charge, Entry, EntryKind, Tally
    from inferkit.ledger.notices import MOST_NOTICES, Notice
    from inferkit.ledger.protocols import Accounts, Journal, Noticeboard, Records, Store, Summing
    from inferkit.ledger.state import Held, LedgerState
    from inferkit.ledger.summary import Pending, Summary, Total
    from inferkit.ledger.unwritten import Unwritten

__all__ = [
    "MOST_NOTICES",
    "NOBODY",
    "NOTHING",
    "Accounts",
    "Amounts",
    "Assignment",
    "Attribution",
    "Balance",
    "Charge",
    "Credit",
    "Crossing",
    "Entry",
    "EntryKind",
    "Grant",
    "Held",
    "Journal",
    "LedgerState",
    "Line",
    "Notice",
    "Noticeboard",
    "Pending",
    "Records",
    "Refusal",
    "Settled",
    "Store",
    "Summary",
    "Summing",
    "Tally",
    "Total",
    "Unwritten",
]

__getattr__ = lazily(
    __name__,
    {
        "amounts": ("NOTHING", "Amounts", "Balance", "Credit", "Crossing", "Grant", "Line", "Refusal", "Settled"),
        "state": ("LedgerState", "Held"),
        "journal": ("NOBODY", "Assignment", "Attribution", "Charge", "Entry", "EntryKind", "Tally"),
        "notices": ("MOST_NOTICES", "Notice"),
        "protocols": ("Accounts", "Journal", "Noticeboard", "Records", "Store", "Summing"),
        "summary": ("Pending", "Summary", "Total"),
        "unwritten": ("Unwritten",),
    },
)


def __dir__() -> list[str]:
    return __all__
