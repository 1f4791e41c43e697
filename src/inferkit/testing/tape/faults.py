"""What may go wrong with an exchange when it is played: each is one way in which servers and networks fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CutOff", "Fault", "Refused", "ResetAt", "Stalled", "Surplus"]


@dataclass(frozen=True, slots=True)
class CutOff:
    """The connection is closed after `at` bytes of the body, as a proxy does whose server died."""

    at: int


@dataclass(frozen=True, slots=True)
class ResetAt:
    """The connection is reset after `at` bytes of the body; before its headers where `at` is negative."""

    at: int


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing comes after `at` bytes of the body, for `seconds` or until the client goes."""

    at: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Surplus:
    """`data` follows the reply on its connection: at once, or, if it is `late`, when the reply has been read."""

    data: bytes
    late: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is answered with an error, and what is on the tape comes when it is asked for again."""

    status: int = 429
    headers: Mapping[str, str] = field(default_factory=lambda: {"retry-after": "0"})
    body: bytes = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'


Fault = CutOff | ResetAt | Stalled | Surplus | Refused
