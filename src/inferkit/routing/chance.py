"""Chance that is the call's own: the same each time that a policy is asked about the same call."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["chance"]

_WHOLE = 2.0**64


def chance(request: Request, about: str) -> float:
    """Give a number from 0 to 1 (neither of them), evenly spread over calls, and independent for other questions."""
    digest = blake2b(f"{request.record.id}\0{about}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _WHOLE
