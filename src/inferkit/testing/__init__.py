"""Fakes and assertions for tests of code that uses inferkit: no network, no money, no waiting.

```python
fake = FakeProvider("Hello!", Unavailable("down", provider="fake"), "Hello again!")
with Client(providers={"fake": fake}, models={"fast": "fake:any"}, ledger=False, cache=False) as llm:
    assert llm.complete("Hi").text == "Hello!"
assert fake.open_streams == 0
```
"""

from __future__ import annotations

from inferkit.testing.booked import Spending, calls, never_called, spent
from inferkit.testing.clock import FrozenClock
from inferkit.testing.fakes import FakeProvider, Script, make_request, settled
from inferkit.testing.memory import MemoryStore, memory_ledger
from inferkit.testing.tape import CutOff, Piece, Recorded, Refused, ResetAt, Stalled, Surplus, Tape

__all__ = [
    "CutOff",
    "FakeProvider",
    "FrozenClock",
    "MemoryStore",
    "Piece",
    "Recorded",
    "Refused",
    "ResetAt",
    "Script",
    "Spending",
    "Stalled",
    "Surplus",
    "Tape",
    "calls",
    "make_request",
    "memory_ledger",
    "never_called",
    "settled",
    "spent",
]
