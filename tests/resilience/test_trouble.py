"""What a call is told at once of a model that lately failed: nothing but what it would be told if it asked."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inferkit import BreakerRules, RateLimited, RetryRules, Unavailable
from inferkit.resilience.model_health import HealthNews
from inferkit.resilience.trouble import Trouble

BREAKER = BreakerRules(failures=3, memory=10.0, cooldown=2.0, longest_cooldown=16.0)
RETRIES = RetryRules(ratio=1.0, floor=2, seconds=10.0)
DOWN = Unavailable("down", provider="p")


def saved_up(breaker=BREAKER, retries=RETRIES):
    trouble = Trouble("p:m", breaker, retries, 0.0)
    while trouble.at_once is None:
        trouble.admit(0.0, again=False)
    return trouble


def everything(trouble):
    """All that there is to know of it, but for whether one has to ask."""
    facts = {name: value for name, value in vars(trouble).items() if name not in {"_lock", "at_once", "_admitted"}}
    return pickle.dumps(facts)


@pytest.mark.parametrize(
    "change",
    [
        lambda trouble: trouble.failed(DOWN, 0, 1.0),
        lambda trouble: trouble.failed(RateLimited("slow", provider="p", retry_after=5.0), 0, 1.0),
        lambda trouble: trouble.told(HealthNews(1.0, circuit=True, opens_until=9.0, trips=1)),
        lambda trouble: trouble.told(HealthNews(1.0, paused_until=9.0)),
        lambda trouble: trouble.admit(1.0, again=True),
        lambda trouble: trouble.take_retry(1.0),
    ],
)
def test_whatever_may_change_the_answer_has_the_next_call_ask(change):
    trouble = saved_up()
    change(trouble)
    assert trouble.at_once is None


def test_a_call_need_not_ask_once_there_are_as_many_retries_as_can_be():
    trouble = Trouble("p:m", BREAKER, RETRIES, 0.0)
    trouble.failed(DOWN, 0, 0.0)
    calls = 0
    while trouble.at_once is None:
        trouble.admit(0.0, again=False)
        calls += 1
    assert calls == RETRIES.most - RETRIES.floor
    assert saved_up(retries=None).at_once == saved_up(breaker=None).at_once == trouble.at_once


class Troubles(RuleBasedStateMachine):
    """Has a model fail, answer, be retried and be told of, in any order."""

    @initialize(breaker=st.sampled_from([BREAKER, None]), retries=st.sampled_from([RETRIES, None]))
    def begins(self, breaker, retries):
        self.trouble = Trouble("p:m", breaker, retries, 0.0)
        self.now = 0.0
        self.eras = [0]

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(again=st.booleans(), times=st.sampled_from([1, 1, 200]))
    def calls_ask(self, again, times):
        for _ in range(times):
            admission = self.trouble.admit(self.now, again=again)
            if not admission.until:
                self.eras.append(admission.era)

    @rule(asks=st.sampled_from([None, 3.0]), data=st.data())
    def one_fails(self, asks, data):
        error = DOWN if asks is None else RateLimited("slow", provider="p", retry_after=asks)
        self.trouble.failed(error, data.draw(st.sampled_from(self.eras[-5:])), self.now)

    @rule(data=st.data())
    def one_answers(self, data):
        self.trouble.worked(data.draw(st.sampled_from(self.eras[-5:])), self.now)

    @rule(data=st.data())
    def one_is_given_up(self, data):
        self.trouble.given_up(data.draw(st.sampled_from(self.eras[-5:])))

    @rule()
    def a_hedge_takes_a_retry(self):
        self.trouble.take_retry(self.now)

    @rule(opens=st.sampled_from([None, 3.0]), pauses=st.sampled_from([0.0, 3.0]), circuit=st.booleans())
    def others_tell(self, opens, pauses, circuit):
        until = None if opens is None else self.now + opens
        paused = self.now + pauses if pauses else 0.0
        self.trouble.told(HealthNews(self.now, circuit=circuit, opens_until=until, trips=1, paused_until=paused))

    @rule()
    def somebody_looks(self):
        self.trouble.report(self.now)

    @invariant()
    def what_is_told_at_once_is_what_is_told_to_those_who_ask(self):
        trouble = self.trouble
        at_once, before = trouble.at_once, everything(trouble)
        if at_once is not None:
            assert trouble.admit(self.now, again=False) == at_once
            assert everything(trouble) == before, "and to ask would have changed nothing"


TestTroubles = Troubles.TestCase
TestTroubles.settings = settings(stateful_step_count=40)
