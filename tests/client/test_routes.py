"""Routes at the client's door: policies by name, explained, changed at run time, and under a budget."""

from __future__ import annotations

import threading

import pytest

from inferkit import (
    BreakerRules,
    Budget,
    Client,
    ConfigurationError,
    Health,
    Insert,
    Message,
    NoRoute,
    Price,
    Unavailable,
)
from inferkit.routing import Cheapest, Fastest, Fits, Only, Ordered, Sticky, Weighted, When
from inferkit.testing import FakeProvider
from worlds import closing

PRICES = {
    "dear:m": Price(10, 20, cache_read=1),
    "cheap:m": Price(1, 2),
    "small:m": Price("0.1", "0.2", context_window=50),
}
MODELS = {"fast": ["dear:m", "cheap:m", "small:m"], "smart": "dear:m"}
LONG = "Where is my order? " * 100


def providers():
    return {name: FakeProvider(f"from {name}") for name in ("dear", "cheap", "small")}


def client(found, **settings):
    settings = {"models": MODELS, "prices": PRICES, "cache": False, "ledger": False, **settings}
    return Client(providers=found, **settings)


def test_each_name_has_its_own_policy():
    with client(providers(), routes={"fast": ["fits", Cheapest(explore=0.0)]}) as llm:
        assert llm.complete("fast", "Hello?").text == "from small"
        assert llm.complete("fast", LONG).text == "from cheap"
        assert llm.complete("smart", "Hello?").text == "from dear"


def test_a_policy_goes_by_how_calls_went(world):
    slow, quick = FakeProvider("one two three"), FakeProvider("one two three")
    policy = Fastest(explore=0.0)

    async def body(world):
        settings = {"providers": {"slow": slow, "quick": quick}, "models": {"any": ["slow:m", "quick:m"]}}
        async with closing(world.client(routes=policy, **settings)) as llm:
            for _ in range(3):
                await llm.complete("any", "Hello?")
        return policy.measured.of("slow:m"), policy.measured.of("quick:m")

    first, second = world.run(body)
    assert first.calls > 0.9
    assert second.calls > 0.9
    assert first.first_chunk is not None
    assert len(slow.requests) + len(quick.requests) == 3


def test_failures_are_learned_too():
    bad, good, policy = FakeProvider(Unavailable("down", provider="bad")), FakeProvider("hello"), Fastest(explore=0.0)
    with Client(
        providers={"bad": bad, "good": good}, models={"any": ["bad:m", "good:m"]}, routes=policy, max_retries=0,
        cache=False, ledger=False,
    ) as llm:  # fmt: skip
        assert [llm.complete("any", "Hello?").text for _ in range(5)] == ["hello"] * 5
        with pytest.raises(Unavailable):
            llm.complete("bad:m", "Hello?")
    assert len(bad.requests) == 2, "it failed once, and is not asked first any more"
    assert policy.measured.of("bad:m").failing == 1.0


def test_the_budget_holds_for_whom_the_policy_asks_first(tmp_path):
    with client(
        providers(), routes="cheapest", ledger=True, home=tmp_path, budget=Budget(usd="0.005", per="month", name="all")
    ) as llm:
        reply = llm.complete("fast", "Hello?", max_output_tokens=1000)
        assert reply.text == "from small"
        assert reply.finish_reason == "stop"


def test_the_trace_says_which_policy_chose():
    seen = []

    async def look(request, call_next):
        seen.append({event.name: dict(event.attributes) for event in request.record.events})
        return await call_next(request)

    routes = {"fast": Weighted({"cheap:m": 1})}
    with client(providers(), routes=routes, layers=[Insert(look, after="route")]) as llm:
        assert llm.complete("fast", "Hello?").attempts[0].provider == "cheap"
    assert seen == [{"route": {"policy": "weighted", "candidates": 3, "chosen": "cheap:m"}}]


def test_a_call_is_explained_without_being_made():
    found = providers()
    prefer = When(lambda request: request.user == "ana", Ordered(), Cheapest(explore=0.0))
    with client(
        found,
        routes={"fast": [Only(lambda _, target: target.provider != "dear"), Fits(), prefer, Sticky()]},
        health=Health(breaker=BreakerRules(failures=1, cooldown=60)),
        max_retries=0,
    ) as llm:
        explained = llm.explain("fast", LONG)
        assert [(each.name, each.place) for each in explained.candidates] == [
            ("cheap:m", 1),
            ("dear:m", None),
            ("small:m", None),
        ]
        assert explained.chosen == "cheap:m"
        assert explained.candidates[1].why == ("only: is not allowed by the route's own function",)
        assert "fits: holds 50 tokens" in explained.candidates[2].why[0]
        lines = str(explained).splitlines()
        assert lines[0].startswith('"fast" by the policy "only+fits+when(ordered,cheapest)+sticky", about ')
        assert lines[1].split()[:3] == ["1", "cheap:m", f"${explained.candidates[0].input_usd:.6f}"]
        assert lines[2].split()[:2] == ["-", "dear:m"]
        assert llm.explain(model="fast", messages="Hello?", user="ana").candidates[0].why == ("sticky: cold",)

        found["cheap"]._scripts.clear()
        found["cheap"]._scripts.append(Unavailable("down", provider="cheap"))
        with pytest.raises(Unavailable):
            llm.complete("cheap:m", "Hello?")
        explained = llm.explain("fast", LONG)
        assert explained.chosen is None
        assert "passed over for 60 s: its circuit is open" in str(explained)
    assert sum(len(provider.requests) for provider in found.values()) == 1


def test_what_cannot_be_served_at_all_is_explained_too():
    with client(providers(), models={"fast": "small:m"}, routes="fits", prices={}) as llm:
        assert "no known price" in str(llm.explain("fast", LONG))
        with pytest.raises(NoRoute, match="no model stands behind"):
            llm.explain("nobody:m", "Hello?")
    with client(providers(), models={"fast": "small:m"}, routes="fits") as llm:
        explained = llm.explain("fast", LONG)
        assert (explained.chosen, explained.candidates[0].place) == (None, None)
        with pytest.raises(NoRoute, match="can serve this call: small:m holds 50 tokens"):
            llm.complete("fast", LONG)


def test_models_and_routes_change_while_the_client_is_used():
    with client(providers()) as llm:
        assert llm.complete("fast", "Hello?").text == "from dear"
        llm.reroute(routes={"fast": "cheapest"})
        assert llm.complete("fast", "Hello?").text == "from small"
        llm.reroute(models={"fast": ["cheap:m"], "new": "small:m"})
        assert llm.complete("fast", "Hello?").text == "from cheap"
        assert llm.complete("new", "Hello?").text == "from small"
        with pytest.raises(NoRoute):
            llm.complete("smart", "Hello?")


def test_a_change_that_makes_no_sense_changes_nothing():
    with client(providers(), routes={"fast": "cheapest"}) as llm:
        with pytest.raises(NoRoute, match="no model stands behind"):
            llm.reroute(models={"fast": "nobody:m"})
        with pytest.raises(
            ConfigurationError, match='routes= has a policy for "smart", but no model stands behind "smart"'
        ):
            llm.reroute(models={"fast": "dear:m"}, routes={"smart": "cheapest"})
        with pytest.raises(ConfigurationError, match="a route is a policy"):
            llm.reroute(routes={"fast": "cheapst"})
        with pytest.raises(ConfigurationError, match='routes= has a policy for "fast"'):
            llm.reroute(models={"other": "dear:m"})
        assert llm.complete("fast", "Hello?").text == "from small"
        assert llm.complete("smart", "Hello?").text == "from dear"


def test_calls_under_way_are_not_disturbed_by_a_change():
    with client(providers(), models={"fast": ["dear:m", "cheap:m"]}) as llm:
        texts, failures = [], []

        def ask():
            try:
                texts.extend(llm.complete("fast", "Hello?").text for _ in range(100))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round_number in range(200):
            llm.reroute(
                models={"fast": ["cheap:m"] if round_number % 2 else ["dear:m"]}, routes=("ordered", "cheapest")
            )
        for thread in threads:
            thread.join()
        assert failures == []
        assert set(texts) <= {"from cheap", "from dear"}
        llm.reroute(models={"fast": "small:m"})
        assert llm.complete("fast", "Hello?").text == "from small", "nothing of what was before is remembered"


@pytest.mark.parametrize(
    ("routes", "what"),
    [
        ({"nobody": "cheapest"}, 'routes= has a policy for "nobody"'),
        ({"fast": "cheapst"}, "a route is a policy"),
        (5, "routes is a policy"),
        (Cheapest, "such as Cheapest"),
    ],
)
def test_routes_that_make_no_sense_are_refused_at_once(routes, what):
    with pytest.raises(ConfigurationError, match=what):
        client(providers(), routes=routes)


def test_a_conversation_stays_with_the_model_that_has_it_in_its_cache():
    system = Message.system("You answer questions about orders. " * 200)
    spread = [Weighted({"dear:m": 1, "cheap:m": 1, "small:m": 1}), Sticky()]
    with client(providers(), routes=spread) as llm:
        first = llm.complete("fast", [system, Message.user("Hello?")])
        rest = [llm.complete("fast", [system, Message.user(f"Question {number}")]) for number in range(20)]
    assert {reply.text for reply in rest} == {first.text}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("anthropic", r'"anthropic" \(name one of its models, as "anthropic:MODEL"\);'),
        ("openai/gpt-5-mini", r'"openai/gpt-5-mini" \(did you mean openai:gpt-5-mini\?\);'),
        ("opnai:gpt-5-mini", r"\(did you mean openai\?\);"),
        ("acme/gpt-5-mini", r'"acme/gpt-5-mini"; the aliases'),
    ],
)
def test_a_name_as_other_libraries_write_it_is_answered_with_the_one_that_was_meant(name, meant):
    with Client(cache=False, ledger=False) as llm, pytest.raises(NoRoute, match=meant):
        llm.complete(name, "Hi")


@pytest.mark.parametrize(("gives", "told"), [(None, "None"), ("the first", "something")])
def test_a_function_that_chooses_nobody_is_told_what_it_has_to_give(gives, told):
    chosen = (lambda request: None) if gives is None else (lambda request: request.candidates[0].model)
    said = f"gave {told}, which is not among request.candidates"
    with client(providers(), routes={"fast": chosen}) as llm, pytest.raises(ConfigurationError, match=said):
        llm.complete("fast", "Hello?")


def test_a_function_may_give_the_one_that_it_chooses():
    with client(providers(), routes={"fast": lambda request: request.candidates[-1]}) as llm:
        reply = llm.complete("fast", "Hello?")
    assert len(reply.attempts) == 1


def test_letters_in_the_wrong_order_are_seen():
    with client(providers()) as llm, pytest.raises(NoRoute, match=r'behind "fsat" \(did you mean fast\?\)'):
        llm.complete("fsat", "Hello?")
