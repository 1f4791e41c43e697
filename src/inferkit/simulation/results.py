"""What a run comes to: for each plan and for all, for each model, and hour by hour."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.report.revenue import Customer, SubscriptionPeriod, revenue_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inferkit.simulation.run import Answer, Fate, Played
    from inferkit.simulation.scenario import Setup, Simulation

__all__ = ["ModelResult", "PlanResult", "Result", "result_of"]

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class PlanResult:
    """What became of the calls of one plan, or of all (`plan` is None).

    `fates` counts the calls by what became of them, `good` those whose reply was good enough, `kept` those whose reply
    the cache had, or an identical call in flight. `first` and `whole` are
    the 50th, 95th and 99th per cent of the seconds to the first token and to the end, of calls that were answered.
    Amounts are nano-dollars; `revenue` is what all customers of the plan pay for the time of the scenario.
    """

    plan: str | None
    calls: int
    fates: dict[Fate, int]
    good: int
    first: tuple[float, ...]
    whole: tuple[float, ...]
    cost: int
    revenue: int
    kept: int = 0

    @property
    def goodput(self) -> float:
        """The share of calls that were answered in time, by a reply that was good enough."""
        return self.good / self.calls if self.calls else 0.0

    @property
    def answered(self) -> float:
        """The share of calls that were answered in time."""
        return self.fates.get("answered", 0) / self.calls if self.calls else 0.0

    @property
    def margin(self) -> int:
        """What is left of the revenue, in nano-dollars."""
        return self.revenue - self.cost

    @property
    def margin_share(self) -> Decimal | None:
        """The same as a share of the revenue; None where there is none."""
        return Decimal(self.margin) / self.revenue if self.revenue else None


@dataclass(frozen=True)
class ModelResult:
    """What one model was asked, as its provider counts it: requests in all, refused and failed ones.

    `served` are the calls that it answered, without those that the cache did.
    """

    name: str
    received: int
    refused: int
    failed: int
    served: int


@dataclass(frozen=True)
class Result:
    """A run: all calls, those of each plan, each model's requests, and how many were answered by priority (0 to 1)."""

    policy: Setup
    total: PlanResult
    plans: list[PlanResult]
    models: list[ModelResult]
    priorities: dict[int, float]
    answers: list[Answer] = field(repr=False)

    @property
    def requests(self) -> int:
        """How many requests the providers received."""
        return sum(model.received for model in self.models)

    def answered_by(self, step: float, start: float, end: float) -> list[float | None]:
        """Give the share of calls answered in time for each stretch of so many seconds; None where none came.

        Those that a budget or an allowance did not cover are left out.
        """
        number = max(1, round((end - start) / step))
        calls, answered = [0] * number, [0] * number
        for answer in self.answers:
            place = int((answer.asked.at - start) // step)
            if 0 <= place < number and answer.fate != "refused":
                calls[place] += 1
                answered[place] += answer.fate == "answered"
        return [each / of if of else None for each, of in zip(answered, calls, strict=True)]


def result_of(played: Played) -> Result:
    """Add up a run."""
    scenario, answers = played.scenario, played.answers
    booked = {plan: each.usd for plan, each in played.booked.items()}
    plans = []
    for plan in dict.fromkeys(each.plan for each in scenario.customers):
        own = [answer for answer in answers if answer.asked.customers.plan == plan]
        plans.append(_added(plan, own, booked.get(plan, 0), _revenue(scenario, plan)))
    total = _added(None, answers, sum(booked.values()), sum(each.revenue for each in plans))
    models = [
        ModelResult(
            name,
            received,
            played.refused[name],
            played.failed[name],
            sum(answer.model == name and answer.fate == "answered" and not answer.kept for answer in answers),
        )
        for name, received in played.received.items()
    ]
    return Result(played.policy, total, plans, models, _by_priority(answers), answers)


def _added(plan: str | None, answers: Sequence[Answer], cost: int, revenue: int) -> PlanResult:
    fates: dict[Fate, int] = {}
    for answer in answers:
        fates[answer.fate] = fates.get(answer.fate, 0) + 1
    answered = [answer for answer in answers if answer.fate == "answered"]
    return PlanResult(
        plan,
        len(answers),
        fates,
        sum(answer.good for answer in answered),
        _quantiles(answer.first for answer in answered if answer.first is not None),
        _quantiles(answer.seconds for answer in answered),
        cost,
        revenue,
        sum(answer.kept for answer in answered),
    )


def _quantiles(values: Iterable[float]) -> tuple[float, ...]:
    ordered = sorted(values)
    return tuple([ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in QUANTILES]) if ordered else ()


def _by_priority(answers: Sequence[Answer]) -> dict[int, float]:
    """Give the share of calls answered in time for each priority, the highest first."""
    found: dict[int, list[bool]] = {}
    for answer in answers:
        found.setdefault(answer.asked.customers.priority, []).append(answer.fate == "answered")
    return {priority: sum(found[priority]) / len(found[priority]) for priority in sorted(found, reverse=True)}


def _revenue(scenario: Simulation, plan: str) -> int:
    plans = {each.name: each for each in scenario.plans}
    start = scenario.start.timestamp()
    one = SubscriptionPeriod(Customer(user="one"), plan, plans[plan].seats, start, start + scenario.seconds)
    return revenue_of(one, plans) * sum(each.count for each in scenario.customers if each.plan == plan)
