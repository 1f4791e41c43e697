"""A model's recent calls say how dense its input is, and no estimate goes below them or above the strict bound."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given, strategies as st

from budgets.stack import make_request
from inferkit.core.messages import ImagePart, Message, ReasoningPart, TextPart, Tool, ToolCallPart, ToolResultPart
from inferkit.pricing.estimates import LearnedEstimates, input_tokens
from inferkit.pricing.images import MOST_IMAGE_TOKENS as IMAGE_TOKENS
from inferkit.pricing.tokens import input_tokens_bound, unscaled_tokens
from inferkit.runtime.direct import DirectRuntime
from worlds import Watched, in_threads

CHEAP = ("test", "cheap")
CALLS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 6000)), max_size=100)


def ask(size, model="cheap", **fields):
    return make_request(DirectRuntime(), text="x" * size, model=model, **fields)


def learned(*calls):
    """Learn from (bytes, tokens) pairs."""
    estimates = LearnedEstimates()
    for size, tokens in calls:
        estimates.learn(ask(size), tokens)
    return estimates


def overhead(request):
    return unscaled_tokens(request)


def test_english_is_expected_to_take_a_quarter_more_than_the_densest_recent_call():
    estimates = learned(*[(4000, 900)] * 7, (4000, 1000))
    long = ask(40_000)
    assert 12_500 <= estimates.of(long, CHEAP) - overhead(long) <= 12_501
    assert input_tokens(long, estimates) == estimates.of(long, CHEAP) < input_tokens_bound(long) / 3


def test_seven_calls_are_too_few_to_learn_from():
    estimates = learned(*[(4000, 1000)] * 7)
    assert estimates.of(ask(4000), CHEAP) == input_tokens_bound(ask(4000))
    estimates.learn(ask(4000), 1000)
    assert estimates.of(ask(4000), CHEAP) < input_tokens_bound(ask(4000))


def test_one_dense_call_raises_what_is_expected_until_64_others_have_come():
    estimates = learned(*[(4000, 1000)] * 20)
    before = estimates.of(ask(4000), CHEAP)
    estimates.learn(ask(4000), 3000)
    for _ in range(63):
        estimates.learn(ask(4000), 1000)
        assert estimates.of(ask(4000), CHEAP) >= 3000
    estimates.learn(ask(4000), 1000)
    assert estimates.of(ask(4000), CHEAP) == before


@given(CALLS, st.integers(0, 100_000))
def test_no_estimate_is_above_the_strict_bound(calls, size):
    assert learned(*calls).of(ask(size), CHEAP) <= input_tokens_bound(ask(size))


@given(CALLS)
def test_no_estimate_is_below_what_a_recent_call_used(calls):
    estimates = learned(*calls)
    recent = [(size, tokens) for size, tokens in calls if size >= 256 and tokens > 0][-64:]
    for size, tokens in recent:
        assert estimates.of(ask(size), CHEAP) >= min(tokens, input_tokens_bound(ask(size)))


def test_short_calls_teach_nothing_about_long_ones():
    estimates = learned(*[(20, 12)] * 100)
    assert estimates.of(ask(4000), CHEAP) == input_tokens_bound(ask(4000))


def test_each_model_is_learned_by_itself():
    estimates = learned(*[(4000, 1000)] * 8)
    for model in (("test", "dear"), ("other", "cheap")):
        assert estimates.of(ask(4000), model) == input_tokens_bound(ask(4000))


def test_images_are_never_scaled_and_calls_with_them_are_not_learned_from():
    image = Message.user("x" * 4000, ImagePart(url="https://example.com/a.png"))
    pictured = ask(0).replace(messages=(image,))
    estimates = learned()
    for _ in range(64):
        estimates.learn(pictured, 2000)
    assert estimates.of(ask(4000), CHEAP) == input_tokens_bound(ask(4000))
    estimates = learned(*[(4000, 1000)] * 8)
    assert IMAGE_TOKENS < estimates.of(pictured, CHEAP) < IMAGE_TOKENS + 2000


PARTS = st.one_of(
    st.builds(TextPart, st.text()),
    st.builds(ReasoningPart, st.text()),
    st.builds(ToolCallPart, st.text(), st.text(), st.text()),
    st.builds(ToolResultPart, st.text(), st.text()),
    st.just(ImagePart(url="https://example.com/a.png")),
)


@given(st.lists(st.lists(PARTS, max_size=4), max_size=4), st.booleans(), st.text())
def test_what_is_not_scaled_is_the_bound_without_the_texts(parts, has_tools, text):
    def texts(part):
        names = [] if isinstance(part, ImagePart) else [name for name in part.__slots__ if name != "kind"]
        return [value for name in names if isinstance(value := getattr(part, name), str)]

    request = ask(0).replace(messages=tuple(Message("user", tuple(each)) for each in parts), extra={"stop": text})
    size = sum(len(each.encode()) for message in parts for part in message for each in texts(part))
    if has_tools:
        request = request.replace(tools=(Tool("find", "Find it", {}),), response_schema={})
        size += len("find") + len("Find it") + 2 * len("{}")
    assert input_tokens_bound(request) - unscaled_tokens(request) == size


def test_extra_parameters_are_not_taken_for_text():
    extra = {"metadata": "x" * 4000}
    estimates = LearnedEstimates()
    for _ in range(8):
        estimates.learn(ask(400, extra=extra), 200)
    assert estimates.of(ask(4000), CHEAP) >= 2000


@pytest.mark.parametrize("tokens", [0, -1])
def test_a_report_of_nothing_is_not_learned_from(tokens):
    estimates = learned(*[(4000, tokens)] * 64)
    assert estimates.of(ask(4000), CHEAP) == input_tokens_bound(ask(4000))


def test_names_from_outside_do_not_fill_the_memory():
    estimates = learned(*[(4000, 1000)] * 8)
    kept = weakref.WeakSet()
    for number in range(3000):
        name = Watched(f"m{number}")
        kept.add(name)
        for _ in range(8 if number < 10 else 1):
            estimates.learn(ask(4000, model=name), 1000)
        if number % 100 == 0:
            estimates.learn(ask(4000), 1000)  # one that is in use stays
    gc.collect()
    assert len(kept) <= 1024
    assert not {"m0", "m9"} & set(kept)
    assert estimates.of(ask(4000), CHEAP) < input_tokens_bound(ask(4000))


def test_threads_learn_and_ask_at_once():
    estimates = learned()

    def work(number):
        for _ in range(200):
            estimates.learn(ask(4000), 1000 + number)
            assert 1000 < estimates.of(ask(4000), CHEAP) <= input_tokens_bound(ask(4000))

    in_threads(work, range(8))
    assert 1250 < estimates.of(ask(4000), CHEAP) < 1500


def test_a_forked_child_does_not_wait_for_its_parents_threads():
    estimates = learned(*[(4000, 1000)] * 8)
    with estimates._lock:  # as another thread of the parent may, in the moment of the fork
        estimates.renew()
        estimates.learn(ask(4000), 3000)
    assert estimates.of(ask(4000), CHEAP) >= 3000
