"""What processes tell each other through a store of the ledger: short notices that are worth nothing after a while."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MOST_NOTICES", "Notice"]

MOST_NOTICES = 4096
"""How many a store keeps at most; of more, the oldest are dropped."""


class Notice(NamedTuple):
    """What one process (`teller`) has to tell the others of something: `facts`, as text, of the `kind` and `name`.

    A teller has one notice of a kind and name: a later one takes its place. It was written at the instant `at` and is
    worth nothing from `until` on, both in seconds since the epoch.
    """

    teller: str
    kind: str
    name: str
    at: float
    until: float
    facts: str
