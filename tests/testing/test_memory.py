"""The ledger in memory does all that the contract says."""

from __future__ import annotations

from inferkit.testing import MemoryStore
from inferkit.testing.ledger import LedgerContract


class TestMemory(LedgerContract):
    examples = 30

    def make(self, folder):
        return MemoryStore()
