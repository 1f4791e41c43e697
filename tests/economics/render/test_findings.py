"""The first paragraph says what matters, in sentences that are right for one and for many."""

import dataclasses

import pytest

from economics.render.page.made_reports import DOLLAR, report
from inferkit.economics.render.findings import findings
from inferkit.economics.report.waste import Waste


def said(*args, **fields):
    return findings(report(*args, **fields)).replace("\N{NO-BREAK SPACE}", " ")


PAID = [("ana", "pro", 20 * DOLLAR), ("ben", "pro", 20 * DOLLAR)]


@pytest.mark.parametrize(
    ("calls", "revenue", "sentence"),
    [
        ([], [], "There are no calls in this period."),
        ([("ana", None, "m", 0, DOLLAR)], [], "1 call cost $1.00; no revenue is known."),
        ([("ana", "free", "m", 0, DOLLAR)], [], "1 call cost $1.00 and brought in nothing."),
        ([("ana", "pro", "m", 0, DOLLAR)] * 2, PAID, "Of $40.00 in revenue, $38.00 (95.0 %) remain after the $2.00"),
        ([("ana", "pro", "m", 0, 50 * DOLLAR)], PAID, "The period cost $10.00 more than it brought in: $50.00 against"),
        ([], PAID, "No paying customer costs more than it brings in."),
        (
            [("ana", "pro", "m", 0, 21 * DOLLAR)],
            PAID,
            "1 of 2 paying customers costs more than it brings in, and loses",
        ),
        ([(u, "pro", "m", 0, 21 * DOLLAR) for u in ("ana", "ben")], PAID, "2 of 2 paying customers cost more"),
        ([(u, "pro", "m", 0, 21 * DOLLAR) for u in ("ana", "ben")], PAID, "together they lose $2.00."),
        ([("ana", "pro", "m", 0, 8 * DOLLAR)], PAID, "1 customer leaves less than its plan's target margin."),
        (
            [("x", "free", "m", 0, DOLLAR), ("ana", "pro", "m", 0, 3 * DOLLAR)],
            PAID,
            "1 customer who pays nothing costs",
        ),
        ([(u, "free", "m", 0, DOLLAR) for u in "xy"], PAID, "2 customers who pay nothing cost $2.00, 100.0 % of"),
        ([("ana", "pro", "m", 0, DOLLAR)], PAID, "All of the cost comes from m."),
        (
            [("ana", "pro", "openai:gpt-5", 0, 3 * DOLLAR), ("ana", "pro", "m", 0, DOLLAR)],
            PAID,
            "The dearest model, openai:gpt-5, makes 75 % of the cost.",
        ),
    ],
)
def test_it_says(calls, revenue, sentence):
    assert sentence in said(calls, revenue=revenue)


def test_who_pays_nothing_is_not_said_to_lose_money():
    assert "costs more than it brings in, and" not in said([("x", "free", "m", 0, 99 * DOLLAR)], revenue=PAID)


def test_waste_is_said_from_a_twentieth_of_the_cost_on():
    calls = [("ana", "pro", "m", 0, 100 * DOLLAR)]
    waste = Waste()
    waste.failed_attempts.add(1, 4 * DOLLAR)
    assert "wasted" not in said(calls, waste=waste)
    waste.lost_hedges.add(1, DOLLAR)
    assert "$5.00 of it (5 %) was wasted, most of that on failed attempts." in said(calls, waste=waste)


@pytest.mark.parametrize(("calls", "sentence"), [(1, "1 call has no known price and is"), (2, "2 calls have no known")])
def test_what_is_missing_from_the_cost_is_said(calls, sentence):
    made = report([("ana", "pro", "m", 0, DOLLAR)])
    assert sentence in findings(dataclasses.replace(made, unpriced=calls))


def test_names_from_outside_can_do_nothing_to_a_terminal():
    assert "\x1b" not in said([("ana", "pro", "\x1b[2J", 0, 30 * DOLLAR)], revenue=[("ana", "pro", DOLLAR)])
