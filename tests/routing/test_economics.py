"""Policies that go by money: what a customer's plan has left of its margin, and what a budget has left."""

from __future__ import annotations

from decimal import Decimal

import pytest

from inferkit import Budget, Chunk, Client, ConfigurationError, Insert, Plan, Price, Usage
from inferkit.routing import (
    STANDING,
    BudgetStanding,
    ByBudgetLeft,
    ByMargin,
    Cascade,
    MarginStanding,
    Standing,
    is_valid,
)
from inferkit.routing.combining import InTurn, Routes, as_policy
from inferkit.telemetry import Telemetry
from inferkit.testing import FakeProvider, make_request
from worlds import closing

A_REPLY = ["Hi", Chunk(finish_reason="stop", usage=Usage(1000, 1000))]  # 20 cents from dear, a fifth of one from cheap
PRICES = {"dear:m": Price(100, 100), "cheap:m": Price(1, 1)}
USD = 1_000_000_000


def settings(tmp_path, **more):
    return {
        "providers": {"dear": FakeProvider(A_REPLY), "cheap": FakeProvider(A_REPLY)},
        "models": {"fast": ["dear:m", "cheap:m"]},
        "prices": PRICES,
        "cache": False,
        "ledger": tmp_path / "ledger.db",
        **more,
    }


def served(llm, times, **options):
    return [
        llm.complete("fast", "Hello?", max_output_tokens=1000, **options).provider.removesuffix(":m")
        for _ in range(times)
    ]


def stands(*, plan=None, budgets=()):
    return STANDING.on(make_request(), Standing(tuple(budgets), plan))


def pro(booked, *, target="0.5", elapsed=0.5, revenue=10 * USD):
    return MarginStanding("pro", revenue, booked, None if target is None else Decimal(target), elapsed)


@pytest.mark.parametrize(
    ("policy", "margin", "chosen"),
    [
        (ByMargin(), pro(3_999_999_999), "ordered"),
        (ByMargin(), pro(4 * USD), "cheapest"),  # of the five dollars that may be spent, the last one
        (ByMargin(last=0), pro(4_999_999_999), "ordered"),
        (ByMargin(last=0), pro(5 * USD), "cheapest"),
        (ByMargin(target="0.8", last=0), pro(2 * USD), "cheapest"),  # its own target before the plan's
        (ByMargin(last=0), pro(9 * USD, target=None), "ordered"),  # without one, not to cost more than it pays
        (ByMargin(last=0), pro(10 * USD, target=None), "cheapest"),
        (ByMargin(last=0, ahead="0.1"), pro(2_999_999_999, elapsed=0.5), "ordered"),
        (ByMargin(last=0, ahead="0.1"), pro(3 * USD, elapsed=0.5), "cheapest"),  # six tenths of five dollars by now
        (ByMargin(last=0, ahead="0.1"), pro(4 * USD, elapsed=0.95), "ordered"),
        (ByMargin(), pro(0, revenue=0), "cheapest"),
        (ByMargin(), None, "ordered"),
        (ByMargin(unknown="fits"), None, "fits"),
    ],
)
def test_a_customer_is_served_by_what_its_margin_leaves(policy, margin, chosen):
    assert policy.chosen(stands(plan=margin)).name == chosen
    assert policy.because(stands(plan=margin)).endswith(f"so {chosen}")


@pytest.mark.parametrize(
    ("policy", "budgets", "chosen"),
    [
        (ByBudgetLeft("0.2"), [("month", 1000, 799)], "ordered"),
        (ByBudgetLeft("0.2"), [("month", 1000, 800)], "cheapest"),
        (ByBudgetLeft("0.2"), [("month", 1000, 100), ("day", 10, 9)], "cheapest"),  # whichever has the least left
        (ByBudgetLeft("0.2", budget="month"), [("month", 1000, 100), ("day", 10, 9)], "ordered"),
        (ByBudgetLeft("0.2"), [("month", 1000, 1200)], "cheapest"),
        (ByBudgetLeft("0.2"), [], "ordered"),
        (ByBudgetLeft("0.2", budget="year"), [("month", 1000, 999)], "ordered"),
    ],
)
def test_the_last_of_a_budget_goes_to_the_other_policy(policy, budgets, chosen):
    request = stands(budgets=[BudgetStanding(f"{name}:ana", name, "usd", *rest) for name, *rest in budgets])
    assert policy.chosen(request).name == chosen
    assert policy.because(request).endswith(f"so {chosen}")


def test_a_call_whose_standing_nobody_looked_up_is_served_as_listed():
    assert ByMargin().chosen(make_request()).name == ByBudgetLeft().chosen(make_request()).name == "ordered"


@pytest.mark.parametrize("make", [lambda: ByMargin(target="1.2"), lambda: ByBudgetLeft(0.2), lambda: ByMargin(last=-1)])
def test_what_is_no_share_is_refused(make):
    with pytest.raises(ConfigurationError, match='from 0 to 1, for example "0.2"'):
        make()


def test_a_budget_is_named_by_its_name():
    with pytest.raises(ConfigurationError, match="the name of the budget"):
        ByBudgetLeft(budget=Budget(calls=1, name="all"))


def test_what_a_policy_needs_is_what_those_within_it_need():
    def own(request):
        return request.candidates

    own.needs = {"budgets"}
    routes = Routes({"a": ["fits", ByMargin(ample=ByBudgetLeft())], "b": Cascade(is_valid, policy=own), "c": "fastest"})
    assert [routes.needs(name) for name in "abc"] == [{"budgets", "margin"}, {"budgets"}, frozenset()]
    assert isinstance(as_policy(["fits", own]), InTurn)


def test_a_customer_who_used_most_of_what_its_plan_leaves_goes_to_the_cheaper_model(world, tmp_path):
    plans = [Plan("pro", price="2", target_margin="0.5")]

    async def body(world):
        async with closing(
            world.client(plans=plans, default_plan="pro", routes=ByMargin(), **settings(tmp_path))
        ) as llm:
            return [
                (await llm.complete("fast", "Hello?", user="ana", max_output_tokens=1000)).provider for _ in range(6)
            ]

    assert world.run(body) == ["dear"] * 4 + ["cheap"] * 2


@pytest.mark.parametrize(
    ("plan", "account"),
    [
        (Plan("pro", price="1", allowance=Budget(usd="5")), "allowance:ana"),
        (Plan("pro", price="1", allowance=Budget(calls=100)), "allowance:ana"),  # counted in calls, booked in dollars
        (Plan("pro", price="1", allowance=Budget(calls=100, per="day")), "booked:ana"),
        (Plan("pro", price="1", allowance="unlimited"), "booked:ana"),
    ],
)
def test_what_a_customer_cost_is_known_whatever_its_allowance(tmp_path, plan, account):
    with Client(plans=[plan], default_plan="pro", routes=ByMargin(last="0.4"), **settings(tmp_path)) as llm:
        assert served(llm, 5, user="ana") == ["dear"] * 3 + ["cheap"] * 2
        assert served(llm, 1, user="bob") == ["dear"], "each customer has a margin of its own"
        booked = {name: balance.posted.usd for name, _, balance in llm.ledger.balances()}
        assert booked[account] == sum(entry.charge.usd for entry in llm.ledger.entries(user="ana"))


@pytest.mark.parametrize("pooled", [True, False])
def test_the_margin_of_a_tenant_is_that_of_all_its_users(tmp_path, pooled):
    plan = Plan("team", price="1", per_seat=True, seats=1, pooled=pooled, allowance=Budget(usd="50"))
    with Client(plans=[plan], routes=ByMargin(last=0), **settings(tmp_path)) as llm:
        llm.plans.assign("team", tenant="acme", seats=2)
        users = [llm.complete("fast", "Hi", user=f"u{n}", tenant="acme").provider for n in range(12)]
        assert users == ["dear"] * 10 + ["cheap"] * 2, "two seats bring two dollars, ten calls of twenty cents"


def test_the_last_fifth_of_the_budget_goes_to_the_cheaper_model_while_the_cap_holds(tmp_path):
    budget = Budget(usd="2", per="month", name="all")
    with Client(budget=budget, routes={"fast": ByBudgetLeft("0.2")}, **settings(tmp_path)) as llm:
        assert served(llm, 12) == ["dear"] * 8 + ["cheap"] * 4
        explained = llm.explain("fast", "Hello?")
        assert explained.chosen == "cheap:m"
        (because,) = explained.because
        assert because.startswith("by-budget-left(cheapest,ordered): 20% of the usd of all are left, the last 20% are")
        assert explained.because[0] in str(explained)
        assert llm.explain("dear:m", "Hello?").because == (), "another name has no such policy"


def test_explain_says_what_the_margin_was_and_sends_and_books_nothing(tmp_path):
    plan = Plan("pro", price="2", target_margin="0.5")
    with Client(plans=[plan], default_plan="pro", routes=ByMargin(), **settings(tmp_path)) as llm:
        served(llm, 4, user="ana")
        before = list(llm.ledger.balances())
        (because,) = llm.explain("fast", "Hello?", user="ana").because
        assert 'plan "pro" brings $2.00, of which 50% are to remain; $0.80 are booked, of $0.80 for ordered' in because
        assert llm.explain("fast", "Hello?", user="bob").chosen == "dear:m"
        assert list(llm.ledger.balances()) == before


def test_a_client_without_a_ledger_serves_as_listed(tmp_path):
    with Client(routes=[ByMargin(), ByBudgetLeft()], **settings(tmp_path, ledger=False)) as llm:
        assert served(llm, 2) == ["dear", "dear"]
        assert "nothing is known" in llm.explain("fast", "Hello?").because[0]


def test_the_trace_says_why_where_somebody_records_it(tmp_path):
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, provider = InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    budget = Budget(usd="2", per="month", name="all")
    with Client(
        budget=budget,
        routes=ByBudgetLeft("0.2"),
        telemetry=Telemetry(tracer_provider=provider),
        **settings(tmp_path),
    ) as llm:
        served(llm, 9)
    calls = [span for span in spans.get_finished_spans() if span.name == "inferkit.call"]
    first, last = (next(event for event in span.events if event.name == "route") for span in (calls[0], calls[-1]))
    assert first.attributes["because"].endswith("the last 20% are for cheapest, so ordered")
    assert last.attributes["chosen"] == "cheap:m"
    assert last.attributes["why"].startswith("cheapest: about $0.00")


def test_a_policy_of_ones_own_reads_how_the_call_stands(tmp_path):
    seen = []

    def own(request):
        seen.append(STANDING.get(request))
        return request.candidates

    own.needs = {"budgets"}
    inside = []

    async def look(request, call_next):
        inside.append(STANDING.get(request))
        return await call_next(request)

    budget = Budget(usd="2", calls=10, per="month", name="all", each="user")
    more = {"budget": budget, "routes": own, "layers": [Insert(look, before="retry")]}
    with Client(**more, **settings(tmp_path)) as llm:
        served(llm, 2, user="ana")
    second = Standing(
        (
            BudgetStanding("all:ana", "all", "usd", 2 * USD, USD // 5),
            BudgetStanding("all:ana", "all", "calls", 10, 1),
        )
    )
    assert inside[1] == second
    assert set(map(id, seen)) == set(map(id, inside)), "looked up once a call"
