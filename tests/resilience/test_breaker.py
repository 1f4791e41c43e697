"""The circuit breaker as a state machine: whatever comes in whichever order, its promises hold."""

from __future__ import annotations

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from inferkit import BreakerRules, ConfigurationError
from inferkit.resilience.breaker import Breaker

RULES = BreakerRules(failures=3, ratio=0.5, memory=10.0, cooldown=2.0, longest_cooldown=16.0)


def opened(rules=RULES, now=0.0):
    breaker = Breaker(rules)
    for _ in range(rules.failures):
        breaker.failed(breaker.begin(now), now)
    return breaker


def test_it_opens_at_the_stated_number_of_failures_and_not_before():
    breaker = Breaker(RULES)
    assert [breaker.failed(breaker.begin(0.0), 0.0) for _ in range(3)] == [False, False, True]
    assert breaker.state(0.0) == "open"
    assert breaker.refused_until(1.9) == 2.0
    assert breaker.refused_until(2.0) is None


def test_many_failures_among_more_replies_do_not_open_it():
    breaker = Breaker(RULES)
    for _ in range(100):
        breaker.worked(breaker.begin(0.0), 0.0)
        breaker.worked(breaker.begin(0.0), 0.0)
        assert not breaker.failed(breaker.begin(0.0), 0.0)


def test_failures_that_are_long_ago_count_for_little():
    breaker = Breaker(RULES)
    for minute in range(20):
        assert not breaker.failed(breaker.begin(60.0 * minute), 60.0 * minute)


def test_half_open_it_lets_one_probe_through_and_closes_when_that_works():
    breaker = opened()
    assert breaker.state(2.0) == "half_open"
    era = breaker.begin(2.0)
    assert breaker.refused_until(2.5) == 4.5
    assert breaker.worked(era, 3.0)
    assert breaker.state(3.0) == "closed"
    assert breaker.refused_until(3.0) is None


def test_each_probe_that_fails_doubles_the_cooldown_up_to_the_longest():
    breaker, now, cooldowns = opened(), 2.0, []
    for _ in range(5):
        assert breaker.failed(breaker.begin(now), now)
        cooldowns.append(breaker.opens_until - now)
        now = breaker.opens_until
    assert cooldowns == [4.0, 8.0, 16.0, 16.0, 16.0]


def test_a_probe_that_is_given_up_leaves_its_place_to_the_next():
    breaker = opened()
    breaker.given_up(breaker.begin(2.0))
    assert breaker.refused_until(2.0) is None
    assert breaker.state(2.0) == "half_open"


def test_a_probe_of_which_nobody_ever_tells_does_not_keep_it_shut_for_ever():
    breaker = opened()
    breaker.begin(2.0)
    assert breaker.refused_until(18.0) is not None
    assert breaker.refused_until(18.1) is None


def test_a_probe_that_ends_after_its_place_was_given_away_does_not_give_it_away_again():
    breaker = opened()
    late = breaker.begin(2.0)
    breaker.begin(18.1)
    breaker.given_up(late)
    assert breaker.refused_until(18.1) is not None, "the second one is still under way"
    assert not breaker.worked(late, 18.1)
    assert breaker.state(18.1) == "half_open"


def test_what_was_sent_before_it_opened_neither_closes_nor_reopens_it():
    breaker = Breaker(RULES)
    early = breaker.begin(0.0)
    for _ in range(3):
        breaker.failed(breaker.begin(0.0), 0.0)
    assert not breaker.worked(early, 1.0)
    assert not breaker.failed(early, 1.0)
    assert breaker.opens_until == 2.0
    breaker.begin(2.0)
    breaker.given_up(early)
    assert breaker.refused_until(2.0) is not None, "the probe is still under way"


def test_it_is_forgotten_only_when_it_knows_nothing_any_more():
    breaker = opened()
    assert not breaker.is_calm(1e6)
    breaker.worked(breaker.begin(2.0), 2.0)
    assert breaker.is_calm(2.0)
    breaker.failed(breaker.begin(2.0), 2.0)
    assert not breaker.is_calm(11.0)
    assert breaker.is_calm(12.5)


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ({"failures": 0}, "failures is 1 or more"),
        ({"failures": 2.5}, "failures is 1 or more"),
        ({"ratio": 1.5}, "ratio is from 0 to 1"),
        ({"memory": 0}, "in seconds"),
        ({"cooldown": 0}, "in seconds"),
        ({"cooldown": 5, "longest_cooldown": 1}, "at least as long"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules, what):
    with pytest.raises(ConfigurationError, match=what):
        BreakerRules(**rules)


class Breakers(RuleBasedStateMachine):
    """Drives a breaker as calls do: ask whether they may, begin, and tell how it went, in any order."""

    running = Bundle("running")

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now = 0.0
        self.probes = set()
        self.number = 0
        self.opened_until = None

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.breaker.refused_until(self.now) is None)
    @rule(target=running)
    def a_call_begins(self):
        if self.breaker.state(self.now) == "half_open":
            self.probes = {each for each in self.probes if each[2] == self.breaker.era}
            assert all(self.now - began > RULES.longest_cooldown for _, began, _ in self.probes), "two probes at once"
        else:
            assert self.breaker.state(self.now) == "closed"
        self.number += 1
        call = (self.number, self.now, self.breaker.begin(self.now))
        if self.breaker.state(self.now) == "half_open":
            self.probes.add(call)
        return call

    def _told(self, call):
        self.probes.discard(call)
        return call[2]

    @rule(call=consumes(running))
    def it_works(self, call):
        before = self.breaker.state(self.now), self.breaker.era
        closed = self.breaker.worked(self._told(call), self.now)
        assert closed == (before[0] == "half_open" and before[1] == call[2]) or before[0] == "open"
        if closed:
            assert self.breaker.state(self.now) == "closed"
            assert self.breaker.is_calm(self.now)

    @rule(call=consumes(running))
    def it_fails(self, call):
        before, until = self.breaker.era, self.breaker.opens_until
        opens = self.breaker.failed(self._told(call), self.now)
        if call[2] != before:
            assert not opens
            assert self.breaker.opens_until == until
        if opens:
            assert RULES.cooldown <= self.breaker.opens_until - self.now + 1e-6
            assert self.breaker.opens_until - self.now <= RULES.longest_cooldown + 1e-6

    @rule(call=consumes(running))
    def it_is_given_up(self, call):
        state = self.breaker.state(self.now)
        self.breaker.given_up(self._told(call))
        assert self.breaker.state(self.now) == state

    @invariant()
    def a_cooldown_is_never_shortened(self):
        until = self.breaker.opens_until
        if until is not None and self.opened_until is not None:
            assert until >= self.opened_until
        self.opened_until = until

    @invariant()
    def nothing_goes_through_an_open_circuit(self):
        if self.breaker.state(self.now) == "open":
            assert self.breaker.refused_until(self.now) == self.breaker.opens_until


TestBreakers = Breakers.TestCase
TestBreakers.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
