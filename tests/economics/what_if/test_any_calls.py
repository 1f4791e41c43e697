"""Whatever calls were made, what the store adds up is to the nano-dollar what they come to one by one."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from economics.bookkeeping import NOVEMBER, at, charge, period, report_of
from economics.report.test_sums import OneByOne
from economics.what_if.test_replay import InOrder, without_nothing
from inferkit import Budget, Price
from inferkit.core.usage import NO_DETAILS, UsageDetails
from inferkit.economics.report.rows import DIMENSIONS, row_of, rows_by
from inferkit.economics.what_if.scenario import Scenario
from inferkit.economics.what_if.what_if import play
from inferkit.ledger.journal import Assignment, Part
from inferkit.ledger.sqlite import hours
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.plans.plan import Plan
from inferkit.runtime import yielding

PLANS = (Plan("pro", price="30", allowance="unlimited"), Plan("free", allowance="unlimited"))
HALF = period("2026-11-09T12:00", "2026-11-20")
several = (Part("primary", "x", "m0", "error", 300, 1, 1), Part("fallback", "x", "m1", "completed", 7000, 2, 2))
unbilled = (Part("primary", "x", "m0", "error", 0), Part("fallback", "x", "m1", "completed", 7000, 2, 2))


@st.composite
def calls(draw):
    """A call, of few kinds, so that many are alike."""
    one = draw(st.sampled_from([(), (), (), (), several, unbilled]))
    fields = {
        "user": draw(st.sampled_from(["ana", "ben", None])),
        "plan": draw(st.sampled_from(["pro", None])),
        "model": draw(st.sampled_from(["m0", "m1"])),
        "outcome": draw(st.sampled_from(["completed", "closed"])),
        "input_tokens": draw(st.integers(0, 50)),
        "cache_read_tokens": draw(st.sampled_from([0, 3])),
        "routing_saved": draw(st.sampled_from([0, 9])),
        "details": draw(st.sampled_from([NO_DETAILS, UsageDetails(reported_nanos=8), UsageDetails(region="eu")])),
    }
    usd = sum(part.usd for part in one) if one else draw(st.sampled_from([None, *range(0, 9000, 777)]))
    day, minute = draw(st.integers(0, 44)), draw(st.integers(0, 1439))
    return at("2026-10-17") + 86400 * day + 60 * minute, charge(usd, parts=one, **fields)


limits = st.builds(
    Budget,
    usd=st.sampled_from(["0.000005", "0.00002", "1"]),
    calls=st.sampled_from([None, 3, 7]),
    per=st.sampled_from(["month", "day", "call", timedelta(days=3)]),
    each=st.sampled_from([None, "user"]),
    name=st.just("cap"),
)
scenarios = st.builds(
    Scenario,
    st.just("another"),
    limits=st.one_of(st.just(()), st.tuples(limits)),
    prices=st.sampled_from([{}, {"x:m0": Price("3", "1")}]),
    reroute=st.sampled_from([{}, {}, {"x:m1": "local"}]),
    users=st.sampled_from([{}, {"ana": "free"}]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(calls(), min_size=1, max_size=40),
    scenarios,
    st.booleans(),
    st.sampled_from([NOVEMBER, HALF]),
    st.sampled_from([0, hours._MANY]),
)
def test_sums_are_what_calls_come_to_one_by_one(made, scenario, assigns, when, many):
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(SqliteLedger(Path(folder) / "ledger.db")) as ledger,
    ):
        patch.setattr(hours, "_MANY", many)  # from which on another thread adds up
        patch.setattr(yielding, "is_alone", lambda: True)
        for number, (instant, each) in enumerate(made):
            assert ledger.record(str(number), each, at=instant)
        if assigns:
            ledger.assign(Assignment(at("2026-11-14"), "ana", None, "pro"))
        report = report_of(ledger, when, PLANS)
        assert report == report_of(OneByOne(ledger), when, PLANS)
        assert report.total == row_of(None, report.cells)
        for dimension in DIMENSIONS[1:]:
            assert sorted(report.by(dimension), key=repr) == sorted(rows_by(report.cells, dimension), key=repr)
        within = [each for instant, each in made if when.since.timestamp() <= instant < when.until.timestamp()]
        costs = Counter()
        for each in within:
            costs[each.attribution.user] += each.usd or 0
        assert {row.name: (row.cost, row.calls) for row in report.by("user") if row.calls} == {
            user: (usd, sum(each.attribution.user == user for each in within)) for user, usd in costs.items()
        }
        summed, one_by_one = (play(each, report, scenario) for each in (ledger, InOrder(ledger)))
    assert (summed.effects, summed.changes) == (one_by_one.effects, one_by_one.changes)
    assert (summed.met, summed.users) == (one_by_one.met, one_by_one.users)
    assert without_nothing(summed.after) == without_nothing(one_by_one.after)
