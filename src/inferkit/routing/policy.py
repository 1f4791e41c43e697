"""What a policy is: something that orders candidates, or leaves some out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from inferkit.core.errors import NoRoute

if TYPE_CHECKING:
    from inferkit.core.attempt import Attempt
    from inferkit.core.request import Request, Target

__all__ = ["Learns", "Narrowing", "Ordered", "Policy", "Ranking", "policy_repr"]


class Policy(Protocol):
    """Orders and narrows the candidates: a pure function, so that the budget can ask it before the route does.

    It is asked more than once for a call, and again about its own plan, of which it then makes the same plan. Where
    chance plays a part, it is that of the call: `request.record.id`.
    """

    @property
    def name(self) -> str:
        """What it is called in traces."""

    def plan(self, request: Request, /) -> tuple[Target, ...]:
        """Give those of `request.candidates` to ask, the first one first."""


def policy_repr(policy: Policy) -> str:
    """Say what kind of policy it is, and what it is called in traces where that says more."""
    kind = type(policy).__name__
    return f"{kind}()" if policy.name == kind.lower() else f"{kind}({policy.name})"


class Learns(Protocol):
    """A policy that goes by how calls went, and is told of each attempt when its call is over."""

    def learn(self, request: Request, attempt: Attempt, /) -> None:
        """Take in how one attempt went."""


class Ordered:
    """Asks them in the order in which they are listed."""

    name = "ordered"

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        return request.candidates


class Narrowing:
    """A policy that leaves candidates out. What it is derived for is `refuses`."""

    name = "narrowing"

    def refuses(self, request: Request, target: Target) -> str | None:
        """Say why a candidate cannot be asked, in words without anything of what was asked; None where it can."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`. Raises `NoRoute`, with the reasons, where none is left."""
        why = [self.refuses(request, target) for target in request.candidates]
        left = tuple(target for target, reason in zip(request.candidates, why, strict=True) if reason is None)
        if not left and request.candidates:
            reasons = "; ".join(f"{target.name} {each}" for target, each in zip(request.candidates, why, strict=True))
            raise NoRoute(f'no candidate for "{request.model}" can serve this call: {reasons}')
        return request.candidates if len(left) == len(request.candidates) else left


class Ranking:
    """A policy that orders candidates. What it is derived for is `rank`; equals stay in the order they had."""

    name = "ranking"

    def rank(self, request: Request, target: Target) -> float:
        """Give a candidate's rank; the lowest goes first."""
        raise NotImplementedError

    def tells(self, request: Request, target: Target) -> str:
        """Say in a few words what a candidate's rank comes from."""
        return f"{self.rank(request, target):.4g}"

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        if len(request.candidates) == 1:
            return request.candidates
        return tuple(sorted(request.candidates, key=lambda target: self.rank(request, target)))
