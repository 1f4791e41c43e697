"""Whoever replaces the clock owns the time of everything that a client does."""

from __future__ import annotations

from inferkit import Budget, Client, Price
from inferkit.core.response import Response
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.testing import FakeProvider, make_request

AT = 1_795_000_000.0  # 2026-11-18


def test_calls_budgets_and_reports_go_by_the_clock_that_is_set(monkeypatch, tmp_path):
    monkeypatch.setattr(clock, "time", lambda: AT)
    budget = Budget(usd="1", per="month", name="all")
    with Client(
        providers={"fake": FakeProvider("Hi")},
        models={"fast": "fake:m"},
        prices={"fake:m": Price(input="1", output="1")},
        budget=budget,
        home=tmp_path,
    ) as llm:
        first, second = llm.complete("Hello"), llm.complete("Hello")
        spent = budget.usage(ledger=llm.ledger).usd
        (entry,) = llm.ledger.entries()
        ((account, window, _),) = llm.ledger.balances()
    assert (first.cache, second.cache) == ("miss", "hit")
    assert entry.at == AT
    assert int(first.id[:12], 16) == AT * 1000
    assert (account, window) == ("all", budget.window(AT).label)
    assert spent == first.cost > 0
    with Client(home=tmp_path) as llm:
        (tally,) = llm.ledger.tallies()
    assert tally.hour == AT // 3600 * 3600


def test_a_runtime_of_ones_own_gives_the_time_to_what_runs_on_it():
    class Simulated(DirectRuntime):
        def time(self):
            return AT

    runtime, ends = Simulated(), []
    request = make_request(runtime=runtime)
    request.record.note("something")
    response = Response.of([], runtime=runtime).map(on_close=ends.append)
    drive(response.aclose())
    assert ends[0].runtime.time() == AT
    assert request.record.events[0].time_ns == AT * 10**9
    assert int(request.record.id[:12], 16) == AT * 1000
