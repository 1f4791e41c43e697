"""The ledger in a file: what is written there stays, and a store of it does all that the contract says."""

import pytest

from inferkit.core.errors import ConfigurationError
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger, SqliteStore
from inferkit.testing.ledger import LedgerContract

W = "month:2026-11-01"


class TestSqlite(LedgerContract):
    durability = "normal"

    def make(self, folder):
        return SqliteStore(folder / "ledger.db", self.durability)

    def verify(self, ledger):
        ledger.accounts.database.check()


class TestSqliteWithFullDurability(TestSqlite):
    durability, examples = "full", 15  # the disk is slow for more


def usd(ledger):
    balance = ledger.balance("a", W)
    return balance.posted.usd, balance.pending.usd


def test_what_was_written_is_there_when_the_file_is_opened_again(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.reserve("1", [Line("a", W, 100)], Amounts(60), Amounts(60), at=0, lease_seconds=60)
    other = SqliteLedger(tmp_path / "ledger.db", durability="full")
    other.settle("1", Charge(25), at=1)
    other.close()
    assert usd(ledger) == usd(other) == (25, 0)
    other.close()
    ledger.check()
    ledger.close()


def test_a_wrong_durability_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="durability"):
        SqliteLedger(tmp_path / "x.db", durability="maximal")
