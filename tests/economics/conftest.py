from __future__ import annotations

import pytest

from inferkit.budgets.sqlite import SqliteLedger


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()
