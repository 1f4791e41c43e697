"""What somebody finds who looks whether a ledger is sound."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """What was looked at, what was found, and what to do: nothing where that is empty.

    "wrong" is what a ledger in order never has; "open" goes away by itself, or as it says.
    """

    level: Literal["ok", "open", "wrong"]
    about: str
    found: str
    remedy: str = ""
