"""Every nano-dollar that was wasted is in one place, and none in two."""

from __future__ import annotations

import pytest

from economics.bookkeeping import enter, report_of, some
from inferkit import Price
from inferkit.ledger.journal import Part


def attempt(outcome, usd, model="m"):
    return Part("retry", "x", model, outcome, usd, 10, 5)


def waste(ledger):
    return some(report_of(ledger).waste.kinds)


@pytest.mark.parametrize(
    ("outcome", "reason", "kind"),
    [
        ("completed", "stop", None),
        ("completed", "tool_calls", None),
        ("completed", None, None),
        ("completed", "length", "truncated replies"),
        ("completed", "budget", "truncated replies"),
        ("error", "budget", "truncated replies"),  # cut with BudgetExceeded
        ("closed", None, "abandoned streams"),
        ("cancelled", None, "abandoned streams"),
        ("abandoned", None, "abandoned streams"),
        ("error", None, "broken streams"),
        (None, None, None),
    ],
)
def test_the_cost_of_a_call_is_waste_of_at_most_one_kind(ledger, outcome, reason, kind):
    enter(ledger, 7, outcome=outcome, finish_reason=reason)
    assert waste(ledger) == ({} if kind is None else {kind: (1, 7)})


def test_only_the_attempt_that_was_cut_short_is_so_and_those_before_it_failed(ledger):
    enter(ledger, 60, finish_reason="length", parts=(attempt("error", 10), attempt("completed", 50)))
    assert waste(ledger) == {"failed attempts": (1, 10), "truncated replies": (1, 50)}


def test_a_hedge_that_ends_after_the_reply_was_served_is_lost(ledger):
    enter(ledger, 60, parts=(attempt("completed", 50), attempt("cancelled", 10)))
    assert waste(ledger) == {"lost hedges": (1, 10)}
    assert report_of(ledger).total.calls == 1


def test_an_attempt_of_unknown_price_is_waste_of_unknown_price(ledger):
    enter(ledger, None, parts=(attempt("error", None), attempt("completed", 50)))
    assert waste(ledger) == {"failed attempts": (1, 0)}
    assert report_of(ledger).total.cost == 50


def test_of_a_call_that_failed_the_last_attempt_broke_and_those_before_it_failed(ledger):
    enter(ledger, 60, outcome="error", parts=(attempt("error", 10), attempt("error", 50)))
    assert waste(ledger) == {"failed attempts": (1, 10), "broken streams": (1, 50)}


def test_a_local_call_that_cost_something_saves_only_the_rest(ledger):
    enter(ledger, 1000, provider="local", input_tokens=10, output_tokens=5)
    found = report_of(ledger, baseline=Price(input="1", output="2"))
    assert some(found.savings.kinds) == {"local models": (1, 10 * 1000 + 5 * 2000 - 1000)}


def test_a_degraded_call_saves_once(ledger):
    enter(ledger, 0, provider="local", degraded=True, routing_saved=500)
    enter(ledger, 100, degraded=True, routing_saved=400)
    found = report_of(ledger, baseline=Price(input="1", output="2"))
    assert some(found.savings.kinds) == {"degraded": (2, 900)}
