"""The requests that calls took beyond their first one, by what they were for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from inferkit.core.attempt import AttemptKind
from inferkit.economics.report.waste import Subtotal

if TYPE_CHECKING:
    from inferkit.ledger.journal import Charge

__all__ = ["MoreRequests"]

_KINDS = [kind for kind in get_args(AttemptKind) if kind != "primary"]


@dataclass(slots=True)
class MoreRequests:
    """`kinds` has each kind of attempt but the first one of a call, with how many there were and what they cost.

    That says how calls came to their reply, and not whether it was waste: a continuation is part of what the caller
    got, and what failed before a retry cost money, not the retry.
    """

    kinds: dict[str, Subtotal] = field(default_factory=lambda: {kind: Subtotal() for kind in _KINDS})

    def add(self, charge: Charge) -> None:
        """Add those of a call."""
        for part in charge.parts:
            if part.kind != "primary":
                self.kinds.setdefault(part.kind, Subtotal()).add(1, part.usd or 0)
