"""`inferkit plans`, as an operator uses it, beside an application."""

from __future__ import annotations

import contextlib
import re

import pytest

from cli.shop import PLANS, PROMPT, Provider, shop
from command import command
from inferkit import SqliteLedger
from inferkit.cli.reporting import period_of
from inferkit.economics.report.report import build_report
from inferkit.ledger.journal import Charge
from inferkit.runtime import clock
from wire import Wire

__all__ = ["command"]


@pytest.fixture
def plans(command, path):
    return lambda *arguments: command("plans", *arguments, "--ledger", path)


def assigned(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        return list(ledger.assignments())


def test_it_says_who_is_on_which_plan_since_when_and_what_that_brings_in(plans):
    shown = plans()
    assert shown.said("Customer Is Plan Seats Since (UTC)", "ana user pro 1", "acme tenant team 2")
    assert shown.said("$99.00 a month", "$40.00 a month")
    found = {each["user"] or each["tenant"]: each for each in plans("--json").json}
    assert (found["ana"]["plan"], found["acme"]["seats"], found["ana"]["holds"]) == ("pro", 2, True)
    assert found["ana"]["since"] == "2026-09-21T14:13:20+00:00"
    for asked, names in (
        (("--plan", "team"), ["acme"]),
        (("--user", "ana"), ["ana"]),
        (("--tenant", "acme"), ["acme"]),
    ):
        assert [each["user"] or each["tenant"] for each in plans(*asked, "--json").json] == names


def test_an_assignment_for_a_date_that_is_past_changes_what_a_report_says_of_it(plans, path):
    done = plans("assign", "pro", "--user", "ben", "--since", "2026-10-01")
    assert (done.code, done.said("user ben is on plan pro from 1 October 2026, 00:00 (UTC) on")) == (0, True)
    (ben,) = [each for each in assigned(path) if each.user == "ben"]
    assert (ben.plan, ben.seats, ben.at) == ("pro", 1, 1_790_812_800.0)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        report = build_report(ledger, period_of(None, None, "2026-10", "UTC"), plans=PLANS)
    assert {row.name: row.revenue for row in report.by("user")}["ben"] == 99 * 10**9


def test_what_holds_later_is_said_and_stays(plans):
    plans("assign", "team", "--user", "ben", "--since", "2026-11-01", "--new")
    done = plans("assign", "pro", "--user", "ben", "--since", "2026-10-01")
    assert done.said("until 1 November 2026, 00:00, from when on it is on plan team, as was said before")
    history = plans("--user", "ben", "--history", "--json").json
    assert [(each["plan"], each["until"]) for each in history] == [("team", None), ("pro", "2026-11-01T00:00:00+00:00")]
    assert [each["plan"] for each in plans("--user", "ben", "--json").json] == ["team"]
    assert plans("assign", "team", "--user", "ben").said("was on plan team then already; nothing was changed")


def test_a_customer_leaves_and_is_shown_no_more(plans, path):
    assert plans("end", "--user", "ana").said("user ana is on no plan from")
    assert [each["tenant"] for each in plans("--json").json] == ["acme"]
    assert plans("--history").said("ana user (none)", "ana user pro 1")
    assert assigned(path)[-1].plan is None
    plans("assign", "pro", "--user", "ana", "--since", "2999-01-01")
    assert [each["holds"] for each in plans("--user", "ana", "--json").json] == [False]


def test_an_application_that_runs_is_told(command, tmp_path):
    with Wire(Provider()) as wire, shop(wire, tmp_path, budget=None, cache=False) as llm:
        llm.complete("fast", PROMPT, user="zoe")
        done = command(
            "plans", "assign", "team", "--user", "zoe", "--seats", "3", "--ledger", tmp_path / "ledger.sqlite3"
        )
        assert done.code == 0, done.err
        llm.plans._known.clear()  # what is remembered for five seconds
        subscription = llm.plans.of(user="zoe")
        assert (subscription.plan.name, subscription.seats) == ("team", 3)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("assign", "gold", "--user", "ana"), 'no plan "gold" in this ledger; the plans are: pro, team'),
        (("assign", "pro", "--user", "anna"), r'knows no user "anna" \(did you mean ana\?\); .* takes --new'),
        (("assign", "pro", "--tenant", "ana"), 'knows no tenant "ana"'),
        (("assign", "pro"), "a plan is a user's or a tenant's: pass --user or --tenant"),
        (("assign", "pro", "--user", ""), "pass --user or --tenant"),
        (("assign", "pro", "--user", "ana", "--tenant", "acme"), "pass --user or --tenant"),
        (("assign", "pro", "--user", "ana", "--seats", "9999999"), "a whole number of seats from 1; got 9999999"),
        (("assign", "pro", "--user", "ana", "--since", "then"), "an instant is written"),
        (("end", "--user", "nobody"), 'knows no user "nobody"'),
        (("--plan", "gold"), 'no plan "gold"'),
        (("--user", "anna"), r"\(did you mean ana\?\)"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_changed(plans, path, asked, message):
    before = assigned(path)
    done = plans(*asked)
    assert done.code == 1
    assert re.search(message, " ".join(done.err.split())), done.err
    assert assigned(path) == before


def test_a_ledger_without_plans_and_one_that_is_not_there_are_said(command, tmp_path):
    path = tmp_path / "l"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("a", Charge(1), at=clock.time())
    assert command("plans", "--ledger", path).said("nobody is on a plan in this ledger")
    refused = command("plans", "assign", "pro", "--user", "a", "--ledger", path)
    assert refused.said('there is no plan "pro" in this ledger, and no other; an application that has plans=')
    for more in ((), ("assign", "pro", "--user", "a")):
        assert command("plans", *more, "--ledger", tmp_path / "none").said("there is no ledger at")
