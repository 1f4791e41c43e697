"""How likely a model found its own tokens, from either engine."""

from __future__ import annotations

import math

import pytest

import tiny_gguf
from inferkit.core.errors import InvalidRequest
from inferkit.local.grammar import grammar_for
from local_calls import ask

SCORE = 1 / math.sqrt(1 / 128 + 1e-5)
"""What a scripted model gives the token that follows, by its norm; all others get nothing."""


def scripted(start, tmp_path, chain, **settings):
    spec = tiny_gguf.scripted(chain)
    size = len(spec.tokens)
    return start(spec.write(tmp_path / "m.gguf"), **settings), SCORE - math.log(math.exp(SCORE) + size - 1)


def test_a_tokens_log_probability_is_that_of_a_softmax_over_all_tokens(start, tmp_path):
    supervisor, certain = scripted(start, tmp_path, ["▁a", "▁the", "lo", "</s>"])
    reply = ask(supervisor, "a", top_logprobs=0)
    assert [(token, others) for token, _, others in reply.logprobs] == [(" the", []), ("lo", [])]
    assert [likely for _, likely, _ in reply.logprobs] == pytest.approx([certain] * 2, abs=1e-5)
    assert reply.text == " thelo"


def test_the_likeliest_come_with_their_own_the_highest_first(start, tiny_path):
    reply = ask(start(tiny_path), "hello", max_tokens=6, top_logprobs=20)
    for token, likely, others in reply.logprobs:
        values = [value for _, value in others]
        assert others[0] == [token, pytest.approx(likely, abs=1e-6)]
        assert values == sorted(values, reverse=True)
        assert 0 < math.fsum(map(math.exp, values)) < 1
    assert len(reply.logprobs) == 6


def test_temperature_and_penalty_change_what_is_written_and_not_how_likely_it_was(start, tiny_path):
    supervisor = start(tiny_path)
    first = ask(supervisor, "hello", max_tokens=1, top_logprobs=20).logprobs[0][2]
    for options in ({"temperature": 5.0, "seed": 3}, {"repeat_penalty": 9.0}):
        token, likely, others = ask(supervisor, "hello", max_tokens=1, top_logprobs=20, **options).logprobs[0]
        assert [value for _, value in others] == pytest.approx([value for _, value in first], abs=1e-5)
        assert likely <= others[0][1]
        assert token not in [text for text, _ in others] or likely == pytest.approx(dict(others)[token], abs=1e-6)


def test_under_a_grammar_it_is_what_the_model_would_have_written_that_counts(start, tmp_path):
    supervisor, certain = scripted(start, tmp_path, ["▁a", "b", "</s>"])
    reply = ask(supervisor, "a", top_logprobs=1, grammar=grammar_for({"enum": [7]}))
    ((token, likely, (best,)),) = reply.logprobs
    assert (reply.text, token) == ("7", "7")
    assert likely == pytest.approx(certain - SCORE, abs=1e-5)
    assert best == ["b", pytest.approx(certain, abs=1e-5)]


def test_a_token_is_told_with_its_text_and_not_without(start, tmp_path):
    supervisor, _ = scripted(
        start, tmp_path, ["▁a", "b", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "c", "d", "e", "</s>"]
    )
    reply = ask(supervisor, "a", stop=["ce", "de"], top_logprobs=0)
    assert reply.text == "b😀c"
    assert [token for token, _, _ in reply.logprobs] == ["b", "\\xf0", "\\x9f", "\\x98", "\\x80", "c"]


def test_nothing_is_told_that_nobody_asked_for(start, tiny_path):
    assert ask(start(tiny_path), "hello", max_tokens=3).logprobs == []


def test_the_words_are_the_same_asked_or_not(start, tiny_path):
    supervisor = start(tiny_path)
    for options in ({}, {"temperature": 1.0, "seed": 7}, {"repeat_penalty": 1.5}):
        plain = ask(supervisor, "hello", max_tokens=20, **options)
        assert ask(supervisor, "hello", max_tokens=20, top_logprobs=3, **options).text == plain.text


@pytest.mark.parametrize("count", [-1, 21, 1.5, True])
def test_how_many_is_a_number_in_bounds(tiny_supervisor, count):
    with pytest.raises(InvalidRequest, match="top_logprobs is a whole number from 0 to 20"):
        ask(tiny_supervisor, "a", top_logprobs=count)
