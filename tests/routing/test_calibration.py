"""A threshold that is calibrated keeps what it promises, and is refused where nothing can be promised."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from inferkit import ConfigurationError
from inferkit.routing import calibrate
from inferkit.routing.cascade import _at_most, at_most_wrong


def labelled(chance, count, *, skill=1.0):
    """Make up replies: the surer a model is of one, the more likely it is right, as far as `skill` (0 to 1) goes."""
    pairs = []
    for _ in range(count):
        worth = chance.random()
        right = chance.random() < skill * worth**0.2 + (1 - skill) * 0.8
        pairs.append((worth, right))
    return pairs


def test_it_finds_the_lowest_threshold_that_passes():
    chance = random.Random(1)
    found = calibrate(labelled(chance, 4000), wrong=0.10)
    assert 0.05 < found.threshold < 0.7
    assert found.wrong <= found.wrong_at_most <= 0.10
    assert found.count == 4000
    assert 0.3 < found.accepted < 0.95
    assert found.accepted == sum(worth >= found.threshold for worth, _ in labelled(random.Random(1), 4000)) / 4000


def test_of_many_calibrations_fewer_break_their_promise_than_they_may():
    """The true share of wrong replies above a threshold t is 1 - (1 - t^1.2) / (1.2 (1 - t))."""
    chance, broken, made = random.Random(2), 0, 0
    for _ in range(300):
        try:
            found = calibrate(labelled(chance, 600), wrong=0.10, certainty=0.9)
        except ConfigurationError:
            continue
        made += 1
        t = found.threshold
        broken += 1 - (1 - t**1.2) / (1.2 * (1 - t)) > 0.10
    assert made > 200
    assert broken / made <= 0.10


def test_a_judge_that_tells_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="no threshold keeps wrong replies under 5.0%"):
        calibrate(labelled(random.Random(3), 2000, skill=0.0), wrong=0.05)


def test_too_few_labels_are_refused_and_it_is_said_how_many_would_do():
    with pytest.raises(ConfigurationError, match="by 30 labelled replies; 117 right ones"):
        calibrate([(1.0, True)] * 30, wrong=0.05)
    assert calibrate([(1.0, True)] * 117, wrong=0.05).threshold == 1.0
    with pytest.raises(ConfigurationError):
        calibrate([], wrong=0.05)


def test_replies_of_equal_worth_are_all_accepted_or_none():
    pairs = [(0.9, True)] * 500 + [(0.5, True)] * 300 + [(0.5, False)] * 300
    found = calibrate(pairs, wrong=0.05)
    assert (found.threshold, found.wrong) == (0.9, 0.0)
    assert found.accepted == 500 / 1100


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: calibrate([(1.0, True)], wrong=0), "shares"),
        (lambda: calibrate([(1.0, True)], wrong=0.1, certainty=1), "shares"),
        (lambda: calibrate([(float("nan"), True)], wrong=0.1), "is a number"),
    ],
)
def test_what_makes_no_sense_is_refused(make, what):
    with pytest.raises(ConfigurationError, match=what):
        make()


@given(st.integers(1, 300), st.data())
def test_the_bound_is_the_share_at_which_so_few_mistakes_become_unlikely(size, data):
    mistakes = data.draw(st.integers(0, size))
    level = data.draw(st.floats(0.001, 0.5))
    bound = at_most_wrong(mistakes, size, level)
    assert mistakes / size <= bound <= 1.0
    if mistakes < size:
        assert _at_most(mistakes, size, bound) == pytest.approx(level, rel=1e-3, abs=1e-6)
        assert at_most_wrong(mistakes + 1, size, level) >= bound
