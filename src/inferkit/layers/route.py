"""Decides which candidates are asked, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from inferkit.core.errors import NoRoute
from inferkit.layers.resolve import resolved

if TYPE_CHECKING:
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response

__all__ = ["Ordered", "Policy", "Route", "planned"]


class Policy(Protocol):
    """Orders and narrows the candidates: a pure function, so that the budget can ask it before the route does."""

    name: str

    def plan(self, request: Request, /) -> tuple[Target, ...]:
        """Give those of `request.candidates` to ask, the first one first."""


class Ordered:
    """Asks them in the order in which they are listed."""

    name = "ordered"

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        return request.candidates


def planned(policy: Policy, request: Request) -> Request:
    """Give the request with the candidates that a policy chooses. Raises `NoRoute` where it chooses none."""
    if not request.candidates:
        request = resolved(request)
    plan = policy.plan(request)
    if plan is request.candidates:
        return request
    if not plan:
        raise NoRoute(f'the policy "{policy.name}" leaves no candidate for "{request.model}"')
    return request.replace(candidates=plan)


class Route:
    """Puts the policy's plan on the request. Raises `NoRoute` where no candidate is left."""

    role = "route"

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Ordered()

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Plan and pass on."""
        request = planned(self._policy, request)
        plan = request.candidates
        request.record.note("route", policy=self._policy.name, candidates=len(plan), chosen=plan[0].name)
        return await call_next(request)
