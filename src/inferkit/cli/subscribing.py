"""What `inferkit plans` shows and changes."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.budgets.windows import zone_named
from inferkit.cli.opening import ledger_at, records_at
from inferkit.cli.showing import Column, dollars, say, show_table, write_json
from inferkit.cli.times import instant_of, iso, short_times
from inferkit.core.errors import ConfigurationError
from inferkit.economics.formatting import count, instant
from inferkit.ledger.journal import Assignment
from inferkit.ledger.sqlite.search import customers_known, is_known
from inferkit.plans.models import plan_from
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from inferkit.ledger.sqlite.journal import SqliteRecords
    from inferkit.plans.plan import Plan

__all__ = ["assign_plan", "list_subscriptions"]

_COLUMNS = (
    Column("Customer", fold=True),
    Column("Is", 2),
    Column("Plan", fold=True),
    Column("Seats", 1, right=True),
    Column("Since"),
    Column("Until", 3),
    Column("Pays", 4, right=True),
)


class AssignedTime(NamedTuple):
    """An assignment, and until when it holds: None where no other comes after it."""

    assignment: Assignment
    until: float | None

    def holds(self, at: float) -> bool:
        """Whether it holds at an instant."""
        return self.assignment.at <= at and (self.until is None or at < self.until)


def list_subscriptions(
    *,
    ledger: str | None,
    user: str | None,
    tenant: str | None,
    plan: str | None,
    history: bool,
    zone: str,
    limit: int,
    as_json: bool,
) -> None:
    """Show them. Raises `ConfigurationError` and `LedgerError`."""
    tz = zone_named(zone)
    records = records_at(ledger)
    try:
        known = _plans(records)
        if plan is not None and plan not in known:
            raise _unknown(plan, known)
        stretches = _stretches(records.assignments())
        for whose, customer in (("user", user), ("tenant", tenant)):
            if customer is not None and not is_known(records.reader, whose, customer):
                raise _stranger(records, whose, customer)
    finally:
        records.close()
    now = clock.time()
    chosen = [
        each
        for each in stretches
        if user in (None, each.assignment.user)
        and tenant in (None, each.assignment.tenant)
        and plan in (None, each.assignment.plan)
        and (history or (each.assignment.plan is not None and (each.holds(now) or each.assignment.at > now)))
    ]
    chosen.sort(key=lambda each: each.assignment.at, reverse=True)
    if as_json:
        write_json([_as_dict(each, tz) for each in chosen[:limit]])
    elif chosen:
        _show(chosen[:limit], known, tz)
        if len(chosen) > limit:
            say(f"the latest {limit} of {count(len(chosen))}; more with --limit", "dim")
    else:
        say("nobody is on a plan in this ledger" if not stretches else "nobody is like that; --history shows who was")


def assign_plan(
    plan: str | None,
    *,
    user: str | None,
    tenant: str | None,
    since: str | None,
    seats: int | None,
    new: bool,
    zone: str,
    ledger: str | None,
    as_json: bool,
) -> None:
    """Do what `assign` and `end` do. Raises `ConfigurationError` and `LedgerError`; then nothing was changed."""
    tz = zone_named(zone)
    customer = user if user is not None else tenant
    if (user is None) == (tenant is None) or not customer:
        raise ConfigurationError("a plan is a user's or a tenant's: pass --user or --tenant")
    whose = "user" if user is not None else "tenant"
    at = instant_of(since, zone)
    records = records_at(ledger)
    try:
        known = _plans(records)
        number = 1 if plan is None else _seats(plan, known, seats)
        if not new and not is_known(records.reader, whose, customer):
            raise _stranger(records, whose, customer)
        before = [each for each in records.assignments() if (each.user, each.tenant) == (user, tenant)]
    finally:
        records.close()
    assignment = Assignment(clock.time() if at is None else at, user, tenant, plan, number)
    book = ledger_at(ledger)
    try:
        book.assign(assignment)
        after = [each for each in book.assignments() if (each.user, each.tenant) == (user, tenant)]
    finally:
        book.close()
    stretches = sorted(_stretches(after), key=lambda each: each.assignment.at, reverse=True)
    if as_json:
        write_json([_as_dict(each, tz) for each in stretches])
        return
    what = "no plan" if plan is None else f"plan {plan}"
    if len(after) == len(before):
        say(f"{whose} {customer} was on {what} then already; nothing was changed")
    else:
        say(f"{whose} {customer} is on {what} from {instant(assignment.at, tz.key)} ({tz.key}) on")
    later = [each.assignment for each in stretches if each.assignment.at > assignment.at]
    if later:
        says = "no plan" if later[-1].plan is None else f"plan {later[-1].plan}"
        say(f"until {instant(later[-1].at, tz.key)}, from when on it is on {says}, as was said before")
    _show(stretches, known, tz)


def _plans(records: SqliteRecords) -> dict[str, Plan]:
    """Give the plans that applications have had, as they were defined last."""
    return {plan: plan_from(plan, json.loads(text)) for plan, text in records.definitions().items()}


def _seats(plan: str, known: Mapping[str, Plan], seats: int | None) -> int:
    if plan not in known:
        raise _unknown(plan, known)
    number = known[plan].seats if seats is None else seats
    known[plan].check_seats(number)
    return number


def _unknown(plan: str, known: Mapping[str, Plan]) -> ConfigurationError:
    if not known:
        return ConfigurationError(
            f'there is no plan "{plan}" in this ledger, and no other; an application that has plans= writes them there'
        )
    return ConfigurationError(f'there is no plan "{plan}" in this ledger; the plans are: {", ".join(known)}')


def _stranger(records: SqliteRecords, whose: str, customer: str) -> ConfigurationError:
    close = get_close_matches(customer, customers_known(records.reader, whose), n=3)
    near = f" (did you mean {' or '.join(close)}?)" if close else ""
    return ConfigurationError(
        f'this ledger knows no {whose} "{customer}"{near}; for one who has made no call yet, `assign` takes --new'
    )


def _stretches(assignments: Iterable[Assignment]) -> list[AssignedTime]:
    """Say of each assignment until when it holds. Of two for one instant, the later one says what holds."""
    of_each: dict[tuple[str | None, str | None], dict[float, Assignment]] = {}
    for each in assignments:
        of_each.setdefault((each.user, each.tenant), {})[each.at] = each
    found: list[AssignedTime] = []
    for by_instant in of_each.values():
        instants = sorted(by_instant)
        ends = [*instants[1:], None]
        found += [AssignedTime(by_instant[begin], end) for begin, end in zip(instants, ends, strict=True)]
    return found


def _show(stretches: Sequence[AssignedTime], known: Mapping[str, Plan], tz: ZoneInfo) -> None:
    since = short_times([each.assignment.at for each in stretches], tz)
    ends = iter(short_times([each.until for each in stretches if each.until is not None], tz))
    rows = []
    for begin, (assignment, until) in zip(since, stretches, strict=True):
        plan = known.get(assignment.plan or "")
        rows.append(
            [
                assignment.user or assignment.tenant or "",
                "user" if assignment.user is not None else "tenant",
                assignment.plan or "(none)",
                "" if assignment.plan is None else str(assignment.seats),
                begin,
                "" if until is None else next(ends),
                "" if plan is None else f"{dollars(plan.revenue(assignment.seats))} a {plan.per}",
            ]
        )
    columns = [column._replace(title=f"Since ({tz.key})") if column.title == "Since" else column for column in _COLUMNS]
    show_table(columns, rows)


def _as_dict(each: AssignedTime, tz: ZoneInfo) -> dict[str, Any]:
    assignment = each.assignment
    return {
        "user": assignment.user,
        "tenant": assignment.tenant,
        "plan": assignment.plan,
        "seats": assignment.seats,
        "since": iso(assignment.at, tz),
        "until": iso(each.until, tz),
        "holds": each.holds(clock.time()),
    }
