"""Policies over candidates: pure, the same when asked again, and what each of them promises."""

from __future__ import annotations

import itertools
import zoneinfo
from collections import Counter
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from inferkit import (
    Attempt,
    AudioPart,
    ConfigurationError,
    CustomTool,
    FilePart,
    ImagePart,
    Message,
    NoRoute,
    Price,
    Target,
    TextPart,
    Usage,
)
from inferkit.core.messages import Tool
from inferkit.providers.wires.capabilities import Capabilities
from inferkit.routing import Best, Cheapest, During, Fastest, Fits, Only, Sticky, Weighted, When
from inferkit.routing.combining import InTurn, Routes, as_policy
from inferkit.routing.policy import Ordered
from inferkit.runtime.direct import DirectRuntime
from inferkit.testing import FakeProvider, make_request

ADAPTER = FakeProvider()
LONG = "You answer questions about orders. " * 200


class Clock(DirectRuntime):
    def __init__(self, at=1000.0, time=0.0):
        self.at, self.wall = at, time

    def now(self):
        return self.at

    def time(self):
        return self.wall


def target(name, price=None):
    return Target(name, "m", ADAPTER, price)


NUMBER = itertools.count()


def asked(*targets, text="Where is my order?", clock=None, **changes):
    request = make_request(text, runtime=clock or Clock())
    request.record.id = f"call {next(NUMBER)}"  # so that chance is the same in every run
    return request.replace(candidates=targets, **changes)


def names(plan):
    return [target.provider for target in plan]


def attempt(name, *, first=0.5, seconds=1.0, output=50, outcome="completed", chunks=10):
    return Attempt(
        1, "primary", name, "m", outcome, Usage(10, output), 0, None, seconds, first_chunk_seconds=first, chunks=chunks
    )


A, B, C = target("a"), target("b"), target("c")
CHEAP, DEAR, UNKNOWN = target("cheap", Price(1, 2)), target("dear", Price(10, 20)), target("unknown")


def everyone():
    prices = Price(1, 2, context_window=1000)
    measured = Fastest()
    measured.learn(asked(), attempt("a", first=0.3))
    return [
        Ordered(),
        Weighted({"a:m": 3, "b:m": 1}),
        Cheapest(explore=0.5),
        measured,
        Best({"a:m": 0.2, "b:m": 0.1}, explore=0.5),
        Fits(),
        Sticky(),
        Only(lambda _, target: target.provider != "c"),
        When(lambda request: request.user == "ana", Weighted({"c:m": 1})),
        During("00:00", "12:00", "cheapest"),
        InTurn([Fits(), Weighted({"a:m": 1, "c:m": 1})]),
    ], [target("a", prices), target("b", Price(3, 4)), target("c")]


@pytest.mark.parametrize("place", range(11))
def test_a_policy_makes_the_same_plan_of_its_own_plan(place):
    """The budget asks first, and the route again."""
    policies, targets = everyone()
    for _ in range(50):
        request = asked(*targets)
        plan = policies[place].plan(request)
        assert policies[place].plan(request.replace(candidates=plan)) == plan
        assert set(plan) <= set(targets)
        assert len(set(plan)) == len(plan)


def test_weights_are_shares_of_the_calls_and_the_others_follow():
    policy = Weighted({"a:m": 6, "b:m": 3, "c:m": 1})
    plans = [names(policy.plan(asked(A, B, C))) for _ in range(4000)]
    first = Counter(plan[0] for plan in plans)
    assert 0.57 < first["a"] / 4000 < 0.63
    assert 0.27 < first["b"] / 4000 < 0.33
    assert 0.08 < first["c"] / 4000 < 0.12
    second = Counter(plan[1] for plan in plans if plan[0] == "a")
    assert 0.70 < second["b"] / first["a"] < 0.80, "3 of 4 of what is left"


def test_a_model_without_a_weight_is_asked_only_when_the_others_fail():
    policy = Weighted({"b:m": 1, "c:m": 0})
    assert {tuple(names(policy.plan(asked(A, B, C)))) for _ in range(100)} == {("b", "a", "c")}


def test_the_cheapest_goes_first_and_one_without_a_price_last():
    policy = Cheapest(explore=0.0)
    assert names(policy.plan(asked(UNKNOWN, DEAR, CHEAP))) == ["cheap", "dear", "unknown"]
    assert policy.tells(asked(CHEAP), CHEAP).startswith("about $0.0006")
    assert policy.tells(asked(CHEAP), UNKNOWN) == "no known price"


def test_a_cheap_model_that_writes_much_more_is_not_the_cheapest():
    policy = Cheapest(explore=0.0)
    dear = target("dear", Price(1, 3))
    assert names(policy.plan(asked(CHEAP, dear))) == ["cheap", "dear"]
    for _ in range(5):
        policy.learn(asked(), attempt("cheap", output=2000))
        policy.learn(asked(), attempt("dear", output=400))
    assert names(policy.plan(asked(CHEAP, dear))) == ["dear", "cheap"]
    assert names(policy.plan(asked(CHEAP, dear, max_output_tokens=100))) == ["cheap", "dear"], "neither may write more"


def test_a_warm_prefix_is_left_only_where_that_pays():
    warm = target("warm", Price(10, 10, cache_read=1))
    little_cheaper, far_cheaper = target("little", Price(8, 10)), target("far", Price("0.5", 10))
    policy, clock = Cheapest(explore=0.0, warm_for=300.0), Clock()
    messages = (Message.system(LONG), Message.user("Where is my order?"))
    request = asked(little_cheaper, warm, clock=clock, messages=messages)
    assert names(policy.plan(request)) == ["little", "warm"]
    policy.learn(request, attempt("warm"))
    assert names(policy.plan(request)) == ["warm", "little"]
    follow_up = request.replace(messages=(*messages, Message.assistant("On its way."), Message.user("And when?")))
    assert names(policy.plan(follow_up)) == ["warm", "little"]
    assert names(policy.plan(follow_up.replace(candidates=(warm, far_cheaper)))) == ["far", "warm"]
    assert names(policy.plan(follow_up.replace(tenant="another"))) == ["little", "warm"]
    clock.at += 301.0
    assert names(policy.plan(follow_up)) == ["little", "warm"]


def test_equals_stay_with_whoever_has_the_prompt_in_its_cache():
    policy = InTurn([Weighted({"a:m": 1, "b:m": 1, "c:m": 1}), Sticky()])
    messages = (Message.system(LONG), Message.user("Hello"))
    request = asked(A, B, C, messages=messages)
    policy.learn(request, attempt("b"))
    for place in range(50):
        other = asked(A, B, C, messages=(messages[0], Message.user(f"Question {place}")))
        assert names(policy.plan(other))[0] == "b"
    firsts = {names(policy.plan(asked(A, B, C, messages=(Message.user("Hello"),))))[0] for _ in range(100)}
    assert firsts == {"a", "b", "c"}, "a short prompt is in nobody's cache"
    failed = asked(A, B, C, messages=(Message.system(LONG + "!"),))
    policy.learn(failed, attempt("c", outcome="error"))
    policy.learn(failed, attempt("c", first=None))
    assert Sticky().tells(failed, C) == "cold"
    assert policy.policies[1].tells(request, B) == "100% of the prompt is warm there"


def test_prompts_are_remembered_by_prints_alone():
    policy = Sticky()
    policy.learn(asked(text=LONG), attempt("a"))
    remembered = policy._prefixes._sent
    assert remembered
    assert all(isinstance(key[1], bytes) and len(key[1]) == 16 for key in remembered)
    odd = asked(text=LONG, tools=(Tool("f", parameters={"default": object()}),))
    policy.learn(odd, attempt("b"))
    assert policy.plan(odd.replace(candidates=(A, B))) == (A, B), "what cannot be told apart is not remembered"


def test_the_fastest_goes_first_as_measured():
    policy = Fastest(explore=0.0)
    assert names(policy.plan(asked(A, B))) == ["a", "b"]
    policy.learn(asked(), attempt("a", first=1.0, seconds=2.0))
    assert names(policy.plan(asked(A, B))) == ["b", "a"], "who was never measured is measured"
    policy.learn(asked(), attempt("b", first=0.2, seconds=6.2, output=60))
    assert names(policy.plan(asked(A, B))) == ["a", "b"]
    assert names(policy.plan(asked(A, B, max_output_tokens=5))) == ["b", "a"], "a short reply is another matter"
    assert policy.tells(asked(A), A) == "about 2.00 s"
    assert policy.tells(asked(C), C) == "not measured yet"
    first = Fastest(first_token=True, explore=0.0)
    first.learn(asked(), attempt("a", first=1.0))
    first.learn(asked(), attempt("b", first=0.2, seconds=60.0))
    assert names(first.plan(asked(A, B))) == ["b", "a"]


def test_what_fails_is_slow_however_fast_it_fails():
    policy = Fastest(explore=0.0)
    for _ in range(3):
        policy.learn(asked(), attempt("a", first=None, outcome="error"))
        policy.learn(asked(), attempt("b", first=5.0, seconds=9.0))
    assert names(policy.plan(asked(A, B))) == ["b", "a"]
    assert policy.tells(asked(A), A) == "has failed"
    policy.learn(asked(), attempt("a", first=0.1, seconds=4.0))
    policy.learn(asked(), attempt("c", first=0.1, seconds=4.0))
    assert names(policy.plan(asked(A, B, C))) == ["c", "b", "a"]


def test_what_is_old_counts_for_less():
    policy, clock = Fastest(memory=60.0, explore=0.0), Clock()
    for _ in range(20):
        policy.learn(asked(clock=clock), attempt("a", first=0.1, seconds=0.2))
    clock.at += 600.0
    for _ in range(2):
        policy.learn(asked(clock=clock), attempt("a", first=10.0, seconds=20.0))
    assert policy.measured.of("a:m").first_chunk > 9.0
    assert policy.measured.of("a:m").calls < 3.0


def test_now_and_then_who_was_not_measured_for_longest_is_asked_first():
    policy, clock = Fastest(explore=0.1), Clock()
    policy.learn(asked(clock=clock), attempt("b", first=5.0, seconds=9.0))
    clock.at += 10.0
    policy.learn(asked(clock=clock), attempt("a"))
    first = Counter(names(policy.plan(asked(A, B, clock=clock)))[0] for _ in range(2000))
    assert 0.07 < first["b"] / 2000 < 0.13


def test_the_best_is_worth_most_for_its_price_and_its_time():
    quality = {"cheap:m": 0.010, "dear:m": 0.012, "unknown:m": 1.0}
    policy = Best(quality, explore=0.0)
    assert names(policy.plan(asked(DEAR, CHEAP, UNKNOWN))) == ["cheap", "dear", "unknown"]
    assert names(policy.plan(asked(DEAR, CHEAP, max_output_tokens=20))) == ["dear", "cheap"]
    impatient = Best(quality, a_second=0.01, explore=0.0)
    impatient.learn(asked(), attempt("dear", first=1.0, seconds=3.0))
    impatient.learn(asked(), attempt("cheap", first=0.1, seconds=0.2))
    assert names(impatient.plan(asked(DEAR, CHEAP, max_output_tokens=20))) == ["cheap", "dear"]
    assert policy.tells(asked(CHEAP, max_output_tokens=20), CHEAP).startswith("worth $0.0099")


def test_a_model_into_which_the_call_does_not_fit_is_left_out_and_the_error_says_so():
    small, large = (
        target("small", Price(1, 2, context_window=500)),
        target("large", Price(1, 2, context_window=100_000)),
    )
    policy = Fits()
    assert names(policy.plan(asked(small, large, A))) == ["small", "large", "a"]
    assert names(policy.plan(asked(small, large, A, text=LONG))) == ["large", "a"], "of a no window is known"
    assert names(policy.plan(asked(small, large, max_output_tokens=600))) == ["large"]
    with pytest.raises(
        NoRoute, match=r'no candidate for "fake:any" can serve this call: small:m holds 500 tokens, and'
    ):
        policy.plan(asked(small, text=LONG))


def test_what_a_route_forbids_is_left_out():
    eu = Only(lambda request, target: target.provider != "us" or request.tenant is None)
    eu_target, us_target = target("eu"), target("us")
    assert names(eu.plan(asked(us_target, eu_target))) == ["us", "eu"]
    assert names(eu.plan(asked(us_target, eu_target, tenant="t"))) == ["eu"]


def test_one_policy_holds_for_some_calls_and_another_one_for_the_rest():
    policy = When(lambda request: request.plan == "free", Cheapest(explore=0.0), Weighted({"dear:m": 1}))
    assert names(policy.plan(asked(DEAR, CHEAP, plan="free"))) == ["cheap", "dear"]
    assert names(policy.plan(asked(CHEAP, DEAR, plan="pro"))) == ["dear", "cheap"]
    policy.learn(asked(), attempt("cheap", output=7))
    assert policy._then.measured.of("cheap:m").output_tokens == 7


@pytest.mark.parametrize(
    ("start", "end", "hour", "inside"),
    [("09:00", "17:00", 12, True), ("09:00", "17:00", 8, False), ("09:00", "17:00", 17, False),
     ("22:00", "06:00", 23, True), ("22:00", "06:00", 5, True), ("22:00", "06:00", 12, False)],
)  # fmt: skip
def test_hours_are_those_of_the_time_zone_also_over_midnight(start, end, hour, inside):
    zone = "America/New_York"
    at = datetime(2026, 7, 1, hour, tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()
    policy = During(start, end, Weighted({"b:m": 1}), zone=zone)
    request = asked(A, B, clock=Clock(time=at))
    assert names(policy.plan(request)) == (["b", "a"] if inside else ["a", "b"])
    assert names(During("00:00", "23:59", "ordered").plan(request)) == ["a", "b"]


def test_several_policies_go_in_turn_and_the_last_orders():
    policy = as_policy([Only(lambda _, target: target.provider != "a"), lambda request: request.candidates[::-1]])
    assert names(policy.plan(asked(A, B, C))) == ["c", "b"]
    assert policy.name == "only+<lambda>"


def test_names_lists_and_functions_stand_for_policies():
    assert isinstance(as_policy("cheapest"), Cheapest)
    assert isinstance(as_policy("fastest"), Fastest)
    assert isinstance(as_policy("fits"), Fits)
    assert isinstance(as_policy(Ordered()), Ordered)
    assert as_policy(["fits", "cheapest"]).name == "fits+cheapest"


def test_a_function_that_invents_candidates_is_refused():
    with pytest.raises(ConfigurationError, match="not among request.candidates"):
        as_policy(lambda _: [C]).plan(asked(A, B))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: as_policy("cheapst"), "one of the names \"cheapest\".*; got 'cheapst'"),
        (lambda: as_policy(Cheapest), "such as Cheapest"),
        (lambda: as_policy([]), "got a list"),
        (lambda: as_policy(5), "got a int"),
        (lambda: Weighted({}), "a weight of 0 or more"),
        (lambda: Weighted({"a:m": 0}), "a weight of 0 or more"),
        (lambda: Weighted({"a:m": -1}), "a weight of 0 or more"),
        (lambda: Weighted(["a:m"]), "a weight of 0 or more"),
        (lambda: Cheapest(explore=2), "a share of calls"),
        (lambda: Fastest(memory=0), "in seconds, above 0"),
        (lambda: Sticky(warm_for=0), "warm_for is in seconds"),
        (lambda: Best({}), "what an answer of each model is worth"),
        (lambda: Only("eu"), "Only takes a function"),
        (lambda: When(True, "cheapest"), "When takes a function"),
        (lambda: During("9", "25:00", "cheapest"), "two times of day"),
        (lambda: During("09:00", "17:00", "cheapest", zone="Mars/Base"), "two times of day"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(make, what):
    with pytest.raises(ConfigurationError, match=what):
        make()


def test_routes_are_by_name_and_one_for_all_others():
    routes = Routes({"fast": "cheapest"})
    assert routes.find("fast").name == "cheapest"
    assert routes.find("smart").name == "ordered"
    assert Routes("fastest").find("anything").name == "fastest"
    assert (Routes().are_plain, routes.are_plain) == (True, False)
    routes.become(None)
    assert routes.are_plain
    with pytest.raises(NoRoute, match='"<lambda>" leaves no candidate'):
        Routes(lambda _: []).plan(asked(A))


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.floats(0.01, 100),
            st.floats(0, 100),
            st.integers(0, 10_000),
            st.sampled_from(["completed", "error", "cancelled", "closed"]),
            st.floats(0, 1e4),
        ),
        max_size=50,
    )
)
def test_whatever_was_measured_plans_stay_whole(events):
    policies, clock = [Cheapest(), Fastest(), Best({"a:m": 1.0}, a_second=0.5)], Clock()
    for name, first, more, output, outcome, later in events:
        clock.at += later
        for policy in policies:
            policy.learn(
                asked(clock=clock), attempt(name, first=first, seconds=first + more, output=output, outcome=outcome)
            )
    for policy in policies:
        plan = policy.plan(asked(target("a", Price(1, 2)), target("b", Price(2, 1)), target("c"), clock=clock))
        assert sorted(names(plan)) == ["a", "b", "c"]
        known = policy.measured.of("a:m")
        assert 0.0 <= known.failing <= 1.0
        assert known.first_chunk is None or 0.0 < known.first_chunk <= 100.0 + 1e-6


IMAGE = ImagePart(data=b"x", media_type="image/png")
LINKED = ImagePart(url="https://example.com/a.png")
WHOLE = Capabilities(
    tools=True,
    text_tools=True,
    images=("data", "url"),
    files=("data", "file_id"),
    audio=True,
    schema=True,
    logprobs=True,
)


def able(name, **can):
    adapter = FakeProvider()
    adapter.capabilities = Capabilities(**can)
    return Target(name, "m", adapter)


@pytest.mark.parametrize(
    ("changes", "part", "can", "lacks"),
    [
        ({"tools": (Tool("f"),)}, None, {"tools": True}, "tools"),
        ({"tools": (CustomTool("f"),)}, None, {"text_tools": True}, "tools written to in plain text"),
        ({"response_schema": {"type": "object"}}, None, {"schema": True}, "schema"),
        ({"response_schema": {"type": "object"}}, None, {"tools": True}, "schema"),
        ({"logprobs": True}, None, {"logprobs": True}, "log-probabilities"),
        ({}, IMAGE, {"images": ("data",)}, "images by data"),
        ({}, ImagePart(url="data:image/png;base64,eA=="), {"images": ("data",)}, "images by data"),
        ({}, LINKED, {"images": ("url",)}, "images by url"),
        ({}, FilePart(file_id="f"), {"files": ("file_id",)}, "files by file_id"),
        ({}, FilePart(data=b"x", media_type="application/pdf"), {"files": ("data",)}, "files by data"),
        ({}, AudioPart(data=b"x", media_type="audio/wav"), {"audio": True}, "sound"),
    ],
)
def test_whose_api_has_no_form_for_a_call_is_left_out(changes, part, can, lacks):
    words, yes, whole, unknown = able("words"), able("yes", **can), able("whole", **WHOLE._asdict()), target("unknown")
    if part is not None:
        changes = {"messages": (Message("user", (TextPart("What is this?"), part)),)}
    request = asked(words, yes, whole, unknown, **changes)
    assert names(Fits().plan(request)) == ["yes", "whole", "unknown"]
    assert Fits().refuses(request, words) == f"takes no {lacks}"
    assert names(Fits().plan(asked(words, yes))) == ["words", "yes"]
