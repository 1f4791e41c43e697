"""How several policies become one, and what may stand for a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from inferkit.core.errors import ConfigurationError, NoRoute
from inferkit.core.shown import shown
from inferkit.routing.policy import Ordered, policy_repr
from inferkit.runtime import imports

if TYPE_CHECKING:
    from inferkit.core.attempt import Attempt
    from inferkit.core.request import Request, Target
    from inferkit.routing.policy import Policy

__all__ = ["During", "InTurn", "Route", "Routes", "Switch", "When", "as_policy"]

Route: TypeAlias = "str | Policy | Callable[[Request], Sequence[Target]] | Sequence[Route]"
"""What a policy may be given as."""
_NOTHING: frozenset[str] = frozenset()


class InTurn:
    """Several policies, each over what the one before leaves: the last one's order is what counts."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = tuple(policies)
        self.name = "+".join(policy.name for policy in self.policies)
        self.needs = needs_of(self.policies)
        self._learn = [policy.learn for policy in self.policies if hasattr(policy, "learn")]

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        for policy in self.policies:
            request = request.replace(candidates=policy.plan(request))
        return request.candidates

    def cascade_for(self, request: Request) -> Any:
        """Give the cascade that one of them is, if any: the last."""
        found = (policy.cascade_for(request) for policy in self.policies[::-1] if hasattr(policy, "cascade_for"))
        return next((each for each in found if each is not None), None)

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`."""
        for learn in self._learn:
            learn(request, attempt)


class Switch:
    """Several policies, one of which applies to a call. What it is derived for is `chosen`, and `because` says why."""

    def __init__(self, name: str, policies: Sequence[Policy], needs: frozenset[str] = _NOTHING) -> None:
        self.name = name
        self.policies = tuple(policies)
        self.needs = needs | needs_of(policies)
        self._learn = [policy.learn for policy in policies if hasattr(policy, "learn")]

    def chosen(self, request: Request) -> Policy:
        """Give the policy that applies to a call."""
        raise NotImplementedError

    def because(self, request: Request) -> str | None:
        """Say in a few words why that policy applies; None where the switch's name says it all."""
        del request
        return None

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`."""
        return self.chosen(request).plan(request)

    def cascade_for(self, request: Request) -> Any:
        """Give the cascade that applies to a call, if any."""
        policy: Any = self.chosen(request)
        return policy.cascade_for(request) if hasattr(policy, "cascade_for") else None

    def learn(self, request: Request, attempt: Attempt) -> None:
        """See `Learns`. All of them learn, since what was measured holds for each."""
        for learn in self._learn:
            learn(request, attempt)


class When(Switch):
    """Takes one policy for the calls of which `holds(request)` is true, and another one for all others."""

    def __init__(self, holds: Callable[[Request], bool], then: Any, otherwise: Any = "ordered") -> None:
        if not callable(holds):
            raise ConfigurationError("When takes a function of a request first, which says whether the policy applies")
        self._holds = holds
        self._then, self._otherwise = as_policy(then), as_policy(otherwise)
        super().__init__(f"when({self._then.name},{self._otherwise.name})", (self._then, self._otherwise))

    def chosen(self, request: Request) -> Policy:
        """See `Switch`."""
        return self._then if self._holds(request) else self._otherwise


class During(When):
    """Takes one policy between two times of day, such as "22:00" and "06:00", in a time zone, and another one else."""

    def __init__(self, start: str, end: str, then: Any, otherwise: Any = "ordered", *, zone: str = "UTC") -> None:
        try:
            self._from, self._to = time.fromisoformat(start), time.fromisoformat(end)
            self._zone = UTC if zone == "UTC" else ZoneInfo(zone)
        except (ValueError, TypeError, ZoneInfoNotFoundError):
            raise ConfigurationError(
                f'During takes two times of day and a time zone: During("22:00", "06:00", Cheapest(), '
                f'zone="Europe/Berlin"); got {start!r}, {end!r} and {zone!r}'
            ) from None
        super().__init__(self._is_now, then, otherwise)
        self.name = f"during({start}-{end})"

    def _is_now(self, request: Request) -> bool:
        now = datetime.fromtimestamp(request.runtime.time(), self._zone).time()
        if self._from <= self._to:
            return self._from <= now < self._to
        return now >= self._from or now < self._to


class _Own:
    """A function of the user's as a policy."""

    def __init__(self, function: Callable[[Request], Sequence[Target]]) -> None:
        self._function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        self.needs = frozenset(getattr(function, "needs", ()))

    def __repr__(self) -> str:
        return policy_repr(self)

    def plan(self, request: Request) -> tuple[Target, ...]:
        """See `Policy`. Raises `ConfigurationError` where the function gives what was not among the candidates."""
        given = self._function(request)
        plan = tuple(given) if isinstance(given, Iterable) else (given,)
        if any(target not in request.candidates for target in plan):
            raise ConfigurationError(
                f"the policy {self.name} gave {'None' if given is None else 'something'}, which is not among "
                "request.candidates; give some of them, the first to ask first"
            )
        return plan


def as_policy(given: Any) -> Policy:
    """Make a policy of what may stand for one: its name, a function of a request, or a list of these, to go in turn.

    Raises `ConfigurationError` for anything else.
    """
    if isinstance(given, str):
        named = _named().get(given)
        if named is not None:
            return named()
    elif isinstance(given, Sequence):
        if given:
            return InTurn([as_policy(each) for each in given])
    elif hasattr(given, "plan") and hasattr(given, "name") and not isinstance(given, type):
        policy: Policy = given
        return policy
    elif callable(given) and not isinstance(given, type):
        return _Own(given)
    names = ", ".join(f'"{name}"' for name in sorted(_named()))
    got = repr(given) if isinstance(given, str | type) else f"a {type(given).__name__}"
    raise ConfigurationError(
        f"a route is a policy, such as Cheapest(), one of the names {names}, a function of a request that gives some "
        f"of its candidates, or a list of these; got {got}"
    )


def _named() -> Mapping[str, Callable[[], Policy]]:
    with imports.lock:
        from inferkit.routing.fitting import Fits
        from inferkit.routing.ranking import Cheapest, Fastest

    return {"ordered": Ordered, "fits": Fits, "cheapest": Cheapest, "fastest": Fastest}


def needs_of(policies: Sequence[Policy]) -> frozenset[str]:
    """Give what some policies want to know of how a call's customer and budgets stand: see `Standing`."""
    return _NOTHING.union(*(getattr(policy, "needs", ()) for policy in policies))


class Routes:
    """The policies of a client: one for each name that callers use, and one for all others.

    Made of what `routes=` takes: a policy for all names, or a dictionary from names to policies; None asks candidates
    in the order in which they are listed. Raises `ConfigurationError` for anything else.
    """

    def __init__(self, given: Any = None) -> None:
        self.are_plain = True
        self._otherwise: Policy = Ordered()
        self._of: Mapping[str, Policy] = {}
        self.become(given)

    def become(self, given: Any) -> None:
        """Take other policies, for all calls from now on."""
        of: Mapping[str, Policy] = {}
        otherwise: Policy = Ordered()
        if isinstance(given, Mapping):
            of = {name: as_policy(policy) for name, policy in given.items()}
        elif given is not None:
            otherwise = as_policy(given)
        self._of, self._otherwise = of, otherwise
        self.are_plain = given is None

    def __repr__(self) -> str:
        others = "" if self._of and isinstance(self._otherwise, Ordered) else repr(self._otherwise)
        return shown(self, *[f"{name}: {policy!r}" for name, policy in self._of.items()], *filter(None, (others,)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that have policies of their own."""
        return tuple(self._of)

    @property
    def policies(self) -> list[tuple[str, Policy]]:
        """All policies, each with the name that it is for; the last one, which is for all others, with none."""
        return [*self._of.items(), ("", self._otherwise)]

    def find(self, name: str) -> Policy:
        """Give the policy for a name."""
        return self._of.get(name, self._otherwise)

    def needs(self, name: str) -> frozenset[str]:
        """Give what the policy for a name wants to know of how a call stands (see `Standing`); mostly nothing."""
        needs: frozenset[str] = getattr(self.find(name), "needs", _NOTHING)
        return needs

    def plan(self, request: Request) -> tuple[Target, ...]:
        """Give the candidates to ask, the first one first. Raises `NoRoute` where a policy leaves none."""
        policy = self.find(request.model)
        plan = policy.plan(request)
        if not plan:
            raise NoRoute(f'the policy "{policy.name}" leaves no candidate for "{request.model}"')
        return plan
