"""What was to be entered in a ledger for a call, as a value that can be kept until the ledger takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from inferkit.ledger.journal import Charge

__all__ = ["Unwritten"]


class Unwritten(NamedTuple):
    """What was to be entered for a call at an instant: settled, recorded (without a budget) or voided."""

    step: Literal["settle", "record", "void"]
    call: str
    at: float
    charge: Charge | None = None
