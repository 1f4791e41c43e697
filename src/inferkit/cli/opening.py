"""Opens the ledger that a command means, as applications are configured, once it is known to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.cli.configured import existing_ledger

if TYPE_CHECKING:
    from inferkit.ledger.sqlite.journal import SqliteRecords
    from inferkit.ledger.sqlite.ledger import SqliteLedger

__all__ = ["ledger_at", "records_at"]


def records_at(given: str | None) -> SqliteRecords:
    """Give what reads a ledger, and never writes to it. Raises `ConfigurationError` for one that is not there."""
    from inferkit.ledger.sqlite.journal import SqliteRecords

    return SqliteRecords(existing_ledger(given))


def ledger_at(given: str | None) -> SqliteLedger:
    """Give a ledger to write to, beside the applications that do. Raises `ConfigurationError` and `LedgerError`."""
    from inferkit.ledger.sqlite.ledger import SqliteLedger

    return SqliteLedger(existing_ledger(given))
