from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from inferkit.core.errors import InvalidRequest
from inferkit.local.engines.sampling import Sampling, draw, penalise

CANDIDATES = [(7, 3.0), (1, 2.0), (5, 1.0), (2, -4.0)]


def test_temperature_zero_takes_the_best_whatever_the_fortune():
    assert {draw(CANDIDATES, Sampling(), random.random()) for _ in range(20)} == {7}


def test_draws_follow_the_softmax_of_the_scores():
    sampling = Sampling(temperature=0.7)
    steps = 20_000
    counts = Counter(draw(CANDIDATES, sampling, (n + 0.5) / steps) for n in range(steps))
    weights = {token: math.exp(score / 0.7) for token, score in CANDIDATES}
    for token, weight in weights.items():
        assert counts[token] / steps == pytest.approx(weight / sum(weights.values()), abs=2 / steps)


def test_top_p_leaves_out_the_unlikely_tail():
    sampling = Sampling(temperature=1.0, top_p=0.6)
    assert {draw(CANDIDATES, sampling, n / 100) for n in range(100)} == {7}
    assert {draw(CANDIDATES, Sampling(temperature=1.0, top_p=0.9), n / 100) for n in range(100)} == {7, 1}


def test_top_p_zero_still_leaves_the_best():
    assert draw(CANDIDATES, Sampling(temperature=1.0, top_p=0.0), 0.99) == 7


def test_scores_that_are_no_numbers_are_never_chosen():
    assert draw([(1, math.nan), (2, math.inf), (3, 0.5)], Sampling(temperature=1.0), 0.9) == 3
    assert draw([(1, math.nan), (2, -math.inf)], Sampling(temperature=1.0), 0.9) is None


def test_the_largest_fortune_still_finds_a_token():
    assert draw(CANDIDATES, Sampling(temperature=50.0), math.nextafter(1.0, 0.0)) == 2
    assert draw([(1, 0.0), (2, 0.0)], Sampling(temperature=1.0), 1.0) == 2


def test_a_penalty_lowers_scores_of_either_sign_once():
    logits = [2.0, -2.0, 5.0]
    penalise(logits, [0, 0, 1], 2.0)
    assert logits == [1.0, -4.0, 5.0]
    penalise(logits, [0, 1, 2], 1.0)
    assert logits == [1.0, -4.0, 5.0]


def test_without_a_seed_each_request_gets_another():
    assert Sampling.of({}).seed != Sampling.of({}).seed
    assert Sampling.of({"seed": 0}).seed == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"repeat_window": -1}, "repeat_window"),
        ({"seed": "7"}, "seed"),
        ({"seed": 1 << 70}, "seed"),
    ],
)
def test_an_option_out_of_range_is_named_with_its_range(options, named):
    with pytest.raises(InvalidRequest, match=rf"^{named} is a (whole )?number from .* to .*; got"):
        Sampling.of(options)
