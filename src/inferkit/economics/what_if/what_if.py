"""What would have been under other plans, limits and prices."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import count, money, plural
from inferkit.economics.report.calls import as_recorded, recorded_calls
from inferkit.economics.report.period import days_of
from inferkit.economics.report.report import Report, store_of
from inferkit.economics.report.revenue import Customer, subscription_periods
from inferkit.economics.what_if.sifting import touched
from inferkit.economics.what_if.subscriptions import allowance_of
from inferkit.economics.what_if.variants import Alone, Change, Variant, Whole
from inferkit.ledger.journal import Entry
from inferkit.ledger.protocols import Summing
from inferkit.ledger.summary import OneCall
from inferkit.runtime.yielding import without_collections

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inferkit.economics.report.report import Dimension, Row
    from inferkit.economics.what_if.replay import Effect
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.ledger.protocols import Records
    from inferkit.ledger.summary import Total
    from inferkit.pricing.prices import Price

__all__ = ["Change", "WhatIf", "play"]


@dataclass(frozen=True)
class WhatIf:
    """The economics of a period as they would have been.

    `effects` says what each limit did, `changes` what each change would have done alone; `users` is how many there
    were at all, and `met` those for whom all of it together would have made a difference.
    """

    scenario: Scenario
    before: Report
    after: Report
    effects: Mapping[str, Effect]
    users: int
    changes: Sequence[Change] = ()
    met: int = 0

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
        if len(self.changes) > 1:
            found += [self._alone(change) for change in self.changes]
        found.append(
            f"In all, for {plural(self.met, 'user')} of {count(self.users)}: "
            f"cost {money(after.cost)} instead of {money(before.cost)}, "
            f"revenue {money(after.revenue)} instead of {money(before.revenue)}, "
            f"margin {money(after.margin)} instead of {money(before.margin)}."
        )
        return found

    def _alone(self, change: Change) -> str:
        if not (change.met or change.saved or change.revenue != self.before.total.revenue):
            return f"Alone, {change.what} would have met nobody."
        found = f"Alone, {change.what} would have met {plural(change.met, 'user')} of {count(self.users)}"
        if change.refused:
            found += f", refused {plural(change.refused, 'call')} of {plural(change.refused_users, 'user')}"
        verb = f"saved {money(change.saved)}" if change.saved >= 0 else f"cost {money(-change.saved)} more"
        revenue = change.revenue - self.before.total.revenue
        if revenue:
            verb += f" and brought in {money(abs(revenue))} {'more' if revenue > 0 else 'less'}"
        return f"{found}, and {verb}."

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


@without_collections()
def play(ledger: Records, before: Report, scenario: Scenario, *, baseline: Price | None = None) -> WhatIf:
    """Replay the calls of a report's period under a scenario, and under each of its changes alone.

    Raises `ConfigurationError` and `LedgerError`.
    """
    period = before.period
    since, until = period.since.timestamp(), period.until.timestamp()
    assigned = subscription_periods(ledger.assignments(), since, until)
    changes = scenario.changes()
    alone = [Alone(each, before, assigned) for _, each in changes] if len(changes) > 1 else []
    whole = Whole(scenario, before, assigned, baseline)
    everything: list[Variant] = [whole, *alone]
    begins = min(variant.replay.begins(since) for variant in everything)
    if isinstance(store_of(ledger), Summing):
        _sift(ledger, before, whole, everything, begins)
    else:
        calls = itertools.chain(recorded_calls(ledger, begins, since), recorded_calls(ledger, since, until))
        _go_through(((entry, None, everything) for entry in calls), everything, since)
    tallies = list(ledger.tallies(since=since, until=until))
    after = whole.report(tallies)
    by_itself = [variant.change(what) for (what, _), variant in zip(changes, alone, strict=False)]
    replay = whole.replay
    return WhatIf(scenario, before, after, replay.effects, len(replay.users), by_itself, len(replay.met))


def _go_through(
    calls: Iterable[tuple[Entry | OneCall, Total | None, Iterable[Variant]]],
    everything: Sequence[Variant],
    since: float,
) -> None:
    """Replay calls, with the totals that some are of, in each of their variants.

    What is from before `since` uses limits that the period begins within.
    """
    began = False
    for call, total, variants in calls:
        if not began and call.at >= since:
            began = True
            for variant in everything:
                variant.replay.begin()
        entry = call if isinstance(call, Entry) else None
        for variant in variants:
            if entry is None or total is not None:
                assert isinstance(call, OneCall)
                assert total is not None
                if variant.passing.take(call, total, counts=began):
                    continue
                entry = entry or call.entry(total)
            if began:
                variant.add(entry)
            else:
                variant.replay.call(entry)
    if not began:
        for variant in everything:
            variant.replay.begin()


def _in_order(
    calls: Iterable[tuple[OneCall, Total, Iterable[Variant]]], apart: list[Entry], everything: Sequence[Variant]
) -> Iterator[tuple[Entry | OneCall, Total | None, Iterable[Variant]]]:
    """Put calls of some totals and those that are apart in one order of their instants.

    What is `apart` comes with its last first, and is taken out of the list, so that it takes no memory any longer.
    """
    for call in calls:
        while apart and apart[-1].at < call[0].at:
            yield apart.pop(), None, everything
        yield call
    while apart:
        yield apart.pop(), None, everything


def _sift(ledger: Records, before: Report, whole: Whole, everything: Sequence[Variant], begins: float) -> None:
    """Replay the calls that a variant may change, and add up the others as they are."""
    store = store_of(ledger)
    assert isinstance(store, Summing)
    since, until = before.period.since.timestamp(), before.period.until.timestamp()
    summary = store.summary(days_of(before.period)[1])
    apart = list(as_recorded(ledger, summary.apart, since, until))
    totals = list(summary.totals)
    earlier: list[Total] = []
    if begins < since:
        summary = store.summary([begins, since])
        apart += as_recorded(ledger, summary.apart, begins, since)
        earlier = list(summary.totals)
    apart.sort(key=lambda entry: entry.at)
    apart.reverse()
    wanted: dict[int, list[Variant]] = defaultdict(list)
    whole.begin_days()
    for variant in everything:
        variant.touched = touched(variant.replay, [*earlier, *totals], apart)
        for key in variant.touched:
            wanted[key].append(variant)
    days, bounds = days_of(before.period)
    priced = [each.key for each in totals if each.key not in whole.touched and whole.replay.together(each) is not each]
    by_day = store.by_model(priced, bounds) if priced else None
    alike = {total.key: total for total in (*earlier, *totals) if total.key in wanted}
    some = ((call, alike[call.key], wanted[call.key]) for call in store.calls(wanted.keys(), begins, until))
    _go_through(_in_order(some, apart, everything), everything, since)
    early = [] if before.revenue_since is None else list(store.summary([since, before.revenue_since]).totals)
    for variant in everything:
        variant.add_totals(totals, early)
    if by_day is not None:
        for day, models in zip(days, by_day, strict=True):
            whole.price_day(day, models)
