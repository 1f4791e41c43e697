"""Policies that leave out who cannot serve a call, or should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.pricing.likely import LikelyTokens
from inferkit.routing.policy import Narrowing

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.request import Request, Target

__all__ = ["Fits", "Only"]


class Fits(Narrowing):
    """Leaves out models into whose context the call does not fit, as far as their context windows are known.

    A window is what the price list, or the `Price` that was stated for the model, says. The prompt is counted as it is
    likely to be, and what the reply may have (`max_output_tokens`) is added.
    """

    name = "fits"

    def __init__(self) -> None:
        self._likely = LikelyTokens()

    def refuses(self, request: Request, target: Target) -> str | None:
        """See `Narrowing`."""
        window: int | None = getattr(target.price, "context_window", None)
        if window is None:
            return None
        needs = self._likely.input(request) + (request.max_output_tokens or 0)
        return None if needs <= window else f"holds {window:,} tokens, and about {needs:,} are needed"


class Only(Narrowing):
    """Leaves only those candidates of which `may(request, target)` is true: by region, by owner, by anything."""

    name = "only"

    def __init__(self, may: Callable[[Request, Target], bool]) -> None:
        if not callable(may):
            raise ConfigurationError("Only takes a function of a request and a target, which says if it may be asked")
        self._may = may

    def refuses(self, request: Request, target: Target) -> str | None:
        """See `Narrowing`."""
        return None if self._may(request, target) else "is not allowed by the route's own function"
