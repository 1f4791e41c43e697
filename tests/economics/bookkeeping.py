"""A ledger with calls of a test's choosing, and the report of it."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

from inferkit.economics.report import report as reports
from inferkit.economics.report.report import Period, build_report
from inferkit.economics.report.tabulation import Tabulation
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Assignment, Attribution, Charge
from inferkit.ledger.summary import Pending

USD = 10**9
_numbers = itertools.count()


def at(text, zone="UTC"):
    """Seconds since the epoch of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def period(since, until, zone="UTC"):
    since, until = (datetime.fromisoformat(each).replace(tzinfo=ZoneInfo(zone)) for each in (since, until))
    return Period(since, until, zone)


NOVEMBER = period("2026-11-01", "2026-12-01")
DECEMBER = period("2026-12-01", "2027-01-01")


def charge(usd, *, user=None, tenant=None, feature=None, plan=None, **fields):
    fields = {"provider": "x", "model": "m", "input_tokens": 10, "output_tokens": 5, "outcome": "completed"} | fields
    return Charge(usd, attribution=Attribution(user, tenant, feature, plan), **fields)


def enter(ledger, usd, when="2026-11-10", *, call=None, **fields):
    """Enter a call as it ends; `when` is a time in UTC."""
    assert ledger.record(call or f"call-{next(_numbers)}", charge(usd, **fields), at=at(when))


def lose(ledger, usd, *, reserved, swept, call, tokens=7, **attribution):
    """Reserve for a call whose process dies, and post it when its lease is over."""
    line = Line("all", "month:2026-11-01", usd=10**15)
    held = Amounts(usd, tokens, 1)
    answer = ledger.reserve(
        call, [line], held, held, at=at(reserved), lease_seconds=60, attribution=Attribution(**attribution)
    )
    assert isinstance(answer, Grant)
    assert ledger.sweep(at(swept)) == 1


def assign(ledger, when, plan, *, user=None, tenant=None, seats=1):
    ledger.assign(Assignment(at(when), user, tenant, plan, seats))


def report_of(ledger, when=NOVEMBER, plans=(), **options):
    return build_report(ledger, when, plans=plans, **options)


def costs(report, dimension):
    return {row.name: row.cost for row in report.by(dimension)}


def revenues(report, dimension):
    return {row.name: row.revenue for row in report.by(dimension)}


def some(kinds):
    """What there was any of, among kinds of savings or waste: (times, nano-dollars)."""
    return {name: (amount.calls, amount.usd) for name, amount in kinds.items() if amount.calls or amount.usd}


def summarise(calls, assigned, tallies, when, *, plans, baseline=None):
    """The report of calls that are in no ledger."""
    table = Tabulation(assigned, ZoneInfo(when.zone), baseline)
    for entry in calls:
        table.add(entry)
    return reports.report_of(table, assigned, tallies, when, plans=plans, pending=Pending(), revenue_since=None)
