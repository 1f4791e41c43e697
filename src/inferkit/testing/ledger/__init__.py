"""What a store of the ledger has to do, as tests that any store can be run through. Needs pytest and hypothesis.

```python
class TestMyStore(LedgerContract):
    def make(self, folder):
        return MyStore(folder)
```
"""

from __future__ import annotations

from inferkit.testing.ledger.contract import LedgerContract

__all__ = ["LedgerContract"]
