from __future__ import annotations

import pytest

from inferkit.ledger.sqlite.ledger import SqliteLedger


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()
