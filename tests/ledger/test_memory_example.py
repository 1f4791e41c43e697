"""The example of a store of one's own does all that the contract says."""

import importlib.util
from pathlib import Path

from inferkit.testing.ledger import LedgerContract

EXAMPLE = Path(__file__).parents[2] / "examples" / "memory_ledger.py"


def load():
    spec = importlib.util.spec_from_file_location("memory_ledger", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestMemory(LedgerContract):
    examples = 30

    def make(self, folder):
        return load().MemoryStore()
