"""Real calls through the whole stack, of every kind that costs, saves or wastes, and each figure of their report."""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from budgets.stack import likely_input, likely_output
from economics.bookkeeping import costs, report_of, some
from inferkit import (
    AsyncClient,
    Budget,
    BudgetExceeded,
    Client,
    Insert,
    Price,
    RateLimited,
    StreamInterrupted,
    Unavailable,
)
from inferkit.core.chunks import Chunk
from inferkit.core.usage import Usage
from inferkit.economics.report.report import Period
from inferkit.layers.retry import Retry
from inferkit.plans.plan import Plan
from inferkit.routing import Cascade
from inferkit.testing import FakeProvider, make_request, settled
from layers.test_hedges import Hedge
from worlds import Gate

# in nano-dollars a token: dear 4,000 in and 20,000 out, cheap 1,000 in and 2,000 out
DEAR = Price(input="4", output="20", cache_read="1", cache_write="5")
CHEAP = Price(input="1", output="2")
WHOLE = [Chunk("Hello"), Chunk(" world", finish_reason="stop", usage=Usage(100, 10))]
INPUT = likely_input(make_request("Hi"))  # what is booked for an attempt that reports no input
HELLO = likely_output("Hello")  # and for one that was left after this
AT_DEAR, AT_CHEAP = 100 * 4_000 + 10 * 20_000, 100 * 1_000 + 10 * 2_000


def today():
    now = datetime.now(UTC)
    return Period(now - timedelta(hours=2), now + timedelta(hours=2))


def client(kind=Client, *, dear=WHOLE, cheap=WHOLE, local=WHOLE, **settings):
    def scripts(given):
        return given if isinstance(given, tuple) else (given,)

    patient = Insert(Retry(2, base=0.001), instead_of="retry")
    return kind(
        providers={
            "dear": FakeProvider(*scripts(dear), name="dear"),
            "cheap": FakeProvider(*scripts(cheap), name="cheap"),
            "local": FakeProvider(*scripts(local), name="local"),
        },
        models={"smart": "dear:m", "fast": ["cheap:m", "dear:m"], "near": ["local:m", "dear:m"], "here": "local:m"},
        prices={"dear:m": DEAR, "cheap:m": CHEAP},
        layers=[patient, *settings.pop("layers", ())],
        **{"cache": False} | settings,
    )


def report(llm, **options):
    llm.close()
    return report_of(llm.ledger, today(), **options)


def test_a_whole_reply_costs_what_its_provider_reported_for_whom_and_what_for():
    with client() as llm:
        llm.complete("smart", "Hi", user="ana", tenant="acme", feature="chat")
        llm.complete("smart", "Hi", user="ben", feature="mail")
        llm.complete("smart", "Hi")
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (3, 3 * AT_DEAR)
    assert (found.total.input_tokens, found.total.output_tokens) == (300, 30)
    assert costs(found, "user") == {"ana": AT_DEAR, "ben": AT_DEAR, None: AT_DEAR}
    assert costs(found, "tenant") == {"acme": AT_DEAR, None: 2 * AT_DEAR}
    assert costs(found, "feature") == {"chat": AT_DEAR, "mail": AT_DEAR, None: AT_DEAR}
    assert costs(found, "model") == {"dear:m": 3 * AT_DEAR}
    assert some(found.savings.kinds) == some(found.waste.kinds) == {}
    assert (found.estimated.calls, found.unpriced) == (0, 0)


def test_replies_from_the_cache_save_what_they_had_cost():
    with client(cache=True) as llm:
        for user in ("ana", "ana", "ben"):
            llm.complete("smart", "Hi", user=user)
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (1, AT_DEAR)
    assert some(found.savings.kinds) == {"cache": (2, 2 * AT_DEAR)}


def test_calls_that_share_a_stream_in_flight_save_its_cost():
    with client(cache=True) as llm, llm.stream("smart", "Hi", user="ana") as leader:
        assert next(leader).text == "Hello"
        with llm.stream("smart", "Hi", user="ben") as follower:
            assert [chunk.text for chunk in follower] == ["Hello", " world"]
        assert [chunk.text for chunk in leader] == [" world"]
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (1, AT_DEAR)
    assert some(found.savings.kinds) == {"coalesced": (1, AT_DEAR)}


def test_the_providers_prompt_cache_saves_or_costs():
    read = Chunk("Hi", finish_reason="stop", usage=Usage(100, 10, 60, 20))
    write = Chunk("Hi", finish_reason="stop", usage=Usage(100, 10, 0, 100))
    with client(dear=([read], [write])) as llm:
        llm.complete("smart", "one")
        llm.complete("smart", "two")
    found = report(llm)
    cost_of_read = 20 * 4_000 + 60 * 1_000 + 20 * 5_000 + 10 * 20_000
    cost_of_write = 100 * 5_000 + 10 * 20_000
    assert found.total.cost == cost_of_read + cost_of_write
    assert some(found.savings.kinds) == {"prompt cache": (2, 160_000 - 100_000)}


def test_routing_saves_the_difference_to_the_dearest_model_behind_the_name():
    with client() as llm:
        llm.complete("fast", "Hi")
    found = report(llm)
    assert found.total.cost == AT_CHEAP
    assert some(found.savings.kinds) == {"routing": (1, AT_DEAR - AT_CHEAP)}


def test_local_models_save_the_price_of_the_dearest_behind_the_name_or_of_the_baseline():
    with client() as llm:
        llm.complete("near", "Hi")
        llm.complete("here", "Hi")
    assert report(llm).total.cost == 0
    assert some(report(llm).savings.kinds) == {"local models": (2, AT_DEAR)}
    assert some(report(llm, baseline=CHEAP).savings.kinds) == {"local models": (2, AT_DEAR + AT_CHEAP)}
    assert costs(report(llm), "model") == {"local:m": 0}


def test_what_a_budget_degrades_and_refuses():
    once = Budget(calls=1, name="once", each="user")
    trial = Budget(calls=1, name="trial", each="user", on_exceed="degrade", degrade_to="here")
    with client() as llm:
        llm.complete("smart", "one", user="ana", budget=trial)
        assert llm.complete("smart", "two", user="ana", budget=trial).degraded
        llm.complete("smart", "three", user="ben", budget=once)
        for _ in range(2):
            with pytest.raises(BudgetExceeded):
                llm.complete("smart", "four", user="ben", budget=once)
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (3, 2 * AT_DEAR)
    assert some(found.savings.kinds) == {"degraded": (1, AT_DEAR)}
    assert found.refused == {"once:ben": 2}


def test_failed_attempts_cost_what_may_have_been_billed_and_refused_ones_nothing():
    lost, busy = Unavailable("down", provider="dear"), RateLimited("busy", provider="dear", status=429)
    with client(dear=(lost, busy, WHOLE)) as llm:
        llm.complete("smart", "Hi", feature="chat")
        wasted = INPUT * 4_000 + 20_000
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (1, wasted + AT_DEAR)
    assert some(found.waste.kinds) == {"failed attempts": (2, wasted)}
    assert found.estimated.calls == 1


def test_a_fallback_is_charged_to_both_models_and_the_call_to_the_one_that_served():
    with client(cheap=Unavailable("down", provider="cheap")) as llm:
        llm.complete("fast", "Hi")
        wasted = INPUT * 1_000 + 2_000
    found = report(llm)
    assert {row.name: (row.calls, row.cost) for row in found.by("model")} == {
        "dear:m": (1, AT_DEAR),
        "cheap:m": (0, wasted),
    }
    assert some(found.waste.kinds) == {"failed attempts": (1, wasted)}
    assert some(found.savings.kinds) == {}


@pytest.mark.parametrize("way", ["closed", "dropped"])
def test_a_stream_whose_reader_leaves_is_waste(way):
    with client() as llm:
        if way == "closed":
            with llm.stream("smart", "Hi") as stream:
                assert next(stream).text == "Hello"
        else:
            stream = llm.stream("smart", "Hi")
            stream.__enter__()
            assert next(stream).text == "Hello"
            del stream
            gc.collect()
            settled()
        cost = INPUT * 4_000 + HELLO * 20_000
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (1, cost)
    assert some(found.waste.kinds) == {"abandoned streams": (1, cost)}


def test_a_stream_that_breaks_is_waste():
    with client(dear=["Hello", Unavailable("gone", provider="dear")]) as llm:
        with pytest.raises(StreamInterrupted):
            llm.complete("smart", "Hi")
        cost = INPUT * 4_000 + HELLO * 20_000
    found = report(llm)
    assert found.total.cost == cost
    assert some(found.waste.kinds) == {"broken streams": (1, cost)}


def test_a_call_of_which_all_attempts_fail_is_waste_all_of_it():
    with client(dear=Unavailable("down", provider="dear")) as llm:
        with pytest.raises(Unavailable):
            llm.complete("smart", "Hi")
        one = INPUT * 4_000 + 20_000
    found = report(llm)
    assert (found.total.calls, found.total.cost) == (1, 3 * one)
    assert some(found.waste.kinds) == {"failed attempts": (2, 2 * one), "broken streams": (1, one)}


def test_a_call_that_cost_nothing_since_it_was_never_answered_is_not_in_the_books():
    with client(dear=RateLimited("busy", provider="dear", status=429)) as llm, pytest.raises(RateLimited):
        llm.complete("smart", "Hi")
    assert report(llm).total.calls == 0


def test_replies_that_are_cut_short_by_a_length_or_a_budget_are_waste():
    cut = [Chunk("Hello", finish_reason="length", usage=Usage(100, 10))]
    with client(dear=cut) as llm:
        llm.complete("smart", "Hi", max_output_tokens=10)
        scarce = Budget(usd="0.01", per="call", name="scarce")
        reply = llm.complete("smart", "Hi", budget=scarce, max_output_tokens=4000)
        assert reply.finish_reason == "budget"
        kept = llm.complete("smart", "Hi", budget=Budget(usd="1", per="call", name="enough"), max_output_tokens=10)
        assert kept.finish_reason == "length"
    found = report(llm)
    assert some(found.waste.kinds) == {"truncated replies": (3, 3 * AT_DEAR)}


def test_a_hedge_that_lost_is_waste():
    gate = Gate()
    hedge = Hedge(gate)

    async def main():
        llm = client(AsyncClient, cheap=["Hello", gate, " world"], layers=[Insert(hedge, after="retry")])
        with anyio.fail_after(30):
            async with llm:
                await llm.complete("fast", "Hi")
        return llm

    llm = anyio.run(main)
    wasted = INPUT * 1_000 + HELLO * 2_000
    found = report_of(llm.ledger, today())
    assert (found.total.calls, found.total.cost) == (1, wasted + AT_DEAR)
    assert some(found.waste.kinds) == {"lost hedges": (1, wasted)}
    assert {row.name: row.calls for row in found.by("model")} == {"dear:m": 1, "cheap:m": 0}
    llm.ledger.close()


def test_a_reply_that_a_larger_model_was_asked_for_is_no_failure_of_the_smaller_one():
    cascade = Cascade(lambda _, reply: len(reply.text) > 20)
    with client(routes={"fast": cascade}, cache=False) as llm:
        assert llm.complete("fast", "Hi").provider == "dear"
        with llm.stream("fast", "Hi") as stream:
            next(iter(stream))
    found = report(llm)
    left = found.total.cost - 2 * AT_CHEAP - AT_DEAR  # by what the first call taught
    assert 0 < left < AT_DEAR
    assert some(found.waste.kinds) == {"abandoned streams": (1, left)}
    assert some(found.savings.kinds) == {"escalated": (2, -2 * AT_CHEAP)}
    assert some(found.more_requests.kinds) == {"escalation": (2, AT_DEAR + left)}
    assert {row.name: row.calls for row in found.by("model")} == {"dear:m": 2, "cheap:m": 0}


def test_a_stream_that_breaks_and_goes_on_was_not_wasted():
    rest = [Chunk("Hello"), Chunk(" world", finish_reason="stop", usage=Usage(100, 10))]
    with client(dear=(["Hello", Unavailable("gone", provider="dear")], rest), on_interrupt="continue") as llm:
        assert llm.complete("smart", "Hi").text == "Hello world"
    found = report(llm)
    broken = INPUT * 4_000 + HELLO * 20_000
    assert found.total.cost == broken + AT_DEAR
    assert some(found.waste.kinds) == {}
    assert some(found.more_requests.kinds) == {"continuation": (1, AT_DEAR)}


def test_calls_under_plans_bring_their_customers_price():
    plans = [
        Plan("pro", price="30", allowance=Budget(usd="5")),
        Plan("free", allowance=Budget(usd="0.001", on_exceed="raise")),
    ]
    now = time.time()
    with client(plans=plans, default_plan="free") as llm:
        llm.plans.assign("pro", user="ana", at=now - 90 * 86400)
        llm.complete("smart", "one", user="ana", max_output_tokens=20)
        llm.complete("fast", "two", user="ben", max_output_tokens=20)
        with pytest.raises(BudgetExceeded):
            llm.complete("smart", "three" * 200, user="ben", max_output_tokens=20)
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    whole = Period(month, (month + timedelta(days=32)).replace(day=1))
    llm.close()
    found = report_of(llm.ledger, whole, plans)
    assert {row.name: (row.cost, row.revenue, row.margin) for row in found.by("plan")} == {
        "pro": (AT_DEAR, 30 * 10**9, 30 * 10**9 - AT_DEAR),
        "free": (AT_CHEAP, 0, -AT_CHEAP),
    }
    assert [row.name for row in found.customers.free] == ["ben"]
    assert found.refused == {"allowance:ben": 1}
    assert found.unknown_plans == ()
