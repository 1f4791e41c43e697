"""How many requests a call may send, over all layers that start some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.request import Key

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["KEPT", "requests_left"]

KEPT: Key[int] = Key("kept")
"""How many of a call's requests are kept for candidates that are asked after those of this request (see `cascade`)."""


def requests_left(request: Request) -> int:
    """Say how many requests may yet be sent for these candidates, by the bound of their call (see `Retry`)."""
    record = request.record
    if not record.most:  # nobody has said how many
        return 1
    return record.most - record.sent - (request.extensions.get(KEPT) or 0)
