"""Caches and cascades in a simulation: the real ones, over questions that come again and a judge with a stated eye."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from inferkit import Cache, Plan, Price
from inferkit.caching.memory import MemoryTier
from inferkit.core.errors import ConfigurationError
from inferkit.simulation.file import read_simulation
from inferkit.simulation.judging import judged
from inferkit.simulation.policies import policies_from
from inferkit.simulation.render import as_json, as_text
from inferkit.simulation.results import result_of
from inferkit.simulation.run import play
from inferkit.simulation.scenario import CustomerGroup, Provider, Setup, Simulation, Traffic
from inferkit.simulation.traffic import calls_of

CALLS = 120
LARGE = Provider("acme:large", Price("2", "8"), good=1.0)
SMALL = Provider("bolt:small", Price("0.1", "0.4"), good=0.6)


def scenario(**traffic):
    plan = Plan("pro", price="31", allowance="unlimited")
    return Simulation(
        "test",
        5,
        datetime(2026, 3, 2, tzinfo=UTC),
        1.0,
        Traffic(CALLS, **traffic),
        (plan,),
        (CustomerGroup(plan.name, 10, 1.0, "fast", timeout=None),),
        {"fast": ("acme:large", "bolt:small")},
        (LARGE, SMALL),
    )


def cached(**more):
    return Setup("cached", only_first=True, cache=lambda: Cache(MemoryTier(), **more))


def test_so_many_of_all_calls_ask_what_others_ask_and_the_first_question_most_often():
    calls = calls_of(scenario(repeated=0.5, questions=20, popularity=2.0))
    asked = Counter(call.question for call in calls)
    assert 40 < CALLS - asked.pop(None) < 80
    assert asked.most_common(1)[0][0] == 0
    for question in asked:
        assert len({call[5:7] for call in calls if call.question == question}) == 1, "as long each time, and as hard"
    usual = calls_of(scenario())
    assert [call[:4] for call in usual] == [call[:4] for call in calls], (
        "they come when they would, from whom they would"
    )
    assert all(call.question is None for call in usual)


def test_what_is_asked_again_is_answered_by_the_cache_and_costs_nothing():
    again = scenario(repeated=0.6, questions=15)
    first, without, again_cached = cached(), Setup("large", only_first=True), cached()
    kept, all_sent = result_of(play(again, first)), result_of(play(again, without))
    distinct = len({call.question for call in calls_of(again)} - {None})
    alone = sum(call.question is None for call in calls_of(again))
    assert kept.requests == distinct + alone
    assert kept.total.kept == CALLS - kept.requests
    assert (all_sent.requests, all_sent.total.kept) == (CALLS, 0)
    assert kept.total.cost < all_sent.total.cost
    assert kept.total.good == all_sent.total.good
    assert sum(model.served for model in kept.models) == kept.requests
    assert play(again, again_cached).answers == kept.answers, "and so in each run"
    short = result_of(play(again, cached(ttl=1.0)))
    assert short.total.kept < kept.total.kept, "what is kept for a second is asked again"
    assert "kept" in as_text(again, [kept])
    assert "kept" not in as_text(again, [all_sent])
    assert f'"kept": {kept.total.kept},' in as_json(again, [kept])


def test_nothing_is_in_a_cache_where_nobody_asks_again():
    assert result_of(play(scenario(), cached())).total.kept == 0


@pytest.mark.parametrize(("finds", "doubts"), [(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)])
def test_a_judge_finds_and_doubts_as_much_as_is_stated(finds, doubts):
    policy = Setup("cascade", routes=judged(finds=finds, doubts=doubts))
    played = play(scenario(), policy)
    poor = sum(answer.asked.hard >= SMALL.good for answer in played.answers)
    escalated = {(1.0, 0.0): poor, (0.0, 0.0): 0, (1.0, 1.0): CALLS}[finds, doubts]
    assert played.received == {"acme:large": escalated, "bolt:small": CALLS}
    assert sum(answer.good for answer in played.answers) == (CALLS if finds else CALLS - poor)
    assert 30 < poor < 66


def test_a_judge_that_is_not_perfect_is_wrong_about_some():
    played = play(scenario(), Setup("cascade", routes=judged(finds=0.5, doubts=0.2)))
    poor = sum(answer.asked.hard >= SMALL.good for answer in played.answers)
    assert 0 < played.received["acme:large"] < CALLS
    assert CALLS - poor < sum(answer.good for answer in played.answers) < CALLS


def test_a_file_has_both(tmp_path):
    setup = policies_from(
        "both",
        {"routes": {"policy": "cascade", "finds": 0.9, "order": "fastest"}, "cache": {"entries": 7, "ttl": 60}},
    )()
    assert setup.routes.name == "cascade(fastest)"
    assert isinstance(setup.cache(), Cache)
    assert setup.cache() is not setup.cache(), "each run begins with an empty one"
    assert policies_from("none", {"cache": False})().cache is None
    for wrong, what in (
        ({"routes": {"policy": "cascade", "finds": 2}}, "finds and doubts are shares"),
        ({"routes": {"policy": "cascade", "sees": 2}}, "unexpected keyword argument 'sees'"),
        ({"cache": {"entries": 1.5}}, "entries of a cache are a whole number"),
        ({"cache": {"size": 1}}, "unexpected keyword argument 'size'"),
        ({"cache": {"ttl": -1}}, "ttl is in seconds"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            policies_from("wrong", wrong)()


def test_the_example_of_repeated_questions_is_a_scenario(request):
    file = request.config.rootpath / "examples" / "repeated.toml"
    read = read_simulation(file)
    assert (read.traffic.repeated, read.traffic.questions) == (0.4, 500)
    assert list(read.policies) == ["large", "cached", "cascade", "both", "small"]
