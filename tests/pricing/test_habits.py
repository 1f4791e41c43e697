"""What settled calls teach of a model: how soon it is followed when it changes, and what stays known of it."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings, strategies as st

from inferkit.core.usage import Usage
from inferkit.pricing.likely import LikelyTokens
from inferkit.pricing.text_kinds import count
from inferkit.pricing.tokens import Seen, leave
from inferkit.testing import make_request
from texts import KINDS, SIZES, tokens_in


class Calls:
    """Settled calls of one client, which nobody asked for an estimate in between, and estimates after them.

    `counts` says how many tokens the model reports for a text. Its replies come in pieces that tell nothing.
    """

    def __init__(self, seed=1, model="m"):
        self.likely, self.chance, self.model = LikelyTokens(), random.Random(seed), model

    def text(self, kind):
        return KINDS[kind](self.chance, self.chance.choice(SIZES))

    def asked(self, text):
        return make_request(text, model=self.model)

    def seen(self, text):
        seen = Seen()
        cuts = sorted({0, *self.chance.sample(range(1, len(text)), len(text) // 20), len(text)})
        seen.pieces = [text[start:end] for start, end in itertools.pairwise(cuts)]
        seen.chars, seen.chunks = len(text), len(seen.pieces)
        return seen

    def settle(self, count, kinds, counts=tokens_in):
        for _ in range(count):
            asked, reply = (self.text(self.chance.choice(kinds)) for _ in range(2))
            usage = Usage(7 + counts(asked), counts(reply))
            leave(self.likely.models, self.asked(asked), usage, self.seen(reply), seconds=1.0, waited=0.1)

    def estimates(self, kind, counts=tokens_in, *, count=6):
        """Give pairs of what is likely and what it was, of prompts and of replies."""
        for _ in range(count):
            text = self.text(kind)
            yield self.likely.input(self.asked(text)), 7 + counts(text)
            yield self.likely.output(self.asked("Hi"), self.seen(text), 0.1, 0), counts(text)


def far_off(pairs):
    return [(likely, was) for likely, was in pairs if not (was <= likely <= 1.35 * was or abs(likely - was) <= 8)]


def old(text):
    return tokens_in(text, "cl100k")


def times(factor):
    return lambda text: round(factor * tokens_in(text))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("before", "after"),
    [(old, tokens_in), (tokens_in, old), (times(1.5), tokens_in), (times(0.6), tokens_in)],
    ids=["a newer vocabulary", "an older one", "fewer tokens", "more tokens"],
)
def test_a_model_that_counts_in_another_way_is_followed_within_ten_calls(kind, before, after):
    found = []
    for seed in range(5):
        calls = Calls(seed)
        calls.settle(50, [kind], before)
        calls.settle(10, [kind], after)
        found += calls.estimates(kind, after)
    assert len(far_off(found)) <= 0.1 * len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_writes_something_else_is_followed_within_ten_calls(kind):
    others = [each for each in KINDS if each != kind]
    found = []
    for seed in range(5):
        calls = Calls(seed)
        calls.settle(50, others, old)
        calls.settle(10, [kind], old)
        found += calls.estimates(kind, old)
    assert len(far_off(found)) <= 0.1 * len(found)


def test_what_is_known_of_one_kind_of_text_stays_while_others_are_written():
    """Chinese is half as much again to this vocabulary as to most; what 200 English calls say does not change that."""
    calls = Calls()
    texts = [calls.text("chinese") for _ in range(10)]
    calls.settle(20, ["chinese"], old)
    before = [calls.likely.input(calls.asked(text)) for text in texts]
    for _ in range(10):
        calls.settle(20, ["english"], old)
        list(calls.estimates("english", old))
    after = [calls.likely.input(calls.asked(text)) for text in texts]
    assert [0.95 <= new / known <= 1.05 for new, known in zip(after, before, strict=True)] == [True] * 10


@pytest.mark.parametrize("factor", [1 / 6, 6, 50])
def test_one_count_that_lies_moves_little(factor):
    calls = Calls()
    calls.settle(20, ["english"])
    list(calls.estimates("english"))
    calls.settle(1, ["english"], times(factor))
    assert len(far_off(calls.estimates("english", count=20))) <= 4


def test_a_model_that_is_used_is_not_forgotten_for_names_that_come_once():
    calls = Calls()
    calls.settle(20, ["chinese"], old)
    for number in range(300):
        calls.model = f"model {number}"
        calls.settle(1, ["english"])
        if number % 50 == 0:
            calls.model = "m"
            calls.settle(1, ["chinese"], old)
    assert len(calls.likely.models) <= 128
    calls.model = "m"
    assert far_off(calls.estimates("chinese", old)) == []


def test_a_model_that_nobody_uses_any_more_is_forgotten_first():
    calls = Calls(model="forgotten")
    calls.settle(1, ["english"])
    for number in range(128):
        calls.model = f"model {number}"
        calls.settle(1, ["english"])
    assert {name for _, name in calls.likely.models} == {f"model {number}" for number in range(128)}


def test_counts_that_lie_all_the_time_move_an_estimate_within_bounds_alone():
    calls = Calls()
    for _ in range(60):
        calls.settle(5, [*KINDS], times(calls.chance.choice([1 / 7, 0.5, 3, 7])))
        for kind in KINDS:
            text = calls.text(kind)
            likely = calls.likely.output(calls.asked("Hi"), calls.seen(text), 0.1, 0)
            assert 0.1 * tokens_in(text) <= likely <= 7 * tokens_in(text)


def test_a_prompt_and_a_reply_without_text_are_estimated_too():
    calls = Calls()
    calls.settle(5, ["english"])
    assert abs(calls.likely.input(calls.asked("")) - 7) <= 8
    leave(calls.likely.models, calls.asked(""), Usage(8, 0), Seen(), seconds=0.1, waited=0.1)
    assert calls.likely.output(calls.asked("Hi"), Seen(), 0.1, 0) == 0
    assert far_off(calls.estimates("english")) == []


@settings(max_examples=50)
@given(
    st.text("ab 1é漢", min_size=1, max_size=300), st.integers(0, 6), st.integers(1, 400), st.integers(0, 300),
    st.floats(0, 400),
)  # fmt: skip
def test_whether_a_reply_is_more_than_is_paid_for_is_said_as_surely_where_that_is_asked_for_alone(
    text, calls, tokens, chunks, most
):
    likely = LikelyTokens()
    request = make_request("hi", model="m").replace(provider="p")
    for _ in range(calls):
        likely.models["p", "m"].output.learn(count(text.encode()), tokens)
    seen = Seen()
    seen.pieces.append(text)
    seen.chars, seen.chunks = len(text), chunks
    surely = likely.surely(request, seen)
    asked = likely.surely(request, seen, above=most)
    assert (asked > most) is (surely > most)
    assert asked == surely if surely > most else surely <= asked <= most
