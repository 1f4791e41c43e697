"""The measurement of a cascade on the triage task: its arithmetic, and a few messages from end to end."""

from __future__ import annotations

import json
import math
import urllib.request
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


@pytest.fixture
def cascade(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import triage_model.cascade as module

    return module


def pairs(both, gained, lost, neither):
    return [(True, True)] * both + [(True, False)] * gained + [(False, True)] * lost + [(False, False)] * neither


def test_a_paired_difference_counts_only_what_the_two_answered_differently(cascade):
    found = cascade.Paired.of(pairs(700, 4, 16, 26))
    assert found.difference == pytest.approx(-12 / 746)
    spread = 1.96 * math.sqrt(21 - 144 / 748) / 748
    assert (found.low, found.high) == pytest.approx((-12 / 748 - spread, -12 / 748 + spread))
    assert cascade.Paired.of(pairs(9, 0, 0, 1)).difference == 0
    assert cascade.Paired.of(pairs(50, 1, 9, 40)).low > cascade.Paired.of(pairs(5, 1, 9, 4)).low
    assert str(found) == "-1.6 points (-2.8 to -0.4)"


def test_a_judge_is_as_good_as_it_tells_right_from_wrong(cascade):
    assert cascade.auc([(0.9, True), (0.8, True), (0.7, False)]) == 1
    assert cascade.auc([(0.5, True), (0.5, False)]) == 0.5
    assert cascade.auc([(0.1, True), (0.9, True), (0.5, False)]) == 0.5


def test_the_larger_model_is_right_as_often_as_is_stated_and_always_about_the_same(cascade):
    rows = cascade.messages()
    assert len(rows) > 700
    for accuracy in (1.0, 0.9):
        answers = [cascade.answer_of_larger(one, accuracy) for one in rows]
        share = sum(answer["category"] == one.category for answer, one in zip(answers, rows, strict=True)) / len(rows)
        assert share == pytest.approx(accuracy, abs=0.03)
        assert answers == [cascade.answer_of_larger(one, accuracy) for one in rows]
    assert {answer["category"] for answer in answers} <= set(cascade.CATEGORIES)


def test_the_larger_model_answers_over_http_and_bills_its_tokens(cascade):
    rows = cascade.messages()[:2]
    with cascade.larger_model(rows, 1.0) as url:
        asked = json.dumps({"messages": [{"role": "user", "content": rows[1].message}]}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", asked)) as reply:
            said = json.load(reply)
    assert json.loads(said["choices"][0]["message"]["content"])["category"] == rows[1].category
    assert said["usage"]["completion_tokens"] == cascade.ANSWER_TOKENS


def test_a_few_messages_pass_through_both_models_and_the_cascade(cascade):
    found = cascade.measure(cascade.messages()[:6], accuracy=1.0, wrong=0.5)
    assert all(one.larger for one in found)
    assert all(one.escalated for one in found), "three labels promise nothing, so the larger one is asked"
    assert all(one.cascade_nanos > one.larger_nanos > one.small_nanos > 0 for one in found)
    lines = dict(line.split("  ", 1) for line in cascade.report(found).splitlines())
    assert lines["right category, larger model"].strip() == "100.0 %"
    assert lines["answered by the embedded model"].strip() == "0.0 %"
