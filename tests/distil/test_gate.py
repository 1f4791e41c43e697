"""The gate and its intervals."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (352, 400, 0.8445, 0.9083)],
)
def test_an_interval_is_wilsons(right, total, low, high):
    from distil.intervals import Share

    assert Share(right, total).interval == pytest.approx((low, high), abs=6e-5)


def test_an_interval_of_nothing_is_everything_and_more_trials_narrow_it():
    from distil.intervals import Share

    assert Share(0, 0).interval == (0.0, 1.0)
    assert Share(900, 1000).interval[0] > Share(90, 100).interval[0]
    assert str(Share(90, 100)) == "90.0 % (82.6 to 94.5)"


def scored(right, total, *, broken=0):
    from distil.dataset import Example
    from distil.gate import Scores

    scores = Scores()
    for number in range(total):
        answer = {"kind": "a", "order": "1"}
        given = json.dumps(answer if number < right else answer | {"kind": "b"})
        scores.add(Example("m", answer), given[:-1] if number >= total - broken else given)
    return scores


def test_fields_are_counted_apart_and_together():
    scores = scored(90, 100, broken=4)
    shares = {name: scores.share(name).right for name in ("valid", "kind", "order", "all")}
    assert shares == {"valid": 96, "kind": 90, "order": 96, "all": 90}


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '{"order": "1", "kind": "a"}', '{"kind": "a"}'])
def test_an_answer_of_another_form_is_wrong_in_all(text):
    from distil.dataset import Example
    from distil.gate import Scores

    scores = Scores()
    assert scores.add(Example("m", {"kind": "a", "order": "1"}), text) is None
    assert not any(scores.right.values())


def test_the_whole_interval_has_to_be_above_the_bar():
    from distil.gate import Gate

    good = scored(90, 100)
    assert Gate("kind", 0.82).refusal(good, good) is None
    refusal = Gate("kind", 0.83).refusal(good, good)
    assert "90.0 % (82.6 to 94.5) of 100 held-out messages" in refusal
    assert "begin at 83.0 %" in refusal


def test_what_quantising_may_take_is_bounded():
    from distil.gate import Gate

    assert Gate("kind", 0.5).refusal(scored(91, 100), scored(90, 100)) is None
    assert "quantising took it from 93.0 %" in Gate("kind", 0.5).refusal(scored(93, 100), scored(90, 100))


def test_a_bar_is_a_share():
    from distil.gate import Gate

    with pytest.raises(ValueError, match="between 0 and 1"):
        Gate("kind", 90)
