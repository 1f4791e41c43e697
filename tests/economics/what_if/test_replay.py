"""What would have been under other plans, limits and prices, worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from economics.bookkeeping import (
    NOVEMBER,
    USD,
    assign,
    at,
    charge,
    costs,
    enter,
    lose,
    period,
    report_of,
    revenues,
    some,
    summarise,
)
from economics.report.test_report import entries, some_subscriptions
from economics.report.test_sums import PLANS, OneByOne, fill
from inferkit import Budget, Price
from inferkit.core.errors import ConfigurationError
from inferkit.economics.what_if.file import read_scenario
from inferkit.economics.what_if.replay import Replay
from inferkit.economics.what_if.scenario import Scenario
from inferkit.economics.what_if.what_if import play
from inferkit.ledger.journal import Part
from inferkit.ledger.sqlite.postings import cell_of
from inferkit.plans.plan import Plan

PRO = Plan("pro", price="30", allowance="unlimited")
TEAM = Plan("team", price="10", per_seat=True, allowance="unlimited")


@pytest.fixture
def what_if(ledger, tmp_path):
    """Replay the ledger's November against the text of a file."""

    def ask(text, when=NOVEMBER, plans=(PRO, TEAM), **options):
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return play(ledger, report_of(ledger, when, plans, **options), read_scenario(path), **options)

    return ask


def done(found):
    """What each limit did: refused, cut, degraded, saved."""
    return {name: (effect.refused, effect.cut, effect.degraded, effect.saved) for name, effect in found.effects.items()}


def test_a_cap_for_each_user_refuses_cuts_and_saves_what_it_says(ledger, what_if):
    for user, amounts in {"ana": (3, 3, 3), "ben": (5, 1), "eva": (1, 1), "leo": (4,)}.items():
        for day, usd in enumerate(amounts, 1):
            enter(ledger, usd * USD, f"2026-11-{day:02}", user=user, output_tokens=30)
    enter(ledger, 100 * USD, "2026-11-09")  # names nobody, whom a limit for each user does not hold
    found = what_if('[[limits]]\nusd = "5"\neach = "user"')
    # ana: 3, then 2 of 3, then nothing of 3; ben: 5, then nothing of 1
    assert done(found) == {"limit-1": (2, 1, 0, (1 + 3 + 1) * USD)}
    assert costs(found.after, "user") == {
        "ana": 5 * USD,
        "ben": 5 * USD,
        "eva": 2 * USD,
        "leo": 4 * USD,
        None: 100 * USD,
    }
    assert (found.refused, found.refused_users, found.users, found.saved) == (2, 2, 4, 5 * USD)
    assert found.sentences == [
        (
            "A limit of $5.00 per month for each user would have refused 50.0 % of users (2 of 4) and saved $5.00: "
            "2 calls refused, 1 cut short."
        ),
        (
            "In all, for 2 users of 4: cost $116.00 instead of $121.00, "
            "revenue $0.00 instead of $0.00, margin -$116.00 instead of -$121.00."
        ),
    ]
    cut = next(row for row in found.after.by("user") if row.name == "ana")
    assert (cut.calls, cut.output_tokens) == (2, 30 + 20)
    assert some(found.after.waste.kinds) == {"truncated replies": (1, 2 * USD)}


def test_the_same_conditions_change_nothing(ledger, what_if):
    several = (Part("primary", "x", "dear", "error", 30, 10, 0), Part("retry", "x", "m", "completed", 12, 10, 5))
    assign(ledger, "2026-11-03", "pro", user="ana")
    assign(ledger, "2026-11-20", "team", tenant="acme", seats=3)
    enter(ledger, 42, user="ana", plan="pro", parts=several, prompt_cache_saved=5, routing_saved=7)
    enter(ledger, 5, "2026-11-21", user="ben", tenant="acme", plan="team", finish_reason="length")
    enter(ledger, None, user="guest")
    lose(ledger, 100, reserved="2026-11-05", swept="2026-11-06", call="a", user="ana", plan="pro")
    lose(ledger, 100, reserved="2026-10-05", swept="2026-10-06", call="b", user="ben")
    assert ledger.settle("b", charge(42, user="ben", provider="x", model="m"), at=at("2026-11-07"))
    same = '[plans.pro]\nprice = "30"\nallowance = "unlimited"\n[users]\nana = "pro"\n[[limits]]\nusd = "1000"'
    for text in ("", same):
        found = what_if(text)
        assert (found.saved, found.refused, done(found)) == (0, 0, {})
        assert dict(found.after.cells) == dict(found.before.cells)
        assert found.after.waste == found.before.waste
        assert found.after.savings == found.before.savings
    assert found.sentences[0] == "A limit of $1,000.00 per month would have met nobody."


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries(), max_size=12), st.lists(some_subscriptions(), max_size=4))
def test_a_scenario_that_changes_nothing_changes_nothing(tmp_path, calls, assigned):
    path = tmp_path / "plan.toml"
    path.write_text("")
    plans = {"pro": PRO}
    replay = Replay(read_scenario(path), plans, assigned)
    before = summarise(calls, assigned, [], NOVEMBER, plans=plans, baseline=None)
    after = summarise(
        replay.run(calls),
        replay.subscriptions.periods(assigned),
        [],
        NOVEMBER,
        plans=replay.subscriptions.plans,
        baseline=None,
    )
    assert after == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries(), max_size=12), st.integers(1, 9), st.integers(1, 40))
def test_no_limit_is_ever_passed(tmp_path, calls, usd, tokens):
    path = tmp_path / "plan.toml"
    path.write_text(f'[[limits]]\nusd = "{usd}"\n[[limits]]\ntokens = {tokens}\n[[limits]]\ncalls = 3')
    replay = Replay(read_scenario(path), {}, [])
    after = summarise(replay.run(calls), [], [], NOVEMBER, plans={}, baseline=None)
    assert after.total.cost <= usd * USD
    assert after.total.calls <= 3
    before = summarise(calls, [], [], NOVEMBER, plans={}, baseline=None)
    assert before.total.cost - after.total.cost == sum(effect.saved for effect in replay.effects.values())


def test_calls_and_tokens_are_limited_too(ledger, what_if):
    for day in range(1, 5):
        enter(ledger, 15, f"2026-11-0{day}", user="ana")  # 10 tokens in and 5 out
    found = what_if("[[limits]]\ncalls = 3")
    assert (done(found), found.after.total.calls) == ({"limit-1": (1, 0, 0, 15)}, 3)
    found = what_if("[[limits]]\ntokens = 43\nname = 'few'")  # 15, 15, 10 in and 3 out
    assert (done(found), found.after.total.output_tokens) == ({"few": (1, 1, 0, 15 + 2)}, 13)
    found = what_if("[[limits]]\ntokens = 40")  # the third call's input alone takes all that is left
    assert done(found) == {"limit-1": (2, 0, 0, 30)}
    assert "A limit of 40 tokens per month would have refused 100.0 % of users (1 of 1)" in found.sentences[0]


def test_a_limit_on_each_call_holds_each_by_itself(ledger, what_if):
    for usd in (1, 2, 5):
        enter(ledger, usd * USD)
    found = what_if('[[limits]]\nusd = "2"\nper = "call"')
    assert done(found) == {"limit-1": (0, 1, 0, 3 * USD)}
    assert found.after.total.cost == 5 * USD


def test_days_of_a_zone_have_a_limit_each(ledger, what_if):
    for when in ("2026-11-02T22:59", "2026-11-02T23:00", "2026-11-03T22:59"):  # UTC: the 2nd, 3rd and 3rd in Zurich
        enter(ledger, 3 * USD, when)
    found = what_if('[[limits]]\nusd = "3"\nper = "day"\nzone = "Europe/Zurich"')
    assert done(found) == {"limit-1": (1, 0, 0, 3 * USD)}


def test_a_rolling_limit_forgets_what_is_older_than_it(ledger, what_if):
    for minute in (0, 30, 59, 61, 62, 150):
        enter(ledger, USD, f"2026-11-02T{10 + minute // 60}:{minute % 60:02}")
    found = what_if('[[limits]]\nusd = "3"\nper = { hours = 1 }')
    # at 11:01 the three of 10:00, 10:30 and 10:59 still count, at 11:02 that of 10:00 is over
    assert done(found) == {"limit-1": (1, 0, 0, USD)}
    assert "in any 1:00:00" in found.sentences[0]


def test_a_grace_may_be_used(ledger, what_if):
    enter(ledger, 6 * USD)
    assert done(what_if('[[limits]]\nusd = "5"\ngrace = "0.1"')) == {"limit-1": (0, 1, 0, USD // 2)}


def test_what_costs_nothing_is_free_after_the_limit_too(ledger, what_if):
    enter(ledger, 5 * USD, "2026-11-01")
    enter(ledger, 0, "2026-11-02", provider="local")
    assert done(what_if('[[limits]]\nusd = "5"')) == {}


def test_limits_for_tenants_and_for_everybody_hold_together(ledger, what_if):
    for tenant, usd in (("acme", 4), ("acme", 4), ("zeta", 2), (None, 9)):
        enter(ledger, usd * USD, tenant=tenant)
    found = what_if('[[limits]]\nusd = "6"\neach = "tenant"\n[[limits]]\nusd = "10"\nname = "all"')
    # acme 4 and 2 of 4, zeta 2, then 2 of 9 for all
    assert done(found) == {"limit-1": (0, 1, 0, 2 * USD), "all": (0, 1, 0, 7 * USD)}
    assert found.after.total.cost == 10 * USD


def test_refused_calls_that_name_nobody_are_no_share_of_users(ledger, what_if):
    for _ in range(2):
        enter(ledger, USD)
    found = what_if('[[limits]]\nusd = "1"')
    assert (found.refused, found.refused_users, found.users) == (1, 0, 0)
    assert found.sentences[0].startswith("A limit of $1.00 per month would have refused 0.0 % of users (0 of 0)")


def test_a_period_that_begins_in_the_middle_of_a_month_knows_what_was_used_before(ledger, what_if):
    enter(ledger, 4 * USD, "2026-11-02", user="ana")
    enter(ledger, 9 * USD, "2026-10-10", user="ana")
    enter(ledger, 4 * USD, "2026-11-20", user="ana")
    late = period("2026-11-15", "2026-12-01")
    limit = '[[limits]]\nusd = "5"\neach = "user"\n'
    assert done(what_if(limit, late)) == {"limit-1": (0, 1, 0, 3 * USD)}
    assert done(what_if(limit + 'per = "total"', late)) == {"limit-1": (1, 0, 0, 4 * USD)}
    assert done(what_if(limit + "per = { days = 10 }", late)) == {}
    assert done(what_if(limit + "per = { days = 19 }", late)) == {"limit-1": (0, 1, 0, 3 * USD)}
    assert what_if(limit, late).users == 1


def test_the_allowance_of_a_plan_is_applied_to_its_users(ledger, what_if):
    for user in ("ana", "ben"):
        assign(ledger, "2026-10-01", "pro", user=user)
        for day in (1, 2):
            enter(ledger, 4 * USD, f"2026-11-0{day}", user=user, plan="pro")
    enter(ledger, 9 * USD, user="guest")
    found = what_if('[plans.pro]\nprice = "40"\nallowance = { usd = "5" }')
    assert done(found) == {'the allowance of plan "pro"': (0, 2, 0, 6 * USD)}
    assert (found.before.total.revenue, found.after.total.revenue) == (60 * USD, 80 * USD)
    assert found.sentences[0].startswith('The allowance of plan "pro" would have refused 0.0 % of users (0 of 3)')
    found = what_if('[plans.pro]\nprice = "40"\nallowance = { usd = "50" }')
    assert found.sentences[0] == 'The allowance of plan "pro" would have met nobody.'


def test_a_pooled_allowance_is_shared_by_a_tenant_and_grows_with_its_seats(ledger, what_if):
    assign(ledger, "2026-10-01", "team", tenant="acme", seats=2)
    assign(ledger, "2026-11-10", "team", tenant="acme", seats=3)
    for user, day in (("ana", 1), ("ben", 2), ("eva", 3), ("ana", 12)):
        enter(ledger, 4 * USD, f"2026-11-{day:02}", user=user, tenant="acme", plan="team")
    found = what_if('[plans.team]\nprice = "10"\nper_seat = true\npooled = true\nallowance = { usd = "5" }')
    # ten dollars for two seats: 4, 4, 2 of 4; fifteen for three: 4 more
    assert done(found) == {'the allowance of plan "team"': (0, 1, 0, 2 * USD)}
    alone = what_if('[plans.team]\nprice = "10"\nper_seat = true\nallowance = { usd = "5" }')
    assert done(alone) == {'the allowance of plan "team"': (0, 1, 0, 3 * USD)}  # ana's second


def test_a_user_with_a_plan_of_its_own_has_the_whole_of_it_and_leaves_the_tenants_alone(ledger, what_if):
    assign(ledger, "2026-10-01", "team", tenant="acme", seats=1)
    assign(ledger, "2026-10-01", "team", user="ana", seats=2)
    for user in ("ana", "ben"):
        for day in (1, 2):
            enter(ledger, 4 * USD, f"2026-11-0{day}", user=user, tenant="acme", plan="team")
    found = what_if('[plans.team]\nprice = "10"\nper_seat = true\npooled = true\nallowance = { usd = "5" }')
    assert done(found) == {'the allowance of plan "team"': (0, 1, 0, 3 * USD)}  # ben's second
    assert costs(found.after, "user") == {"ana": 8 * USD, "ben": 5 * USD}


def test_what_a_target_margin_leaves_of_a_flat_price_is_divided_by_the_seats(ledger, what_if):
    assign(ledger, "2026-10-01", "team", tenant="acme", seats=2)
    enter(ledger, 4 * USD, user="ana", tenant="acme", plan="team")
    found = what_if('[plans.team]\nprice = "12"\ntarget_margin = "0.5"')
    assert done(found) == {'the allowance of plan "team"': (0, 1, 0, 1 * USD)}


def test_an_allowance_that_degrades_takes_calls_to_its_model(ledger, what_if):
    for day in (1, 2, 3):
        enter(ledger, 4 * USD, f"2026-11-0{day}", user="ana", plan="pro", input_tokens=1000, output_tokens=1000)
    local = '[plans.pro]\nprice = "30"\nallowance = { usd = "5", on_exceed = "degrade", degrade_to = "local" }'
    found = what_if(local)
    assert done(found) == {'the allowance of plan "pro"': (0, 0, 2, 8 * USD)}
    assert costs(found.after, "model") == {"x:m": 4 * USD, "local:embedded": 0}
    assert found.sentences[0].endswith("saved $8.00: 0 calls refused, 0 cut short, 2 taken to a smaller model.")
    priced = local.replace('"local"', '"x:small"') + '\n[prices."x:small"]\ninput = "500"\noutput = "200"'
    found = what_if(priced)
    # seventy cents each: the second call fits into the dollar that is left, the third into its last thirty cents
    assert done(found) == {'the allowance of plan "pro"': (0, 1, 2, 2 * (4 * USD - 7 * USD // 10) + 4 * USD // 10)}
    assert found.after.total.cost == 5 * USD


def test_users_and_tenants_are_moved_to_other_plans_with_their_allowances(ledger, what_if):
    assign(ledger, "2026-10-01", "pro", user="ana")
    assign(ledger, "2026-10-01", "pro", user="eva")
    assign(ledger, "2026-10-01", "team", tenant="acme", seats=2)
    enter(ledger, 1 * USD, user="ana", plan="pro")
    enter(ledger, 2 * USD, user="ben", tenant="acme", plan="team")
    enter(ledger, 4 * USD, user="eva", tenant="acme", plan="pro")  # a plan of her own comes first
    enter(ledger, 8 * USD, "2026-11-16", user="guest")
    small = Plan("small", price="3", allowance="unlimited")
    found = what_if(
        'default_plan = "small"\n[users]\nana = "small"\n[tenants]\nacme = "pro"\n', plans=[PRO, TEAM, small]
    )
    assert costs(found.after, "plan") == {"small": 9 * USD, "pro": 6 * USD}
    assert revenues(found.after, "customer") == {
        "ana": 3 * USD,
        "acme": 30 * USD,
        "eva": 30 * USD,
        "guest": 3 * USD // 2,
    }
    tight = '[plans.tight]\nprice = "3"\nallowance = { usd = "1.50" }\n'
    found = what_if('[users]\nguest = "tight"\n' + tight)
    assert done(found) == {'the allowance of plan "tight"': (0, 1, 0, 13 * USD // 2)}


def test_a_plan_that_the_ledger_knows_limits_those_who_are_moved_to_it(ledger, what_if):
    enter(ledger, 4 * USD, user="ana", plan="pro")
    enter(ledger, 4 * USD, user="ben", plan="tight")
    plans = [PRO, Plan("tight", allowance=Budget(usd="1"))]
    found = what_if('[users]\nana = "tight"', plans=plans)
    assert done(found) == {'the allowance of plan "tight"': (0, 1, 0, 3 * USD)}  # ben was held to it when he called


def test_other_prices_are_applied_to_each_attempt_that_was_billed(ledger, what_if):
    attempts = (
        Part("primary", "x", "dear", "error", 0),  # refused, not billed
        Part("retry", "x", "dear", "error", 30, 1000, 0),
        Part("fallback", "x", "m", "completed", 12, 1000, 100, 500, 200),
    )
    enter(ledger, 42, parts=attempts, attempts=3, routing_saved=5, prompt_cache_saved=9)
    enter(ledger, None, model="new", input_tokens=1000, output_tokens=0, user="ana")
    found = what_if(
        """
        [prices."x:m"]
        input = "1"
        output = "10"
        cache_read = "0.5"
        cache_write = "2"
        [prices."x:new"]
        input = "3"
        output = "3"
        request = "0.01"
        """
    )
    at_m = 300 * 1000 + 500 * 500 + 200 * 2000 + 100 * 10_000
    assert costs(found.after, "model") == {"x:m": at_m, "x:dear": 30, "x:new": 1000 * 3000 + USD // 100}
    assert (found.before.unpriced, found.after.unpriced) == (1, 0)
    assert some(found.after.savings.kinds) == {}  # what they were at the old prices is no longer true
    assert some(found.after.waste.kinds) == {"failed attempts": (2, 30)}


def test_prices_are_those_of_the_size_and_the_day_of_each_call(ledger, what_if):
    enter(ledger, 1, "2026-11-10", input_tokens=1000, output_tokens=0)
    enter(ledger, 1, "2026-11-10", input_tokens=1001, output_tokens=0)
    enter(ledger, 1, "2026-11-20", input_tokens=1000, output_tokens=0)
    found = what_if(
        """
        [prices."x:m"]
        input = 1
        output = 1
        [prices."x:m".above.1_000]
        input = 2
        output = 1
        [prices."x:m".changes.2026-11-15]
        input = 0.5
        output = 1
        """
    )
    assert found.after.total.cost == 1000 * 1000 + 1001 * 2000 + 1000 * 500


def test_calls_are_sent_to_other_models(ledger, what_if):
    enter(ledger, 100, input_tokens=1000, output_tokens=100, routing_saved=5)
    enter(ledger, 100, model="other")
    prices = '\n[prices."y:small"]\ninput = "1"\noutput = "2"'
    found = what_if('[reroute]\n"x:m" = "y:small"' + prices)
    assert costs(found.after, "model") == {"y:small": 1000 * 1000 + 100 * 2000, "x:other": 100}
    assert found.saved == 100 - 1_200_000
    found = what_if('[reroute]\n"x:m" = "local"')
    assert costs(found.after, "model") == {"local:embedded": 0, "x:other": 100}


def test_listed_prices_stand_behind_those_of_the_file(ledger, what_if):
    enter(ledger, 1, input_tokens=1_000_000, output_tokens=0)
    found = what_if('[reroute]\n"x:m" = "openai:gpt-4o-mini"')
    assert found.after.total.cost == 15 * USD // 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('default_plan = "gone"', 'puts customers on plan "gone", which is not defined'),
        ('[users]\nana = "gone"', 'puts customers on plan "gone", which is not defined'),
        ('[tenants]\nacme = "gone"', 'puts customers on plan "gone", which is not defined'),
        ('[reroute]\n"x:m" = "fast"', r'\[reroute\]: what stands behind "fast" is not known'),
        ('[reroute]\n"x:m" = "y:unheard-of"', r'"y:unheard-of" has no known price; state it in .*\[prices'),
        (
            '[plans.p]\nallowance = { usd = "1", on_exceed = "degrade", degrade_to = "small" }',
            'plan "p": what stands behind "small" is not known to a replay; write "provider:model", or "local"',
        ),
        ('[plans.p]\nallowance = { usd = "1", rollover = "1" }', 'plan "p": a replay carries nothing over'),
    ],
)
def test_a_scenario_that_cannot_be_replayed_says_why(what_if, text, message):
    with pytest.raises(ConfigurationError, match=message):
        what_if(text)


def test_each_change_is_said_alone_and_all_together(ledger, what_if):
    for user, usd in (("ana", 4), ("ben", 8), ("eva", 1)):
        for day in (2, 3):
            enter(ledger, usd * USD, f"2026-11-0{day}", user=user, output_tokens=30)
    enter(ledger, USD, "2026-11-04", user="eva", model="small", input_tokens=10**6, output_tokens=0)
    found = what_if(
        '[[limits]]\nusd = "5"\neach = "user"\nname = "cap"\n[[limits]]\nusd = "9000"\nname = "roof"\n'
        '[prices."x:small"]\ninput = "3"\noutput = "0"\n[users]\nana = "pro"\n[plans.pro]\nprice = "10"\n'
        'allowance = "unlimited"\n[plans.team]\nprice = "1"\nallowance = "unlimited"\n'
    )
    alone = {change.what: change for change in found.changes}
    assert set(alone) == {
        'plan "team"', 'plan "pro" with those who are moved to it', 'limit "cap"', 'limit "roof"',
        'the price of "x:small"',
    }  # fmt: skip
    cap, price = alone['limit "cap"'], alone['the price of "x:small"']
    assert (cap.met, cap.refused_users, cap.refused, cap.saved) == (2, 1, 1, (3 + 3 + 8) * USD)
    assert (price.met, price.saved) == (1, -2 * USD)
    assert 'Alone, limit "roof" would have met nobody.' in found.sentences
    assert any(each.startswith('Alone, limit "cap" would have met 2 users of 3') for each in found.sentences)
    assert 'Alone, the price of "x:small" would have met 1 user of 3, and cost $2.00 more.' in found.sentences
    assert found.sentences[-1].startswith("In all, for 3 users of 3: cost ")


def test_a_model_that_calls_are_sent_to_has_its_price_in_each_change(ledger, what_if):
    enter(ledger, 4 * USD, "2026-11-02", user="ana", input_tokens=10**6, output_tokens=0)
    found = what_if(
        '[reroute]\n"x:m" = "y:own"\n[prices."y:own"]\ninput = "1"\noutput = "0"\n[tenants]\nacme = "pro"\n'
        '[plans.pro]\nprice = "10"\nallowance = "unlimited"\n'
    )
    assert {change.what: change.saved for change in found.changes}['"x:m" sent to "y:own"'] == 3 * USD


SCENARIO = """
default_plan = "free"
[plans.free]
allowance = { usd = "0.000000020" }
[plans.pro]
price = "62"
allowance = { calls = 9, per = "day" }
[users]
eva = "pro"
[[limits]]
usd = "2"
each = "user"
[[limits]]
calls = 55
per = { days = 3 }
[[limits]]
usd = "999999999"
each = "tenant"
[[limits]]
tokens = 14
per = "call"
each = "tenant"
[prices."x:m0"]
input = "3"
output = "1"
[reroute]
"local:m2" = "x:m0"
"""


@pytest.mark.parametrize("part", [SCENARIO, *(f"[[limits]]{each}" for each in SCENARIO.split("[[limits]]")[1:4])])
@pytest.mark.parametrize("when", [NOVEMBER, period("2026-11-09T12:00", "2026-11-20")])
def test_what_nothing_touches_is_added_up_and_comes_to_the_same(ledger, tmp_path, part, when):
    fill(ledger, 3)
    (tmp_path / "plan.toml").write_text(part)
    scenario = read_scenario(tmp_path / "plan.toml")
    report = report_of(ledger, when, PLANS)
    summed, one_by_one = (play(each, report, scenario) for each in (ledger, InOrder(ledger)))
    assert summed.effects == one_by_one.effects
    assert summed.changes == one_by_one.changes
    assert (summed.met, summed.users) == (one_by_one.met, one_by_one.users)
    assert without_nothing(summed.after) == without_nothing(one_by_one.after)


def test_what_was_spent_before_revenue_was_known_is_in_no_margin_there_either(ledger):
    for day in range(1, 20):
        enter(ledger, USD, f"2026-11-{day:02}", user="ana", model=f"m{day % 2}")
    several = (Part("primary", "x", "m1", "error", 5, 1, 1), Part("fallback", "x", "m0", "completed", 7, 2, 2))
    enter(ledger, 12, "2026-11-02", user="ben", parts=several)
    assign(ledger, "2026-11-10", "pro", user="ana")
    report = report_of(ledger, NOVEMBER, PLANS)
    assert report.revenue_since == at("2026-11-10")
    for scenario in (
        Scenario("a price", prices={"x:m0": Price("3", "1")}),
        Scenario("a cap", limits=(Budget(usd="5", per="month", each="user", name="cap"),)),
    ):
        summed, one_by_one = (play(each, report, scenario) for each in (ledger, InOrder(ledger)))
        assert summed.after.total == one_by_one.after.total
        assert summed.after.total.before > 0


def without_nothing(report):
    """A report without the models that cost nothing on a day."""
    days = {day: {model: usd for model, usd in costs.items() if usd} for day, costs in report.days.items()}
    cells = {cell: sums for cell, sums in report.cells.items() if sums.calls or sums.cost or sums.revenue}
    return dataclasses.replace(report, days={day: costs for day, costs in days.items() if costs}, cells=cells)


class InOrder(OneByOne):
    """The same records, read one by one in the order of their instants."""

    def __init__(self, ledger):
        super().__init__(ledger)
        self.entries = lambda **asked: iter(
            sorted(ledger.entries(**asked), key=lambda entry: (entry.at, cell_of(entry.kind, entry.charge) is None))
        )
