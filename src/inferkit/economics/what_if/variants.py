"""The replays of a what-if: of the whole scenario, of which there is a report, and of each change alone, with sums."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from inferkit.economics.report.report import report_of
from inferkit.economics.report.revenue import payer_of, revenue_of, unassigned_periods
from inferkit.economics.report.tabulation import Tabulation
from inferkit.economics.what_if.passing import Unstopped
from inferkit.economics.what_if.replay import Replay
from inferkit.economics.what_if.repricing import cost_of
from inferkit.runtime.yielding import Pauses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from inferkit.economics.report.report import Report
    from inferkit.economics.report.revenue import SubscriptionPeriod
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.ledger.journal import Attribution, Entry, Tally
    from inferkit.ledger.summary import Total
    from inferkit.pricing.prices import Price

__all__ = ["Alone", "Change", "Variant", "Whole"]


class Change(NamedTuple):
    """What one change of a scenario would have done without the others.

    `saved` and `revenue` are in nano-dollars, what it would have cost less and brought in; `met` are the users for whom
    something would have been different, `refused_users` those of them who would have had a call refused.
    """

    what: str
    saved: int
    revenue: int
    met: int
    refused_users: int
    refused: int


class Variant(Protocol):
    """One replay, and what it comes to. `touched` are the keys of totals whose calls are gone through one by one."""

    replay: Replay
    touched: set[int]
    passing: Unstopped

    def add(self, entry: Entry) -> None:
        """Replay a call."""

    def add_totals(self, totals: Iterable[Total], early: Iterable[Total]) -> None:
        """Add calls that nothing changes, but perhaps the plan; `early` are those from before revenue was known."""


def _left(
    replay: Replay, totals: Iterable[Total], touched: Collection[int], passed: Iterable[Total]
) -> Iterator[Total]:
    """Give the totals whose calls nobody went through, as they would have been, and what came of those that passed."""
    return itertools.chain((replay.moved(total) for total in totals if total.key not in touched), passed)


def _costs_the_same(held: Entry, entry: Entry) -> bool:
    """Whether all attempts of a call are what they were, so that its day and its models cost what they did."""
    before, after = entry.charge.parts, held.charge.parts
    return bool(before) and len(before) == len(after) and all(map(operator.is_, before, after))


class Whole:
    """See `Variant`: the whole scenario, in a table from which a report is made."""

    def __init__(
        self, scenario: Scenario, before: Report, assigned: Sequence[SubscriptionPeriod], baseline: Price | None
    ) -> None:
        self.replay = Replay(scenario, before.plans, assigned)
        self.touched: set[int] = set()
        self._before = before
        self._moved = self.replay.subscriptions.periods(assigned)
        self._table = Tabulation(self._moved, ZoneInfo(before.period.zone), baseline)
        self.passing = Unstopped(self.replay, before.revenue_since, self._table.respend)
        self._has_days = False

    def begin_days(self) -> None:
        """Begin with the days as they were, of which each call takes back what it cost."""
        self._table.set_days(self._before.days)
        self._has_days = True

    def add_totals(self, totals: Iterable[Total], early: Iterable[Total]) -> None:
        """See `Variant`."""
        for total in _left(self.replay, totals, self.touched, self.passing.totals()):
            self._table.add_total(total)
        for total in _left(self.replay, early, self.touched, self.passing.early()):
            self._table.add_total_before(total)

    def price_day(self, day: str, models: Iterable[Total]) -> None:
        """Price what a day's calls cost that nothing stops."""
        for model in models:
            priced = self.replay.together(model)
            assert priced is not None
            self._table.spend(day, {(model.provider, model.model): -model.usd})
            self._table.spend(day, {(priced.provider, priced.model): priced.usd})

    def add(self, entry: Entry) -> None:
        """See `Variant`."""
        held = self.replay.call(entry)
        if held is not None and self._has_days and (held is entry or _costs_the_same(held, entry)):
            self._table.add_apart_from_days(held)
        else:
            if self._has_days:
                self._table.take_back(entry)
            if held is not None:
                self._table.add(held)
        if held is not None and self._before.revenue_since is not None and held.at < self._before.revenue_since:
            self._table.add_before(held)

    def report(self, tallies: Iterable[Tally]) -> Report:
        """Give the report as it would have been."""
        before = self._before
        plans = self.replay.subscriptions.plans
        return report_of(
            self._table, self._moved, tallies, before.period, plans=plans, pending=before.pending,
            revenue_since=before.revenue_since,
        )  # fmt: skip


class Alone:
    """See `Variant`: one change, of which no more is said than what it costs and brings in."""

    def __init__(self, scenario: Scenario, before: Report, assigned: Sequence[SubscriptionPeriod]) -> None:
        self.replay = Replay(scenario, before.plans, assigned)
        self.touched: set[int] = set()
        self.passing = Unstopped(self.replay)
        self._before = before
        self._moved = self.replay.subscriptions.periods(assigned)
        self._assigned = {subscription.customer for subscription in self._moved}
        self._cost = 0
        self._first: dict[Attribution, float] = {}  # when the first call under a plan was entered
        self._pause = Pauses()

    def add_totals(self, totals: Iterable[Total], early: Iterable[Total]) -> None:  # noqa: ARG002 - no margin
        """See `Variant`."""
        for moved in _left(self.replay, totals, self.touched, self.passing.totals()):
            self._add(moved.attribution, moved.usd, moved.first)

    def add(self, entry: Entry) -> None:
        """See `Variant`."""
        held = self.replay.charge(entry)
        if held is not None:
            self._add(held.attribution, cost_of(held), entry.at)

    def _add(self, attribution: Attribution, cost: int, at: float) -> None:
        self._cost += cost
        if attribution.plan is not None:
            first = self._first.get(attribution)
            if first is None or at < first:
                self._first[attribution] = at
        if self._pause.are_any:
            self._pause()

    def change(self, what: str) -> Change:
        """Say what the change would have done without the others."""
        replay, before = self.replay, self._before
        plans, assigned = replay.subscriptions.plans, self._assigned
        calls = ((payer_of(who.user, who.tenant, assigned), who.plan, at) for who, at in self._first.items())
        unassigned = unassigned_periods(calls, assigned, plans, before.period.until.timestamp())
        refused = set().union(*(effect.users for effect in replay.effects.values()))
        return Change(
            what,
            before.total.cost - self._cost,
            sum(revenue_of(subscription, plans) for subscription in (*self._moved, *unassigned)),
            len(replay.met),
            len(refused),
            sum(effect.refused for effect in replay.effects.values()),
        )
