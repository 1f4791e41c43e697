"""Every nano-dollar that was wasted is in one place, and none in two."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from economics.bookkeeping import enter, report_of, some
from inferkit import Price
from inferkit.core.attempt import AttemptKind
from inferkit.economics.render import render_page
from inferkit.economics.render.as_csv import as_csv
from inferkit.economics.render.as_json import as_json
from inferkit.economics.render.document import document_of
from inferkit.economics.render.sections import MORE_REQUESTS
from inferkit.ledger.journal import Part


def attempt(outcome, usd, model="m", kind="retry"):
    return Part(kind, "x", model, outcome, usd, 10, 5)


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


def more_requests(ledger):
    return some(report_of(ledger).more_requests.kinds)


def test_the_reply_of_a_smaller_model_that_was_not_good_enough_is_taken_off_what_routing_saved(ledger):
    parts = (attempt("completed", 10, "small", "primary"), attempt("completed", 50, "m", "escalation"))
    enter(ledger, 60, parts=parts)
    assert waste(ledger) == {}
    assert some(report_of(ledger).savings.kinds) == {"escalated": (1, -10)}
    assert more_requests(ledger) == {"escalation": (1, 50)}
    (section,) = [one for one in document_of(report_of(ledger)).sections if one.title == "What was saved"]
    assert section.paragraph == "Without these the calls would have cost $0.00000001 less."


def test_of_a_call_whose_escalation_was_left_the_larger_model_gave_the_reply(ledger):
    parts = (attempt("completed", 10, "small", "primary"), attempt("closed", 50, "m", "escalation"))
    enter(ledger, 60, outcome="closed", parts=parts)
    assert waste(ledger) == {"abandoned streams": (1, 50)}
    assert {row.name: row.calls for row in report_of(ledger).by("model")} == {"x:m": 1, "x:small": 0}


def test_an_escalation_that_failed_is_waste_and_the_reply_that_was_kept_is_not(ledger):
    parts = (attempt("completed", 10, "m", "primary"), attempt("error", 50, "large", "escalation"))
    enter(ledger, 60, parts=parts)
    assert waste(ledger) == {"failed attempts": (1, 50)}
    assert some(report_of(ledger).savings.kinds) == {}


def test_a_stream_that_was_gone_on_with_was_given_in_all_its_parts(ledger):
    parts = (attempt("continued", 10, "m", "primary"), attempt("error", 5, "m", "continuation"))
    enter(ledger, 35, parts=(*parts, attempt("completed", 20, "m", "continuation")))
    assert waste(ledger) == {"failed attempts": (1, 5)}
    assert more_requests(ledger) == {"continuation": (2, 25)}


def test_a_stream_that_was_gone_on_with_and_left_is_left_in_all_its_parts(ledger):
    parts = (attempt("continued", 10, "m", "primary"), attempt("closed", 20, "m", "continuation"))
    enter(ledger, 30, outcome="closed", parts=parts)
    assert waste(ledger) == {"abandoned streams": (1, 30)}


def test_of_a_stream_that_nobody_could_go_on_with_the_first_part_broke(ledger):
    parts = (attempt("error", 10, "m", "primary"), attempt("error", 5, "m", "continuation"))
    enter(ledger, 15, outcome="error", parts=parts)
    assert waste(ledger) == {"broken streams": (1, 10), "failed attempts": (1, 5)}


def test_a_reply_that_was_no_valid_object_is_waste_of_its_own_kind(ledger):
    parts = (attempt("completed", 10, "m", "primary"), attempt("completed", 50, "m", "repair"))
    enter(ledger, 60, parts=parts)
    assert waste(ledger) == {"repaired replies": (1, 10)}
    assert more_requests(ledger) == {"repair": (1, 50)}


def test_a_landing_is_part_of_the_reply_that_it_ends(ledger):
    parts = (attempt("completed", 10, "m", "primary"), attempt("completed", 5, "local", "landing"))
    enter(ledger, 15, finish_reason="budget", parts=parts)
    assert waste(ledger) == {"truncated replies": (1, 10)}
    assert more_requests(ledger) == {"landing": (1, 5)}


@pytest.mark.parametrize("kind", sorted(set(get_args(AttemptKind)) - {"primary"}))
def test_each_kind_of_attempt_is_shown_with_what_it_is_for_in_every_form(ledger, kind):
    enter(ledger, 60, parts=(attempt("error", 10, "m", "primary"), attempt("completed", 50, "m", kind)))
    found = report_of(ledger)
    (section,) = [one for one in document_of(found).sections if one.title == "Requests beyond the first"]
    assert section.table.rows == [(kind, MORE_REQUESTS[kind], "1", "$0.00000005")]
    assert MORE_REQUESTS[kind].replace("'", "&#39;") in render_page(found)
    said = json.loads(as_json(found))["requests_beyond_the_first"][kind]
    assert said == {"requests": 1, "usd": "0.000000050"}
    assert f"request beyond the first,{kind},,1,,,0.000000050,,,\n" in as_csv(found, ())


def test_a_local_call_that_cost_something_saves_only_the_rest(ledger):
    enter(ledger, 1000, provider="local", input_tokens=10, output_tokens=5)
    found = report_of(ledger, baseline=Price(input="1", output="2"))
    assert some(found.savings.kinds) == {"local models": (1, 10 * 1000 + 5 * 2000 - 1000)}


def test_a_degraded_call_saves_once(ledger):
    enter(ledger, 0, provider="local", degraded=True, routing_saved=500)
    enter(ledger, 100, degraded=True, routing_saved=400)
    found = report_of(ledger, baseline=Price(input="1", output="2"))
    assert some(found.savings.kinds) == {"degraded": (2, 900)}
