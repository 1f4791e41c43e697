"""Several prompts stay warm, within their bytes, and what is said is the same to the letter as from a cold start."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

import tiny_gguf
from inferkit.local.engines.prefixes import KeptPrefixes, Prefix, shared_length
from local_calls import ask


def test_the_newest_are_kept_within_the_limit():
    kept = KeptPrefixes(10)
    for number in range(4):
        kept.keep([number, 9], bytearray(4))
    assert kept.size == 8
    assert [kept.has([number]) for number in range(4)] == [False, False, True, True]
    length, prefix = kept.longest([2, 9, 1])
    assert (length, prefix.tokens) == (2, [2, 9])
    kept.used(prefix)
    kept.keep([7], bytearray(4))
    assert kept.has([2, 9])
    assert not kept.has([3, 9])
    kept.keep([8], bytearray(11))
    assert kept.size == 0
    assert kept.longest([8]) == (0, None)


def test_a_prefix_takes_the_place_of_its_own_beginnings():
    kept = KeptPrefixes(100)
    kept.keep([1, 2], bytearray(3))
    kept.keep([1, 2, 3], bytearray(4))
    assert kept.size == 4
    assert kept.has([1, 2])
    assert not kept.has([1, 3])
    assert shared_length([1, 2, 3], [1, 2, 4, 5]) == 2


def test_one_that_was_dropped_since_it_was_found_can_still_be_used():
    kept = KeptPrefixes(10)
    kept.keep([1, 2], bytearray(6))
    _, prefix = kept.longest([1, 2])
    kept.keep([3], bytearray(6))
    assert not kept.has([1, 2])
    kept.used(prefix)
    assert kept.all == [prefix]
    kept.keep([1, 2, 3], bytearray(9))
    kept.used(prefix)
    assert [one.tokens for one in kept.all] == [[1, 2, 3]]


@pytest.fixture
def path(tmp_path):
    return tiny_gguf.tiny(context=2048).write(tmp_path / "m.gguf")


RULES = [f"{word} the lo in he an {number} " * 12 for number, word in enumerate(("hello", "in", "th", "er"))]


def test_prompts_under_several_rules_are_all_warm_and_say_the_same(start, path):
    """Forty prompts in any order, each against a worker that has seen nothing."""
    chance = random.Random(4)
    warm, again = start(path), 0
    seen = set()
    for _ in range(20):
        rules = chance.choice(RULES)
        prompt = rules + "".join(chance.choice("abcdefg ") for _ in range(chance.randint(1, 40)))
        cold = start(path, prefix_memory=0)
        fresh = ask(cold, prompt, max_tokens=12)
        cold.close()
        reply = ask(warm, prompt, max_tokens=12)
        assert reply.text == fresh.text
        assert fresh.end["cached"] == 0
        if rules in seen:
            again += 1
            assert reply.end["cached"] > 100
        seen.add(rules)
    assert again > 10


def test_where_keeping_one_drops_another_that_is_wanted_all_goes_on(start, path, engine):
    tight = start(path, prefix_memory={"ctransformers": 120_000, "xllamacpp": 40_000}[engine])
    replies = [ask(tight, RULES[number % 2] + "abcdefg"[number], max_tokens=4) for number in range(6)]
    assert replies[2].end["cached"] > 100


def test_without_memory_for_it_only_the_last_prompt_is_warm(start, path):
    supervisor = start(path, prefix_memory=0)
    for rules in RULES[:2]:
        ask(supervisor, rules, max_tokens=1)
    assert ask(supervisor, RULES[0] + "a", max_tokens=1).end["cached"] < 10
    assert ask(supervisor, RULES[0] + "b", max_tokens=1).end["cached"] > 100


def test_a_conversation_that_was_left_is_taken_up_where_it_was(start, path):
    supervisor = start(path)
    first = ask(supervisor, RULES[0], max_tokens=30)
    ask(supervisor, RULES[1], max_tokens=30)
    follow_up = RULES[0] + first.text + " hello"
    reply = ask(supervisor, follow_up, max_tokens=30)
    assert reply.end["cached"] >= first.end["prompt"] - 2
    assert reply.text == ask(start(path), follow_up, max_tokens=30).text


class Plain:
    """What is kept, looked through from its beginning to its end."""

    def __init__(self, limit):
        self.limit, self.all = limit, []

    def has(self, tokens):
        return any(one.tokens[: len(tokens)] == tokens for one in self.all)

    def keep(self, tokens, state):
        self.all = [one for one in self.all if tokens[: len(one.tokens)] != one.tokens] + [Prefix(tokens, state)]
        while sum(len(one.state) for one in self.all) > self.limit:
            del self.all[0]

    def longest(self, prompt):
        return max([shared_length(one.tokens, prompt) for one in self.all], default=0)


short = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@given(steps=st.lists(st.tuples(st.sampled_from(["keep", "use"]), short, st.integers(0, 9)), max_size=60))
def test_what_shares_most_is_found_beside_where_a_prompt_belongs(steps):
    kept, plain = KeptPrefixes(30), Plain(30)
    for step, tokens, size in steps:
        length, found = kept.longest(tokens)
        assert length == plain.longest(tokens)
        assert (found is None) == (length == 0)
        assert found is None or shared_length(found.tokens, tokens) == length
        assert kept.has(tokens) == plain.has(tokens)
        if step == "keep":
            kept.keep(tokens, bytearray(size))
            plain.keep(tokens, bytearray(size))
        elif found is not None:
            kept.used(found)
            plain.all.sort(key=lambda one: one.tokens == found.tokens)
        assert [(one.tokens, len(one.state)) for one in kept.all] == [(one.tokens, len(one.state)) for one in plain.all]
        assert kept.size == sum(len(one.state) for one in plain.all)
