"""One table of all calls, from which every grouping of a report is made: what they cost, and what they brought in."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from inferkit.economics.report.calls import attempts_of, costs_by_model, fates, name_of
from inferkit.economics.report.more_requests import MoreRequests
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod, payer_of, revenue_of, unassigned_periods
from inferkit.economics.report.waste import Reported, Savings, Subtotal, Waste
from inferkit.runtime.yielding import Pauses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

    from inferkit.ledger.journal import Attribution, Entry
    from inferkit.ledger.summary import ModelName, Total
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = ["Cell", "Sums", "Tabulation"]

_QUARTER = 900  # seconds; the clocks of no zone change within one


class Cell(NamedTuple):
    """What calls have in common. None where it is not known."""

    customer: Customer
    user: str | None
    tenant: str | None
    plan: str | None
    feature: str | None
    model: str | None


@dataclass(slots=True)
class Sums:
    """Amounts of a cell; money in nano-dollars. `before` is the part of the cost from before revenue was known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    revenue: int = 0
    before: int = 0


class _Place:
    """The cell of calls that are alike, its sums, and when the first of them was entered."""

    __slots__ = ("cell", "first", "sums")

    def __init__(self, cell: Cell, sums: Sums) -> None:
        self.cell = cell
        self.sums = sums
        self.first = math.inf


class Tabulation:
    """Adds up calls, by cell and by day, and what they saved and wasted."""

    def __init__(self, assigned: Iterable[SubscriptionPeriod], zone: ZoneInfo, baseline: Price | None) -> None:
        self.cells: dict[Cell, Sums] = defaultdict(Sums)
        self.days: dict[str, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
        self.waste = Waste()
        self.savings = Savings(baseline=baseline)
        self.more_requests = MoreRequests()
        self.unpriced = 0
        self.estimated = Subtotal()
        self.overrun = Subtotal()
        self.reported = Reported()
        self._assigned = {subscription.customer for subscription in assigned}
        self._places: dict[tuple[Attribution, str | None, str | None], _Place] = {}
        self._payers: dict[tuple[str | None, str | None], Customer] = {}
        self._names: dict[ModelName, str | None] = {}
        self._zone = zone
        self._day = (-1.0, "")
        self._pause = Pauses()

    def add(self, entry: Entry) -> None:
        """Add a call."""
        self._add(entry, self.days[self._day_of(entry.at)])

    def add_apart_from_days(self, entry: Entry) -> None:
        """Add a call whose day has it already."""
        self._add(entry, None)

    def _add(self, entry: Entry, day: dict[str | None, int] | None) -> None:
        charge, calls = entry.charge, entry.calls
        attempts, served = attempts_of(charge)
        self._note(calls, charge.usd, charge.estimated, charge.overrun, charge.details.reported_nanos)
        for index, attempt in enumerate(attempts):
            place, usd = self._place(charge.attribution, attempt.provider, attempt.model, entry.at), attempt.usd or 0
            sums = place.sums
            if index == served:  # it counts as the call
                sums.calls += calls
            sums.input_tokens += attempt.input_tokens
            sums.output_tokens += attempt.output_tokens
            sums.cost += usd
            if day is not None:
                day[place.cell.model] += usd
        became = fates(charge, served) if charge.parts else ()
        self.waste.add(entry, attempts[served], became)
        self.savings.add(entry, attempts[served], became)
        if charge.parts:
            self.more_requests.add(charge)
        if self._pause.are_any:
            self._pause()

    def add_total(self, total: Total) -> None:
        """Add calls that are alike; `spend` adds what they cost to days."""
        if total.estimated or total.overrun or total.is_reported or not total.priced:
            usd = total.usd if total.priced else None
            self._note(total.calls, usd, total.estimated, total.overrun, total.reported if total.is_reported else None)
        sums = self._place(total.attribution, total.provider, total.model, total.first).sums
        sums.calls += total.calls
        sums.input_tokens += total.input_tokens
        sums.output_tokens += total.output_tokens
        sums.cost += total.usd
        if total.outcome != "completed" or total.finish_reason != "stop":
            self.waste.add_total(total)
        if total.prompt_cache_saved or total.routing_saved or total.provider == "local":
            self.savings.add_total(total)
        if self._pause.are_any:
            self._pause()

    def _note(self, calls: int, usd: int | None, estimated: bool, overrun: int, reported: int | None) -> None:
        if usd is None:
            self.unpriced += calls
        else:
            if estimated:
                self.estimated.add(max(0, calls), usd)
            if reported is not None:
                self.reported.add(calls, reported, usd)
        if overrun:
            self.overrun.add(calls, overrun)

    def set_days(self, days: Mapping[str, Mapping[str | None, int]]) -> None:
        """Begin with what days cost already."""
        for day, costs in days.items():
            self.days[day].update(costs)

    def take_back(self, entry: Entry) -> None:
        """Take back what a call added to its day."""
        day = self.days[self._day_of(entry.at)]
        for provider, model, usd in costs_by_model(entry.charge):
            name = name_of(provider, model)
            day[name] -= usd
            if not day[name] and usd:
                del day[name]

    def respend(self, at: float, model: str | None, usd: int, new_model: str | None, new_usd: int) -> None:
        """Take back what a call of one attempt added to its day, and add what it would have."""
        day = self.days[self._day_of(at)]
        day[model] -= usd
        if not day[model] and usd:
            del day[model]
        day[new_model] += new_usd

    def spend(self, day: str, costs: Mapping[ModelName, int]) -> None:
        """Add to what a day cost."""
        for (provider, model), usd in costs.items():
            self.days[day][name_of(provider, model)] += usd

    def add_total_before(self, total: Total) -> None:
        """Note of calls that are alike that they are from before revenue was known."""
        place = self._place(total.attribution, total.provider, total.model, total.first)
        place.sums.before += total.usd

    def add_before(self, entry: Entry) -> None:
        """Note of a call that it is from before revenue was known."""
        for provider, model, usd in costs_by_model(entry.charge):
            self._place(entry.charge.attribution, provider, model, entry.at).sums.before += usd

    def _place(self, attribution: Attribution, provider: str | None, model: str | None, at: float) -> _Place:
        """Give where a call belongs, and note that it was entered at an instant."""
        place = self._places.get((attribution, provider, model))
        if place is None:
            user, tenant, feature, plan = attribution
            name = self._names.get((provider, model))
            if name is None:
                name = self._names[provider, model] = name_of(provider, model)
            cell = Cell(self._payer(user, tenant), user, tenant, plan, feature, name)
            place = self._places[attribution, provider, model] = _Place(cell, self.cells[cell])
        if at < place.first:  # noqa: PLR1730 - once a call
            place.first = at
        return place

    def _payer(self, user: str | None, tenant: str | None) -> Customer:
        payer = self._payers.get((user, tenant))
        if payer is None:
            payer = self._payers[user, tenant] = payer_of(user, tenant, self._assigned)
        return payer

    def _day_of(self, at: float) -> str:
        """Give the date, of which a quarter of an hour has only one, in every zone."""
        quarter = at // _QUARTER
        if self._day[0] != quarter:
            self._day = (quarter, datetime.fromtimestamp(at, self._zone).date().isoformat())
        return self._day[1]

    @property
    def first_planned(self) -> float | None:
        """When the first call under a plan was entered."""
        planned = [place.first for place in self._places.values() if place.cell.plan is not None]
        return min(planned, default=None)

    def came_before(self, earlier: Tabulation) -> bool:
        """Note which part of the cost is from before revenue was known. False where no customer made a call then."""
        if all(cell.customer == Customer() for cell in earlier.cells):
            return False
        for cell, sums in earlier.cells.items():
            self.cells[cell].before += sums.cost
        return True

    def unassigned(self, plans: Mapping[str, Plan], until: float) -> list[SubscriptionPeriod]:
        """Give the subscriptions of customers that were assigned no plan and made calls under the default one."""
        calls = ((place.cell.customer, place.cell.plan, place.first) for place in self._places.values())
        return unassigned_periods(calls, self._assigned, plans, until)

    def spread(self, subscriptions: Iterable[SubscriptionPeriod], plans: Mapping[str, Plan]) -> None:
        """Spread what each brings in over the customer's calls under the plan, evenly, or else over all of them.

        Without calls it stands by itself.
        """
        cells_of: dict[Customer, list[tuple[Cell, Sums]]] = defaultdict(list)
        pauses = self._pause.are_any
        for cell, sums in self.cells.items():
            if sums.calls > 0:
                cells_of[cell.customer].append((cell, sums))
            if pauses:
                self._pause()
        known: dict[tuple[object, ...], int] = {}  # most customers of a plan are on it for the same time
        for subscription in subscriptions:
            if pauses:
                self._pause()
            who, plan = subscription.customer, subscription.plan
            revenue = known.get(subscription[1:])
            if revenue is None:
                revenue = known[subscription[1:]] = revenue_of(subscription, plans)
            mine = cells_of.get(who)
            if mine is None:
                self.cells[Cell(who, who.user, who.tenant, plan, None, None)].revenue += revenue
            else:
                self._divide(revenue, plan, mine)

    def _divide(self, revenue: int, plan: str, mine: list[tuple[Cell, Sums]]) -> None:
        """Spread what a plan brings in over a customer's cells, of which all have calls."""
        same = [each for each in mine if each[0].plan == plan]
        if same and not revenue:
            return
        same = same or list(mine)
        if len(same) > 1:
            same.sort(key=_order)  # so that whatever is left of a division is always left at the same place
        all_calls = sum([sums.calls for _, sums in same])
        passed = given = 0
        for cell, sums in same:
            passed += sums.calls
            owed = revenue * passed // all_calls
            target = sums if cell.plan == plan else self.cells[cell._replace(plan=plan)]
            target.revenue += owed - given
            given = owed


def _order(counted: tuple[Cell, Sums]) -> tuple[str, ...]:
    _, user, tenant, plan, feature, model = counted[0]
    return user or "", tenant or "", plan or "", feature or "", model or ""
