"""A request that is not sent after all: while it waited for its turn, the circuit of its model opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import CircuitOpen, is_never_written
from inferkit.layers.raced import RACE

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["is_withdrawn", "sending_of", "tell"]


def sending_of(request: Request) -> Any:
    """Give the `Sending` of a request, None where no retry layer is on its way."""
    race = request.extensions.get(RACE)
    if race is not None and request.attempt_kind == "hedge":
        return race.hedge
    return request.record.sending


def tell(request: Request, error: BaseException) -> None:
    """Have it known at once that a request failed. One that was broken off by its caller says nothing of its model."""
    sending = sending_of(request) if isinstance(error, Exception) else None
    if sending is not None:
        sending.failed(error)


def is_withdrawn(error: BaseException) -> bool:
    """Whether an error says that a request was taken back before it was sent, which says nothing of its model."""
    return isinstance(error, CircuitOpen) and is_never_written(error)
