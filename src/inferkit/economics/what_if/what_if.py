"""What would have been under other plans, limits and prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import count, money, plural
from inferkit.economics.report.calls import recorded_calls
from inferkit.economics.report.report import Report, summarise
from inferkit.economics.report.revenue import Customer, subscription_periods
from inferkit.economics.what_if.replay import Effect, Replay
from inferkit.economics.what_if.subscriptions import allowance_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.economics.report.report import Dimension, Row
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.ledger.protocols import Journal
    from inferkit.pricing.prices import Price

__all__ = ["WhatIf", "play"]


@dataclass(frozen=True)
class WhatIf:
    """The economics of a period as they would have been.

    `effects` says what each limit did, `users` is how many there were at all.
    """

    scenario: Scenario
    before: Report
    after: Report
    effects: Mapping[str, Effect]
    users: int

    @property
    def refused(self) -> int:
        """How many calls would have been refused."""
        return sum(effect.refused for effect in self.effects.values())

    @property
    def refused_users(self) -> int:
        """How many users would have had a call refused."""
        met: set[Customer] = set()
        return len(met.union(*(effect.users for effect in self.effects.values())))

    @property
    def saved(self) -> int:
        """Nano-dollars that would not have been spent; below zero where it would have cost more."""
        return self.before.total.cost - self.after.total.cost

    def by(self, dimension: Dimension) -> list[tuple[str | None, Row | None, Row | None]]:
        """Give the name of each plan, model..., with its row before and after; None where it has none."""
        before, after = ({row.name: row for row in report.by(dimension)} for report in (self.before, self.after))
        names = sorted(before.keys() | after.keys(), key=lambda name: name or "")
        return [(name, before.get(name), after.get(name)) for name in names]

    @property
    def sentences(self) -> list[str]:
        """Say it in words: what each limit did, then what comes of all of it."""
        found = [self._sentence(name, effect) for name, effect in self.effects.items()]
        limits = [budget.name or "" for budget in self.scenario.limits]
        limits += [allowance_of(plan) for plan in self.scenario.plans.values() if plan.budget is not None]
        found += [f"{self.named(name)} would have met nobody." for name in limits if name not in self.effects]
        before, after = self.before.total, self.after.total
        found.append(
            f"In all: cost {money(after.cost)} instead of {money(before.cost)}, "
            f"revenue {money(after.revenue)} instead of {money(before.revenue)}, "
            f"margin {money(after.margin)} instead of {money(before.margin)}."
        )
        return found

    def _sentence(self, name: str, effect: Effect) -> str:
        share = Decimal(100 * len(effect.users)) / max(1, self.users)
        done = f"{plural(effect.refused, 'call')} refused, {count(effect.cut)} cut short"
        if effect.degraded:
            done += f", {count(effect.degraded)} taken to a smaller model"
        return (
            f"{self.named(name)} would have refused {share:.1f} % of users ({len(effect.users):,} of {self.users:,}) "
            f"and saved {money(effect.saved)}: {done}."
        )

    def named(self, name: str) -> str:
        """Give a limit in words."""
        for budget in self.scenario.limits:
            if budget.name == name:
                whose = f" for each {budget.each}" if budget.each else ""
                amounts = [
                    text
                    for text, given in (
                        (money(budget.nanos or 0), budget.usd),
                        (plural(budget.tokens or 0, "token"), budget.tokens),
                        (plural(budget.calls or 0, "call"), budget.calls),
                    )
                    if given is not None
                ]
                return f"A limit of {' and '.join(amounts)} {budget.period}{whose}"
        return name[:1].upper() + name[1:]


def play(ledger: Journal, before: Report, scenario: Scenario, *, baseline: Price | None = None) -> WhatIf:
    """Replay the calls of a report's period. Raises `ConfigurationError` and `LedgerError`."""
    period = before.period
    since, until = period.since.timestamp(), period.until.timestamp()
    assigned = subscription_periods(ledger.assignments(), since, until)
    replay = Replay(scenario, before.plans, assigned)
    begins = replay.begins(since)
    if begins < since:
        replay.lead_in(recorded_calls(ledger, begins, since))
    after = summarise(
        replay.run(recorded_calls(ledger, since, until)),
        replay.subscriptions.periods(assigned),
        ledger.tallies(since=since, until=until),
        period,
        plans=replay.subscriptions.plans,
        baseline=baseline,
    )
    return WhatIf(scenario, before, after, replay.effects, len(replay.users))
