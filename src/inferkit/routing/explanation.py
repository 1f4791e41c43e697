"""What would become of a call, and why: who would be asked, in which order, and who would not be."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.core.errors import NoRoute
from inferkit.core.money import NANOS_PER_USD
from inferkit.core.shown import text_html
from inferkit.core.usage import Usage
from inferkit.pricing.likely import LikelyTokens
from inferkit.routing.cascade import Cascade
from inferkit.routing.combining import InTurn, Switch
from inferkit.routing.policy import Narrowing, Ranking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.resilience.health import ModelHealth
    from inferkit.routing.combining import Routes
    from inferkit.routing.policy import Policy

__all__ = ["Considered", "Explanation", "Reasons", "explain"]


@dataclass(frozen=True, slots=True)
class Considered:
    """One candidate: `place` is when it would be asked (1: first), None where it would not be. `why` says why.

    `input_usd` is what its input is likely to cost, in dollars; None where it has no known price. `health` is how the
    model stands; one that is left alone is passed over, though it has a place.
    """

    name: str
    place: int | None
    why: tuple[str, ...]
    input_usd: Decimal | None
    health: ModelHealth


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a call for `name`, by the policy called `policy`.

    `chosen` is who would be asked first, None where nobody would be; `candidates` are all that the name stands for, in
    the order in which they would be asked, and then those that would not be. `input_tokens` is how long the prompt is
    likely to be. `because` is why this policy and no other, where one chooses among several. As a text, it is a table.
    """

    name: str
    policy: str
    input_tokens: int
    candidates: tuple[Considered, ...]
    because: tuple[str, ...] = ()

    @property
    def chosen(self) -> str | None:
        """Who would be asked first: the first that is not left alone at present."""
        return next((each.name for each in self.candidates if each.place is not None and each.health.is_asked), None)

    def __str__(self) -> str:
        """Show it as a table, for people."""
        title = f'"{self.name}" by the policy "{self.policy}", about {self.input_tokens:,} tokens of input'
        rows = []
        for each in self.candidates:
            cost = "no known price" if each.input_usd is None else f"${each.input_usd:.6f} of input"
            why = [*each.why]
            if not each.health.is_asked:
                state = "its circuit is open" if each.health.circuit == "open" else "it asked for time"
                why.append(f"passed over for {each.health.seconds_left:.0f} s: {state}")
            rows.append((str(each.place or "-"), each.name, cost, "; ".join(why)))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()
            for row in rows
        ]
        return "\n".join([title, *(f"  {line}" for line in (*self.because, *lines))])

    def _repr_html_(self) -> str:
        """Show it in a notebook as it is printed."""
        return text_html(str(self))


class Reasons:
    """Why a policy plans what it plans: `because` says which of several policies, `of` what they say of candidates."""

    def __init__(self, policy: Policy, request: Request) -> None:
        self.because: list[str] = []
        self.of: dict[str, list[str]] = {target.name: [] for target in request.candidates}
        self.plan = self._walk(policy, request).candidates

    def _walk(self, policy: Policy, request: Request) -> Request:
        """Give the request as a policy leaves it, and note what the policy says."""
        if isinstance(policy, InTurn):
            for each in policy.policies:
                request = self._walk(each, request)
            return request
        if isinstance(policy, Switch | Cascade):
            chosen = policy.chosen(request)
            why = policy.because(request)
            if why is not None:
                self.because.append(f"{policy.name}: {why}")
            return self._walk(chosen, request)
        for target in request.candidates:
            says = None
            if isinstance(policy, Narrowing):
                says = policy.refuses(request, target)
            elif isinstance(policy, Ranking):
                says = policy.tells(request, target)
            if says is not None:
                self.of[target.name].append(f"{policy.name}: {says}")
        try:
            return request.replace(candidates=policy.plan(request))
        except NoRoute:
            return request.replace(candidates=())


def explain(request: Request, routes: Routes, health: Mapping[str, ModelHealth]) -> Explanation:
    """Say what would become of a request whose candidates were resolved. `health` is that of each of them, by name."""
    policy = routes.find(request.model)
    reasons = Reasons(policy, request)
    plan, tokens = reasons.plan, LikelyTokens().input(request)
    found = []
    for target in (*plan, *(target for target in request.candidates if target not in plan)):
        cost = None if target.price is None else target.price.cost(Usage(tokens, 0))
        place = plan.index(target) + 1 if target in plan else None
        usd = None if cost is None else Decimal(cost) / NANOS_PER_USD
        found.append(Considered(target.name, place, tuple(reasons.of[target.name]), usd, health[target.name]))
    return Explanation(request.model, policy.name, tokens, tuple(found), tuple(reasons.because))
