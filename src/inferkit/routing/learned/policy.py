"""The policy that goes by a fitted router."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from inferkit.routing.learned.features import seen_in
from inferkit.routing.learned.router import read_router
from inferkit.routing.policy import Ranking

if TYPE_CHECKING:
    import os

    from inferkit.core.request import Request, Target
    from inferkit.routing.learned.router import Router

__all__ = ["Learned"]


class Learned(Ranking):
    """Asks first the cheapest model that is likely enough to suffice, as a router says (`inferkit route fit`).

    After it come the dearer ones, which stand in where it fails, then the cheaper ones, and then those that the router
    does not know. `path` is the router's file. Raises `ConfigurationError` for a file that is no router, was changed,
    is of another version, or did not clear its gate.
    """

    name = "learned"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._known: tuple[str, str, dict[str, float]] | None = None
        self.router = read_router(path)

    def reload(self) -> None:
        """Read the file again, for all calls from now on. Raises as at first, and changes nothing then."""
        self.router = read_router(self._path)
        self._known = None

    def rank(self, request: Request, target: Target) -> float:
        """See `Ranking`."""
        router, models = self.router, self.router.models
        if target.name not in models:
            return math.inf
        chosen, place = models.index(self._judged(router, request)[0]), models.index(target.name)
        return place - chosen if place >= chosen else len(models) - place

    def tells(self, request: Request, target: Target) -> str:
        """See `Ranking`."""
        router = self.router
        if target.name not in router.models:
            return "the router does not know it"
        likely = self._judged(router, request)[1].get(target.name)
        if likely is not None:
            return f"likely to suffice: {likely:.0%}, where {router.threshold:.0%} are asked for"
        return "the one that always suffices" if target.name == router.models[-1] else "a cheaper one suffices"

    def _judged(self, router: Router, request: Request) -> tuple[str, dict[str, float]]:
        """Judge a call; once, though the budget asks first, the route again, and each of them for every candidate."""
        known = self._known
        if known is not None and known[0] == request.record.id:
            return known[1:]
        found = router.judge(seen_in(request))
        self._known = (request.record.id, *found)
        return found
