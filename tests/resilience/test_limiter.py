"""The limiter and its queue as a state machine, and what each of its limits promises."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inferkit import ConfigurationError, RateLimit
from inferkit.resilience.limiter import Limiter
from inferkit.resilience.waiting import Ticket


class Woken(Ticket):
    """A ticket that counts how often it was told to look."""

    __slots__ = ("woken",)

    def __init__(self, priority=0, tenant="", tokens=1):
        self.woken = 0
        super().__init__(priority, tenant, tokens)

    def wake(self):
        self.woken += 1


def entered(limiter, now, *tickets):
    for ticket in tickets:
        limiter.enter(ticket, now)
    return [ticket.is_in for ticket in tickets]


def served(limiter, now, waiting):
    """Let one after another through; give the order."""
    order = []
    while waiting:
        ticket = next(each for each in waiting if each.is_in)
        waiting.remove(ticket)
        order.append(ticket)
        limiter.leave(ticket, now)
    return order


def test_no_more_run_at_once_than_may():
    limiter = Limiter(RateLimit(concurrent=2), 0.0)
    first, second, third = Woken(), Woken(), Woken()
    assert entered(limiter, 0.0, first, second, third) == [True, True, False]
    limiter.leave(first, 1.0)
    assert third.is_in
    assert third.woken == 1


def test_requests_go_as_fast_as_a_minutes_worth_with_a_burst():
    limiter = Limiter(RateLimit(requests_per_minute=60), 0.0)
    tickets = [Woken() for _ in range(12)]
    assert sum(entered(limiter, 0.0, *tickets)) == 10
    assert limiter.seconds_left(tickets[10], 0.0) == pytest.approx(1.0)
    assert limiter.seconds_left(tickets[11], 0.0) is None, "it is woken by the one before it"
    limiter.advance(1.0)
    assert tickets[10].is_in
    assert tickets[11].woken
    assert limiter.seconds_left(tickets[11], 1.0) == pytest.approx(1.0)


def test_tokens_are_counted_as_expected_and_set_right_by_what_came():
    limiter = Limiter(RateLimit(tokens_per_minute=6000), 0.0)
    first, second = Woken(tokens=900), Woken(tokens=500)
    assert entered(limiter, 0.0, first, second) == [True, False]
    limiter.leave(first, 0.0, tokens=100)
    assert second.is_in, "most of what was expected did not come"
    greedy = Limiter(RateLimit(tokens_per_minute=6000), 0.0)
    first, second = Woken(tokens=100), Woken(tokens=500)
    greedy.enter(first, 0.0)
    greedy.leave(first, 0.0, tokens=3000)
    greedy.enter(second, 0.0)
    assert not second.is_in
    assert greedy.seconds_left(second, 0.0) == pytest.approx(25.0), "what came too much is owed"


def test_one_that_is_larger_than_the_limit_goes_when_there_is_all_of_it():
    limiter = Limiter(RateLimit(tokens_per_minute=600), 0.0)
    huge = Woken(tokens=10_000)
    assert entered(limiter, 0.0, huge) == [True]
    assert entered(limiter, 0.0, Woken(tokens=1)) == [False]


def test_the_highest_priority_goes_first_and_equals_in_turn_by_tenant():
    limiter = Limiter(RateLimit(concurrent=1), 0.0)
    running = Woken()
    limiter.enter(running, 0.0)
    greedy = [Woken(tenant="greedy") for _ in range(6)]
    modest = [Woken(tenant="modest") for _ in range(2)]
    urgent = Woken(priority=5, tenant="greedy")
    for ticket in (*greedy, *modest, urgent):
        limiter.enter(ticket, 0.0)
    limiter.leave(running, 0.0)
    order = served(limiter, 0.0, [*greedy, *modest, urgent])
    assert order[0] is urgent
    assert [ticket.tenant for ticket in order[1:6]] == ["greedy", "modest", "greedy", "modest", "greedy"]


def test_a_full_queue_turns_away_the_lowest_priority():
    limiter = Limiter(RateLimit(concurrent=1, queue=2), 0.0)
    limiter.enter(Woken(), 0.0)
    low, middle, high, late = Woken(1), Woken(2), Woken(3), Woken(1)
    for ticket in (low, middle, high, late):
        limiter.enter(ticket, 0.0)
    assert [ticket.is_turned_away for ticket in (low, middle, high, late)] == [True, False, False, True]
    assert low.woken == 1
    assert len(limiter) == 2


def test_a_full_queue_turns_away_the_tenant_that_has_the_most_in_it():
    limiter = Limiter(RateLimit(concurrent=1, queue=4), 0.0)
    running = Woken()
    limiter.enter(running, 0.0)
    greedy = [Woken(tenant="greedy") for _ in range(9)]
    modest = [Woken(tenant="modest") for _ in range(2)]
    for ticket in (*greedy, *modest):
        limiter.enter(ticket, 0.0)
    assert [ticket.is_turned_away for ticket in greedy] == [False, False, *[True] * 7]
    assert not any(ticket.is_turned_away for ticket in modest)
    limiter.leave(running, 0.0)
    order = served(limiter, 0.0, [*greedy[:2], *modest])
    assert [ticket.tenant for ticket in order] == ["greedy", "modest", "greedy", "modest"]


def test_what_a_tenant_was_refused_is_not_held_against_it():
    limiter = Limiter(RateLimit(concurrent=1, queue=2), 0.0)
    running = Woken()
    limiter.enter(running, 0.0)
    gone = [Woken(tenant="greedy") for _ in range(100)]
    for ticket in gone:
        limiter.enter(ticket, 0.0)
    for ticket in gone[:2]:
        limiter.leave(ticket, 0.0)
    greedy, modest = Woken(tenant="greedy"), Woken(tenant="modest")
    for ticket in (greedy, modest):
        limiter.enter(ticket, 0.0)
    limiter.leave(running, 0.0)
    assert greedy.is_in, "it came first"


def test_one_that_could_not_end_in_time_any_more_leaves_its_turn_to_others():
    limiter = Limiter(RateLimit(concurrent=1), 0.0)
    long, running = Woken(), Woken()
    limiter.enter(long, 0.0)
    limiter.leave(long, 100.0, overloaded=False)
    hurried, patient = Woken(), Woken()
    hurried.deadline, patient.deadline = 105.0, 200.0
    for ticket in (running, hurried, patient):
        limiter.enter(ticket, 100.0)
    limiter.leave(running, 101.0)
    assert (hurried.is_in, hurried.is_late, hurried.woken) == (False, True, 1)
    assert patient.is_in


def test_overload_lowers_what_may_run_and_replies_raise_it_again():
    limiter = Limiter(RateLimit(concurrent=16), 0.0)
    tickets = [Woken() for _ in range(16)]
    entered(limiter, 0.0, *tickets)
    limiter.leave(tickets.pop(), 0.0, overloaded=True)
    assert limiter.concurrent == 12.0
    for _ in range(100):
        limiter.leave(tickets.pop(), 0.0, overloaded=False) if tickets else None
        again = Woken()
        limiter.enter(again, 0.0)
        limiter.leave(again, 0.0, overloaded=False)
    assert limiter.concurrent > 15.0
    for _ in range(200):
        again = Woken()
        limiter.enter(again, 0.0)
        limiter.leave(again, 0.0, overloaded=True)
    assert limiter.concurrent == 1.0, "one may always run"
    fixed = Limiter(RateLimit(concurrent=16, adaptive=False), 0.0)
    ticket = Woken()
    fixed.enter(ticket, 0.0)
    fixed.leave(ticket, 0.0, overloaded=True)
    assert fixed.concurrent == 16.0


def test_what_was_not_too_much_soon_runs_again_and_what_was_is_tried_after_several_rounds():
    limiter = Limiter(RateLimit(concurrent=100), 0.0)
    tickets = [Woken() for _ in range(9)]
    entered(limiter, 0.0, *tickets)
    limiter.leave(tickets.pop(), 0.0, overloaded=True)
    assert limiter.concurrent == 6.75

    def replies(many):
        for _ in range(many):
            one = Woken()
            limiter.enter(one, 0.0)
            limiter.leave(one, 0.0, overloaded=False)
        return limiter.concurrent

    for ticket in tickets[:2]:
        limiter.leave(ticket, 0.0, overloaded=False)
    assert limiter.concurrent == 8.0
    assert replies(16) < 9.0, "two rounds"
    assert replies(24) >= 9.0, "five rounds"
    assert replies(10) >= 10.0, "it is not too much any more"


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({}, "a RateLimit limits something"),
        ({"requests_per_minute": 0}, "above 0"),
        ({"concurrent": -1}, "above 0"),
        ({"tokens_per_minute": float("inf")}, "above 0"),
        ({"concurrent": 1, "queue": -1}, "queue is 0 or more"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong, what):
    with pytest.raises(ConfigurationError, match=what):
        RateLimit(**wrong)


def test_what_a_tenant_gave_up_itself_is_not_held_against_it_either():
    limiter = Limiter(RateLimit(concurrent=1), 0.0)
    running = Woken()
    limiter.enter(running, 0.0)
    greedy, modest = [Woken(tenant="greedy") for _ in range(5)], [Woken(tenant="modest") for _ in range(5)]
    for ticket in (*greedy, *modest):
        limiter.enter(ticket, 0.0)
    for ticket in greedy[1:4]:
        limiter.leave(ticket, 0.0)
    limiter.leave(running, 0.0)
    order = served(limiter, 0.0, [greedy[0], greedy[4], *modest])
    assert [ticket.tenant for ticket in order[:4]] == ["greedy", "modest", "greedy", "modest"]


class Comer(Ticket):
    """A ticket that writes down when it was let in after it had waited: `came` orders those that came."""

    __slots__ = ("came", "let_in")

    def __init__(self, came, let_in, priority, tenant, tokens):
        self.came = came
        self.let_in = let_in
        super().__init__(priority, tenant, tokens)

    def wake(self):
        if self.is_in:
            self.let_in.append(self)


class Doors(RuleBasedStateMachine):
    """Calls of several tenants that come, wait, give up, run and end, in any order.

    Who waits is kept here as a plain list, in the order in which they came; what may happen next is said of that list.
    """

    LIMIT = RateLimit(requests_per_minute=120, tokens_per_minute=3000, concurrent=2, queue=6)

    def __init__(self):
        super().__init__()
        self.limiter = Limiter(self.LIMIT, 0.0)
        self.now = 0.0
        self.came = 0
        self.tickets = []
        self.waiting = []
        self.let_in = []
        self.turns = Counter()  # by priority and two tenants: turns of the first, while the other one waited, too

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds):
        self.now += seconds
        self.limiter.advance(self.now)
        self.look()

    @rule(priority=st.integers(0, 2), tenant=st.sampled_from("abc"), tokens=st.integers(1, 800))
    def one_comes(self, priority, tenant, tokens):
        self.comes(priority, tenant, tokens)

    @rule(tenant=st.sampled_from("abc"), many=st.integers(2, 5))
    def many_of_one_tenant_come(self, tenant, many):
        for _ in range(many):
            self.comes(1, tenant, 1)

    def comes(self, priority, tenant, tokens):
        ticket = Comer(self.came, self.let_in, priority, tenant, tokens)
        self.came += 1
        before = list(self.waiting)
        self.tickets.append(ticket)
        self.limiter.enter(ticket, self.now)
        if ticket.is_in:
            assert not before, "whoever waits goes before one that comes"
            return
        self.waiting.append(ticket)
        turned_away = [each for each in self.waiting if each.is_turned_away]
        assert len(turned_away) == (len(before) == self.LIMIT.queue), "who comes is turned away where it is full"
        for each in turned_away:
            self.is_the_one_to_turn_away(each)
            self.waiting.remove(each)

    def is_the_one_to_turn_away(self, ticket):
        """The lowest priority; of that, the tenant with the most waiting; of that, whoever came last."""
        assert ticket.priority == min(each.priority for each in self.waiting)
        level = [each for each in self.waiting if each.priority == ticket.priority]
        shares = Counter(each.tenant for each in level)
        assert shares[ticket.tenant] == max(shares.values())
        assert ticket is max((each for each in level if each.tenant == ticket.tenant), key=lambda each: each.came)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), tokens=st.none() | st.integers(0, 2000), overloaded=st.none() | st.booleans())
    def one_goes(self, data, tokens, overloaded):
        self.goes(data.draw(st.sampled_from(self.tickets)), tokens=tokens, overloaded=overloaded)

    @precondition(lambda self: any(each.is_in for each in self.tickets))
    @rule()
    def the_first_that_runs_ends(self):
        self.goes(next(each for each in self.tickets if each.is_in), overloaded=False)

    def goes(self, ticket, **how):
        self.tickets.remove(ticket)
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        if not ticket.is_turned_away:
            self.limiter.leave(ticket, self.now, **how)
        self.look()

    def look(self):
        """Hold each that was let in to what was its turn, one after another."""
        for ticket in self.let_in:
            assert ticket in self.waiting, "it waited, and once only"
            assert ticket.priority == max(each.priority for each in self.waiting)
            level = [each for each in self.waiting if each.priority == ticket.priority]
            assert ticket is next(each for each in level if each.tenant == ticket.tenant), "its tenant's first"
            self.waiting.remove(ticket)
            for other in {each.tenant for each in level} - {ticket.tenant}:
                self.turns[ticket.priority, ticket.tenant, other] += 1
                ahead = self.turns[ticket.priority, ticket.tenant, other]
                assert ahead - self.turns[ticket.priority, other, ticket.tenant] <= 1, "it is the other one's turn"
        self.let_in.clear()

    @invariant()
    def turns_are_those_of_tenants_that_wait(self):
        waits = {(each.priority, each.tenant) for each in self.waiting}
        for priority, one, other in list(self.turns):
            if not {(priority, one), (priority, other)} <= waits:
                del self.turns[priority, one, other]

    @invariant()
    def all_are_accounted_for(self):
        assert [each.is_in and each.is_turned_away for each in self.tickets].count(True) == 0
        assert self.limiter.running == sum(each.is_in for each in self.tickets) <= 2
        assert len(self.limiter) == len(self.waiting) <= self.LIMIT.queue

    @invariant()
    def nobody_waits_for_nothing(self):
        """Whoever is at the head of the queue knows when to look again, or waits for one that runs."""
        if self.waiting:
            looks = [self.limiter.seconds_left(ticket, self.now) for ticket in self.waiting]
            assert any(seconds is not None for seconds in looks) or self.limiter.running > 0

    @invariant()
    def as_many_may_run_as_are_stated_and_one_at_least(self):
        assert 1.0 <= self.limiter.concurrent <= 2.0

    def teardown(self):
        while self.waiting:  # all get their turn
            self.now += 60.0
            for ticket in [each for each in self.tickets if each.is_in]:
                self.goes(ticket)
            self.limiter.advance(self.now)
            self.look()
        for ticket in list(self.tickets):
            self.goes(ticket)
        assert (self.limiter.running, len(self.limiter)) == (0, 0)


TestDoors = Doors.TestCase
TestDoors.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
