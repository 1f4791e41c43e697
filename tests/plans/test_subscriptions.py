"""Who is on which plan: what the ledger says, in every process, and what a customer has left."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from budgets.stack import AT
from inferkit import Budget, ConfigurationError, LedgerError, Plan
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.journal import Assignment, Charge
from inferkit.ledger.ledger import Ledger
from inferkit.ledger.sqlite.ledger import SqliteLedger, SqliteStore
from inferkit.plans.subscriptions import Plans, Subscription
from inferkit.runtime.direct import DirectRuntime, drive
from worlds import Watched

FREE = Plan("free", allowance=Budget(usd="1"))
PRO = Plan("pro", price="99", allowance=Budget(usd="30"))
TEAM = Plan("team", price="25", per_seat=True, seats=3, pooled=True, allowance=Budget(usd="10"))
OFFER = (FREE, PRO, TEAM, Plan("internal", allowance="unlimited"))


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


class Clock:
    def __init__(self):
        self.at = AT

    def __call__(self):
        return self.at


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("inferkit.runtime.clock.time", clock)
    return clock


@pytest.fixture
def plans(ledger, clock):
    return Plans(OFFER, ledger)


def look_up(plans, *call):
    """As a call of this user and tenant does, which may state a plan."""
    return drive(plans.look_up(DirectRuntime(), *call))


def name_of(plans, **who):
    plan = plans.of(**who).plan
    return plan and plan.name


def use(plans, ledger, call, usd, **who):
    """Spend from a customer's allowance."""
    (scope,) = plans.scopes(plans.of(**who), who.get("user"), who.get("tenant"))
    ledger.reserve(call, [scope.line(AT)], Amounts(usd=1), Amounts(), at=AT, lease_seconds=60)
    ledger.settle(call, Charge(usd * 10**9), at=AT)


def test_nobody_is_on_a_plan_who_was_assigned_none(plans):
    assert plans.of(user="ana", tenant="acme") == Subscription(None)
    assert plans.of() == Subscription(None)


def test_the_default_plan_is_everybodys_who_was_assigned_none(ledger):
    plans = Plans(OFFER, ledger, default="team")
    assert plans.of(user="ana") == plans.of() == Subscription(TEAM, 3)
    assert list(ledger.assignments()) == []


def test_a_users_own_plan_comes_before_the_tenants_and_that_before_the_default(ledger, clock):
    plans = Plans(OFFER, ledger, default="free")
    assert name_of(plans, user="ana", tenant="acme") == "free"
    plans.assign("team", tenant="acme", seats=7)
    assert plans.of(user="ana", tenant="acme") == Subscription(TEAM, 7)
    plans.assign("pro", user="ana")
    assert plans.of(user="ana", tenant="acme") == Subscription(PRO, 1, own=True)
    assert name_of(plans, user="ben", tenant="acme") == "team"
    assert name_of(plans, user="acme") == "free", "a user of the same name is somebody else"
    plans.assign(None, user="ana")
    assert name_of(plans, user="ana", tenant="acme") == "team"
    plans.assign(None, tenant="acme")
    assert name_of(plans, user="ana", tenant="acme") == "free"


def test_an_assignment_without_seats_has_those_of_the_plan(plans):
    plans.assign("team", tenant="acme")
    assert plans.of(tenant="acme").seats == 3


def test_this_process_sees_an_assignment_at_once(plans):
    for plan in ("free", "pro", None, "team"):
        plans.assign(plan, user="ana")
        assert name_of(plans, user="ana") == plan


def test_another_process_sees_an_assignment_within_five_seconds(plans, clock, tmp_path):
    other = SqliteLedger(tmp_path / "ledger.db")
    elsewhere = Plans(OFFER, other)
    assert name_of(elsewhere, user="ana") is None
    plans.assign("pro", user="ana")
    clock.at += 4.9
    assert name_of(elsewhere, user="ana") is None, "it need not ask yet"
    clock.at += 0.2
    assert name_of(elsewhere, user="ana") == "pro"
    other.close()


def test_a_clock_that_is_set_back_keeps_nobody_on_an_old_plan(plans, clock, ledger):
    plans.assign("pro", user="ana", at=AT - 7200)
    assert name_of(plans, user="ana") == "pro"
    clock.at -= 3600
    ledger.assign(Assignment(clock.at, "ana", None, "free"))
    assert name_of(plans, user="ana") == "free"


def test_an_assignment_that_comes_while_the_ledger_is_asked_is_not_missed(tmp_path, clock):
    class Slow(SqliteStore):
        async def assignment(self, runtime, **asked):
            found = await super().assignment(runtime, **asked)
            if thread.ident is None:
                thread.start()
                thread.join(10)
            return found

    slow = Ledger(Slow(tmp_path / "ledger.db"))
    plans = Plans(OFFER, slow)
    thread = threading.Thread(target=lambda: plans.assign("pro", user="ana"))
    plans.of(user="ana")
    assert name_of(plans, user="ana") == "pro"
    slow.close()


def test_an_assignment_holds_from_its_instant_on(plans, clock):
    plans.assign("pro", user="ana", at=AT - 100)
    plans.assign("free", user="ana", at=AT + 100)  # the end of a subscription
    assert name_of(plans, user="ana") == "pro"
    clock.at = AT + 99
    assert name_of(plans, user="ana") == "pro"
    clock.at = AT + 105
    assert name_of(plans, user="ana") == "free"
    clock.at = AT - 50
    assert name_of(plans, user="ana") == "pro"
    clock.at = AT - 200
    assert name_of(plans, user="ana") is None


def test_an_assignment_in_the_future_is_taken_back_by_another_one_for_that_instant(plans, clock):
    plans.assign("pro", user="ana")
    plans.assign("free", user="ana", at=AT + 100)
    plans.assign("pro", user="ana", at=AT + 100)
    clock.at = AT + 200
    assert name_of(plans, user="ana") == "pro"


def test_an_assignment_in_the_past_changes_what_held_until_the_next_one(plans, ledger):
    plans.assign("free", user="ana", at=AT - 300)
    plans.assign("pro", user="ana", at=AT - 100)
    plans.assign("internal", user="ana", at=AT - 200)
    assert [one.plan for one in ledger.assignments()] == ["free", "internal", "pro"]
    assert name_of(plans, user="ana") == "pro"


def test_saying_what_is_so_already_writes_nothing(plans, ledger, clock):
    for _ in range(3):
        plans.assign("pro", user="ana")
        clock.at += 10
    plans.assign("pro", user="ana", seats=2)
    assert [(one.plan, one.seats) for one in ledger.assignments()] == [("pro", 1), ("pro", 2)]


def test_a_plan_that_the_application_states_is_assigned_where_it_differs(plans, ledger, clock):
    assert look_up(plans, "ana", "acme", "pro").plan is PRO
    clock.at += 10
    assert look_up(plans, "ana", "acme", "pro").plan is PRO
    assert list(ledger.assignments()) == [Assignment(AT, "ana", None, "pro", 1)]
    assert look_up(plans, "ana", "acme", "free").plan is FREE, "what is remembered is not what the application says"
    assert list(ledger.assignments())[1:] == [Assignment(clock.at, "ana", None, "free", 1)]


def test_a_stated_plan_keeps_the_seats_that_another_process_just_assigned(plans, clock, ledger):
    assert name_of(plans, user="ana") is None
    ledger.assign(Assignment(clock.at, "ana", None, "pro", 5))
    assert look_up(plans, "ana", None, "pro").seats == 5


def test_a_stated_plan_is_the_tenants_where_the_user_has_it_from_there(plans, ledger):
    plans.assign("team", tenant="acme", seats=9)
    assert look_up(plans, "ana", "acme", "team") == Subscription(TEAM, 9)
    assert len(list(ledger.assignments())) == 1


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("ana", None, "pro"), ("ana", None)),
        (("ana", "acme", "pro"), ("ana", None)),
        ((None, "acme", "pro"), (None, "acme")),
        (("ana", "acme", "team"), (None, "acme")),  # its users are to share it
        (("ana", None, "team"), ("ana", None)),
    ],
)
def test_a_stated_plan_is_the_users_or_if_it_is_pooled_the_tenants(plans, ledger, call, expected):
    look_up(plans, *call)
    assert [(one.user, one.tenant) for one in ledger.assignments()] == [expected]


def test_a_user_who_has_a_plan_can_be_put_on_a_pooled_one(plans):
    plans.assign("pro", user="ana")
    assert look_up(plans, "ana", "acme", "team") == Subscription(TEAM, 3, own=True)


def test_a_stated_plan_moves_customers_off_a_plan_that_is_no_longer_sold(plans, ledger, clock):
    ledger.assign(Assignment(AT - 1, "ana", None, "classic"))
    with pytest.raises(ConfigurationError, match='user "ana" is on plan "classic", which is not among plans='):
        plans.of(user="ana")
    assert look_up(plans, "ana", None, "pro").plan is PRO
    assert name_of(plans, user="ana") == "pro"


def test_a_tenants_plan_that_is_no_longer_there_names_the_tenant(plans, ledger):
    ledger.assign(Assignment(AT - 1, None, "acme", "classic"))
    with pytest.raises(ConfigurationError, match='tenant "acme" is on plan "classic".*keep plans that customers are'):
        plans.of(user="ana", tenant="acme")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"plan": "gold", "user": "ana"}, 'there is no plan "gold"; the plans are: free, pro, team, internal'),
        ({"plan": "pro"}, "to a user or to a tenant: assign(plan, user=...)"),
        ({"plan": "pro", "user": "ana", "tenant": "acme"}, "to a user or to a tenant"),
        ({"plan": "pro", "user": 17}, "texts that are not empty; got 17"),
        ({"plan": "pro", "user": "ana", "at": datetime(2026, 1, 1, tzinfo=UTC)}, "at is in seconds since the epoch"),
        ({"plan": "pro", "user": "ana", "at": float("nan")}, "at is in seconds since the epoch"),
        ({"plan": "pro", "tenant": ""}, "texts that are not empty"),
        (
            {"plan": "team", "tenant": "acme", "seats": 0},
            'plan "team" is sold for a whole number of seats from 1; got 0',
        ),
        ({"plan": "team", "tenant": "acme", "seats": "5"}, "a whole number of seats"),
    ],
)
def test_an_assignment_that_makes_no_sense_is_refused(plans, ledger, arguments, said):
    with pytest.raises(ConfigurationError) as caught:
        plans.assign(**arguments)
    assert said in str(caught.value)
    assert list(ledger.assignments()) == []


def test_seats_that_a_flat_price_cannot_be_divided_by_are_refused_when_they_are_assigned(ledger):
    plans = Plans([Plan("tiny", price="0.0001", target_margin="0.9")], ledger)
    with pytest.raises(ConfigurationError, match="leaves nothing for 1000000 seats"):
        plans.assign("tiny", tenant="acme", seats=1_000_000)


@pytest.mark.parametrize(
    ("given", "default", "said"),
    [
        (["pro"], None, 'plans are Plan values: Plan("pro", price="99"); got str'),
        ([PRO, FREE, Plan("pro", allowance="unlimited")], None, 'two plans have the name "pro"'),
        ([PRO], "free", 'there is no plan "free"; the plans are: pro'),
        ([], "free", "the plans are: none"),
    ],
)
def test_an_offer_that_makes_no_sense_is_refused(ledger, given, default, said):
    with pytest.raises(ConfigurationError) as caught:
        Plans(given, ledger, default=default)
    assert said in str(caught.value)


def test_a_stated_plan_that_is_nobodys_is_refused(plans):
    with pytest.raises(ConfigurationError, match='says plan="pro", but not whose; pass user=... or tenant='):
        look_up(plans, None, None, "pro")


def test_what_is_left_of_an_allowance_is_told_for_users_and_pools(plans, ledger):
    plans.assign("pro", user="ana")
    plans.assign("team", tenant="acme", seats=5)
    use(plans, ledger, "1", 4, user="ana")
    use(plans, ledger, "2", 8, user="ben", tenant="acme")
    use(plans, ledger, "3", 9, user="cleo", tenant="acme")
    assert (plans.usage(user="ana").usd, plans.remaining(user="ana").usd) == (4, 26)
    assert plans.usage(tenant="acme") == plans.usage(user="ben", tenant="acme")
    assert (plans.usage(tenant="acme").usd, plans.remaining(tenant="acme").usd) == (17, 33)
    assert plans.remaining(user="ana").resets_at.isoformat() == "2026-12-01T00:00:00+00:00"


def test_without_an_allowance_nothing_is_left_to_tell(plans):
    plans.assign("internal", user="cron")
    for who in ("cron", "dora"):
        assert plans.usage(user=who) is None
        assert plans.remaining(user=who) is None
        with pytest.raises(ConfigurationError, match="has no allowance that could be topped up"):
            plans.top_up(user=who, usd="5")


def test_an_allowance_is_topped_up_where_it_is_used(plans, ledger):
    plans.assign("pro", user="ana")
    plans.assign("team", tenant="acme")
    plans.top_up(user="ana", usd="5")
    plans.top_up(tenant="acme", usd="7.50")
    assert plans.remaining(user="ana").usd == 35
    assert plans.remaining(user="ben", tenant="acme").usd == Decimal("37.5")


@pytest.mark.parametrize(("plan", "left"), [("free", 0), ("pro", 26), ("team", 26)])
def test_a_change_of_plan_takes_along_what_was_used(plans, ledger, plan, left):
    plans.assign("pro", user="ana")
    use(plans, ledger, "1", 4, user="ana")
    plans.assign(plan, user="ana")
    assert plans.usage(user="ana").usd == 4
    assert plans.remaining(user="ana").usd == left


def test_a_tenant_that_buys_more_seats_has_more_left_at_once(plans, ledger):
    plans.assign("team", tenant="acme", seats=2)
    use(plans, ledger, "1", 15, user="ben", tenant="acme")
    plans.assign("team", tenant="acme", seats=4)
    assert plans.remaining(tenant="acme").usd == 25


def test_a_users_own_pooled_plan_leaves_the_tenants_pool_alone(plans, ledger):
    plans.assign("team", tenant="acme", seats=5)
    plans.assign("team", user="ana", seats=1)
    use(plans, ledger, "1", 9, user="ana", tenant="acme")
    assert plans.remaining(user="ana", tenant="acme").usd == 1
    assert plans.remaining(user="ben", tenant="acme").usd == 50


def test_definitions_are_kept_in_the_ledger_and_only_changes_are_added(plans, ledger):
    Plans(OFFER, ledger)
    dearer = Plan("pro", price="119", allowance=Budget(usd="30"))
    Plans([dearer], ledger)
    assert ledger.definitions() == {**{plan.name: plan.definition() for plan in OFFER}, "pro": dearer.definition()}
    (count,) = ledger.accounts.database.read("SELECT count(*) FROM definitions")[0]
    assert count == len(OFFER) + 1


def test_a_ledger_that_is_down_is_not_mistaken_for_one_without_plans(plans, ledger, clock):
    plans.assign("pro", user="ana")
    ledger.close()
    ledger.accounts.database.path.unlink()
    ledger.accounts.database.path.mkdir()
    with pytest.raises(LedgerError):
        plans.of(user="ana")


def test_what_is_remembered_has_an_end(plans, monkeypatch):
    monkeypatch.setattr("inferkit.plans.subscriptions._MOST_REMEMBERED", 10)
    kept = weakref.WeakSet()
    for number in range(25):
        user = Watched(number)
        kept.add(user)
        plans.scopes(plans.of(user=user), user, None)
    gc.collect()
    assert len(kept) <= 10


def test_customers_of_several_processes_are_all_written_down(tmp_path, ledger):
    program = """
import sys
from inferkit import Budget, SqliteLedger
from inferkit import Plan
from inferkit.plans.subscriptions import Plans

plans = Plans([Plan("pro", allowance=Budget(usd="5"))], SqliteLedger(sys.argv[1]))
for number in range(40):
    plans.assign("pro", user=f"{sys.argv[2]}{number}")
    plans.assign("pro", user=f"both{number}", at=1.0)
"""
    path = str(tmp_path / "ledger.db")
    running = [subprocess.Popen([sys.executable, "-c", program, path, name]) for name in "ab"]
    assert [process.wait(60) for process in running] == [0, 0]
    assert len(list(ledger.assignments())) == 120
