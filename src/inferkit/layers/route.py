"""Decides which candidates are asked, and in which order, by the policy of the name that was asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inferkit.core.shown import shown
from inferkit.layers.resolve import resolved
from inferkit.resilience.failover import Failovers
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.body import End
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response
    from inferkit.routing.combining import Routes
    from inferkit.routing.policy import Policy

__all__ = ["Route", "planned"]


def planned(routes: Routes | None, request: Request) -> Request:
    """Give the request with the candidates that its policy chooses. Raises `NoRoute` where it chooses none."""
    if not request.candidates:
        request = resolved(request)
    if routes is None or routes.are_plain:
        return request
    plan = routes.plan(request)
    return request if plan == request.candidates else request.replace(candidates=plan)


class Route:
    """Puts the plan of the policy on the request. Raises `NoRoute` where no candidate is left.

    Without `routes`, candidates are asked in the order in which they are listed. A policy that goes by how calls went
    is told when one is over, and one that judges replies (`Cascade`) has the candidates asked one after another.
    """

    role = "route"

    def __init__(self, routes: Routes | None = None, failovers: Failovers | None = None) -> None:
        self.routes = routes
        self._failovers = failovers or Failovers()

    def __repr__(self) -> str:
        return shown(self, self.routes or "ordered")

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Plan and pass on."""
        routes = self.routes
        request = planned(routes, request)
        plan = request.candidates
        if routes is None or routes.are_plain:
            request.record.note("route", policy="ordered", candidates=len(plan), chosen=plan[0].name)
            return await call_next(request)
        policy = routes.find(request.model)
        facts = _reasons(policy, request) if request.span is not None and request.span.is_recording() else {}
        request.record.note("route", policy=policy.name, candidates=len(plan), chosen=plan[0].name, **facts)
        judging = getattr(policy, "cascade_for", None) if len(plan) > 1 and request.operation == "chat" else None
        cascade = None if judging is None else judging(request)
        if cascade is not None:
            with imports.lock:
                from inferkit.layers.cascade import cascaded

            failover = self._failovers.find(request.model)
            call_next = partial(cascaded, call_next=call_next, cascade=cascade, failover=failover)
        learn = _teaching(policy, request)
        if learn is None:
            return await call_next(request)
        try:
            response = await call_next(request)
        except BaseException:
            learn(None)
            raise
        return response.map(on_close=learn)


def _reasons(policy: Policy, request: Request) -> dict[str, str]:
    """Say for the trace why the candidate that goes first does, and why this policy was the one to say so."""
    from inferkit.routing.explanation import Reasons

    reasons = Reasons(policy, request)
    why, because = reasons.of[request.candidates[0].name], reasons.because
    return {name: "; ".join(each) for name, each in (("because", because), ("why", why)) if each}


def _teaching(policy: Policy, request: Request) -> Callable[[End | None], None] | None:
    """Give what tells a policy of the attempts of a call, if it wants to know."""
    teach = getattr(policy, "learn", None)
    if teach is None:
        return None
    attempts = request.record.attempts
    before = len(attempts)

    def learn(_: End | None) -> None:
        for attempt in attempts[before:]:
            teach(request, attempt)

    return learn
