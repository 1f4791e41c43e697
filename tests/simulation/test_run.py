"""A simulated month through the real stack: what became of every call, what was booked, and the same in each run."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from inferkit import Budget, Health, Plan, Price
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.routing import ByMargin
from inferkit.simulation.plots import plots
from inferkit.simulation.policies import BUILT_IN
from inferkit.simulation.render import as_json, as_text
from inferkit.simulation.results import result_of
from inferkit.simulation.run import play
from inferkit.simulation.scenario import CustomerGroup, Outage, Provider, Setup, Simulation, Spike, Traffic
from inferkit.simulation.traffic import calls_of

HOUR = 3600.0
LARGE = Provider("acme:large", Price("2", "8"), good=0.9)
SMALL = Provider("bolt:small", Price("0.1", "0.4"), first_token=0.2, good=0.7)


def scenario(*, calls=150, days=1.0, providers=(LARGE, SMALL), outages=(), spikes=(), plan=None, seed=1, **more):
    plan = plan or Plan("pro", price="31", allowance="unlimited")
    return Simulation(
        "test",
        seed,
        datetime(2026, 3, 2, tzinfo=UTC),
        days,
        Traffic(calls, spikes=tuple(spikes)),
        (plan,),
        (CustomerGroup(plan.name, 10, 1.0, "fast", **more),),
        {"fast": tuple(each.name for each in providers)},
        tuple(providers),
        tuple(outages),
    )


def plain(**more):
    return Setup("plain", **more)


def fates(played):
    return Counter(answer.fate for answer in played.answers)


def test_two_runs_of_a_seed_are_the_same_and_another_seed_is_another_month():
    busy = scenario(
        providers=(Provider("acme:large", Price("2", "8"), errors=0.1, breaks=0.05, concurrent=1, queue=1), SMALL),
        outages=[Outage("acme", 10 * HOUR, 12 * HOUR)],
        spikes=[Spike(14 * HOUR, 14.2 * HOUR, 10)],
    )
    state = random.getstate()
    one, two = play(busy, BUILT_IN["plain"]()), play(busy, BUILT_IN["plain"]())
    assert one.answers == two.answers
    assert one.booked == two.booked
    assert one.received == two.received
    assert random.getstate() == state, "chance elsewhere is left alone"
    other = Simulation(**{**vars(busy), "seed": 2})
    assert play(other, BUILT_IN["plain"]()).answers != one.answers


def test_what_is_booked_is_what_the_providers_served(tmp_path):
    played = play(scenario(), plain(), ledger=tmp_path / "kept.db")
    assert fates(played) == {"answered": 150}
    cost = 0
    for answer in played.answers:
        output = min(answer.asked.output_tokens, 1000)
        cost += answer.asked.input_tokens * 2000 + output * 8000
    assert played.booked["pro"].usd == cost
    assert played.booked["pro"].calls == 150
    ledger = SqliteLedger(tmp_path / "kept.db")
    entries = list(ledger.entries())
    ledger.close()
    assert sum(entry.charge.usd for entry in entries) == cost
    at = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
    assert all(at <= entry.at < at + 25 * HOUR for entry in entries), "booked at the time of the scenario"


def test_an_outage_is_lived_through_by_the_next_model_and_not_by_naive_retries():
    down = scenario(outages=[Outage("acme", 0.0, 24 * HOUR)], calls=60)
    assert fates(play(down, plain(health=Health()))) == {"answered": 60}
    naive = play(down, BUILT_IN["naive"]())
    assert fates(naive) == {"failed": 60}
    assert naive.received["acme:large"] == 360, "six requests a call into a dead provider"
    assert naive.failed["acme:large"] == 360
    assert play(down, plain()).received["acme:large"] < 120, "the breaker leaves it alone"


@pytest.mark.parametrize(("kind", "fate"), [("hanging", "late"), ("slow", "late"), ("refusing", "failed")])
def test_each_kind_of_outage_does_what_it_says(kind, fate):
    ill = scenario(outages=[Outage("acme:large", 0.0, 24 * HOUR, kind, factor=500.0)], calls=20, timeout=20.0)
    played = play(ill, plain(only_first=True))
    assert fates(played) == {fate: 20}
    assert all(answer.seconds <= 20.2 for answer in played.answers)


def test_a_model_that_hangs_is_left_alone_after_some_calls():
    ill = scenario(
        outages=[Outage("acme", 12 * HOUR, 12 * HOUR + 600, "hanging")],
        spikes=[Spike(12 * HOUR, 12 * HOUR + 600, 500)],
        calls=24,
        timeout=12.0,
    )
    played = play(ill, plain())
    assert len(played.answers) > 100
    assert 0 < fates(played)["late"] < 30, "those before the circuit opened, and the probes"


def test_a_model_serves_so_many_at_once_has_some_wait_and_refuses_the_rest():
    one_at_a_time = Provider("acme:large", Price("2", "8"), tokens_per_second=1.0, concurrent=1, queue=1)
    burst = scenario(
        providers=(one_at_a_time,), calls=24, spikes=[Spike(12 * HOUR, 12 * HOUR + 10, 2000)], timeout=None
    )
    played = play(burst, plain(max_retries=0))
    assert played.refused["acme:large"] > 0
    assert fates(played)["failed"] == played.refused["acme:large"]
    few = Provider("acme:large", Price("2", "8"), requests_per_minute=1)
    assert play(scenario(providers=(few,), calls=24, spikes=burst.traffic.spikes), plain()).refused["acme:large"] > 0


def test_replies_that_break_fail_and_are_paid_for():
    brittle = Provider("acme:large", Price("2", "8"), breaks=1.0)
    played = play(scenario(providers=(brittle,), calls=10), plain())
    assert fates(played) == {"failed": 10}
    assert played.booked["pro"].usd > 0


def test_an_allowance_that_is_gone_refuses_and_a_margin_policy_makes_it_last():
    plan = Plan("pro", price="1", allowance=Budget(usd="0.02"))
    short = scenario(plan=plan, calls=200)
    refused = fates(play(short, plain()))["refused"]
    frugal = play(short, plain(routes=ByMargin(target="0.98", last="0.5")))
    assert refused > 20
    assert fates(frugal)["refused"] < refused
    assert {answer.model for answer in frugal.answers if answer.fate == "answered"} == {"acme:large", "bolt:small"}


def test_the_traffic_has_its_hours_its_weekend_and_its_spikes():
    month = Simulation(
        **{
            **vars(scenario(calls=20_000, days=14.0)),
            "traffic": Traffic(20_000, busiest=14.0, night=0.1, weekend=0.25, spikes=(Spike(36_000, 37_800, 10),)),
        }
    )
    calls = calls_of(month)
    assert [call.at for call in calls] == sorted(call.at for call in calls)
    by_hour = Counter(int(call.at // HOUR) % 24 for call in calls)
    assert by_hour[13] > 5 * by_hour[2]
    days = Counter(int(call.at // (24 * HOUR)) for call in calls)
    assert days[5] < days[3] / 3, "the scenario begins on a Monday"
    spike = sum(36_000 <= call.at < 37_800 for call in calls)
    before = sum(34_200 <= call.at < 36_000 for call in calls)
    assert 7 < spike / before < 13
    users = Counter(call.user for call in calls).most_common()
    assert users[0][1] > 2 * users[-1][1], "few customers make most of the calls"


def test_results_are_added_up_by_plan_and_written_for_people_and_programs():
    ill = scenario(outages=[Outage("acme", 6 * HOUR, 9 * HOUR)], spikes=[Spike(12 * HOUR, 13 * HOUR, 3)])
    results = [result_of(play(ill, BUILT_IN[name]())) for name in ("naive", "plain")]
    naive, good = (result.total for result in results)
    assert naive.calls == good.calls
    assert naive.fates["failed"] > good.fates.get("failed", 0)
    assert good.revenue == 10 * 1_000_000_000, "ten customers, and a day of a month of 31 days"
    assert good.margin == good.revenue - good.cost
    assert good.first[0] < good.first[1] <= good.first[2]
    assert 0.6 < good.goodput < good.answered == 1.0
    hours = results[0].answered_by(HOUR, 0.0, 24 * HOUR)
    assert hours[7] == 0.0
    assert hours[11] == 1.0

    text = as_text(ill, results)
    assert text.splitlines()[2].split()[:3] == ["policy", "calls", "answered"]
    assert "naive: the first model alone" in text
    data = json.loads(as_json(ill, results))
    assert [each["policy"] for each in data["policies"]] == ["naive", "plain"]
    assert data["policies"][1]["total"]["revenue"] == "10"
    assert data["policies"][1]["plans"][0]["calls"] == good.calls

    pictures = plots(ill, results)
    assert set(pictures) == {"totals.svg", "events.svg"}
    assert "acme is down" in pictures["events.svg"]
    assert pictures["events.svg"].count("<polyline") == 4, "two events under two policies"
    assert all(picture.startswith("<svg ") and picture.endswith("</svg>\n") for picture in pictures.values())
