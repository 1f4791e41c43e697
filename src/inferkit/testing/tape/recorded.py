"""What a tape holds: one exchange, as its request, and what came of its reply and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["End", "Piece", "Recorded"]

End = Literal["complete", "broke", "left"]
"""How an exchange ended: all of it came, or the connection broke, or the client left early."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one read brought, and how many seconds after what came before it."""

    data: bytes
    after: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange. `status` is None where no answer came, and `after` then says when that was known."""

    method: str
    url: str
    request_headers: dict[str, str]
    body: bytes
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    after: float = 0.0
    pieces: tuple[Piece, ...] = ()
    end: End = "complete"
    end_after: float = 0.0

    @property
    def reply(self) -> bytes:
        """All that came of the body."""
        return b"".join(piece.data for piece in self.pieces)
