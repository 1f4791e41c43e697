"""Fakes and assertions for tests of code that uses inferkit: no network, no money, no waiting.

```python
fake = FakeProvider("Hello!", Unavailable("down", provider="fake"), "Hello again!")
with Client(providers={"fake": fake}, models={"fast": "fake:any"}, ledger=False, cache=False) as llm:
    assert llm.complete("Hi").text == "Hello!"
assert fake.open_streams == 0
```
"""

from __future__ import annotations

from inferkit.testing.fakes import FakeProvider, Script, make_request, settled
from inferkit.testing.tape import CutOff, Piece, Recorded, Refused, ResetAt, Stalled, Surplus, Tape

__all__ = [
    "CutOff",
    "FakeProvider",
    "Piece",
    "Recorded",
    "Refused",
    "ResetAt",
    "Script",
    "Stalled",
    "Surplus",
    "Tape",
    "make_request",
    "settled",
]
