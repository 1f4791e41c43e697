"""What providers' headers say of their limits, and the buckets that keep to it: never a stall, whatever they say."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from random import Random

import pytest
from hypothesis import given, strategies as st

from inferkit.resilience.buckets import Bucket, QuotaBucket
from inferkit.resilience.limiter import Limiter
from inferkit.resilience.quotas import Quota, QuotaNames, find_quotas, quota_headers, read_quota
from inferkit.resilience.waiting import Ticket
from inferkit.resilience.written_times import time_left

AT = 1_800_000_000.0  # 2027-01-15T08:00:00Z

OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-tokens": "199000",
    "x-ratelimit-reset-tokens": "6m0s",
    "retry-after": "3",
    "x-request-id": "abc",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "39000",
    "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:02Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "7000",
    "anthropic-ratelimit-output-tokens-reset": "2027-01-15T08:00:08Z",
    "anthropic-ratelimit-tokens-limit": "48000",
    "anthropic-ratelimit-tokens-remaining": "46000",
    "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:02Z",
}


def read(headers):
    found = find_quotas(headers)
    return {(one.unit, one.period): read_quota(one, headers, wall_clock=AT) for one in found}


def test_the_headers_of_openai_and_of_those_like_it():
    assert read(OPENAI) == {
        ("requests", 60.0): Quota(499.0, 500.0, 0.12),
        ("tokens", 60.0): Quota(199_000.0, 200_000.0, 360.0),
    }


def test_the_headers_of_anthropic_whose_sum_of_tokens_says_no_more_than_its_parts():
    assert read(ANTHROPIC) == {
        ("requests", 60.0): Quota(0.0, 50.0, 30.0),
        ("input_tokens", 60.0): Quota(39_000.0, 40_000.0, 2.0),
        ("output_tokens", 60.0): Quota(7_000.0, 8_000.0, 8.0),
    }


@pytest.mark.parametrize(
    ("headers", "quotas"),
    [
        (  # a limit a day and one a minute, as Cerebras and DigitalOcean have them
            {
                "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-remaining-requests-day": "14370",
                "x-ratelimit-reset-requests-day": "179.56",
                "x-ratelimit-limit-tokens-per-minute": "60000",
                "x-ratelimit-remaining-tokens-per-minute": "0",
                "x-ratelimit-reset-tokens-per-minute": str(int(AT) + 40),
            },
            {("requests", 86400.0): Quota(14370.0, 14400.0, 179.56), ("tokens", 60.0): Quota(0.0, 60000.0, 40.0)},
        ),
        (  # milliseconds since the epoch, as OpenRouter writes it
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(AT * 1000) + 5000)},
            {("requests", 60.0): Quota(0.0, 20.0, 5.0)},
        ),
        (  # without a reset, as Azure and Mistral answer
            {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "12"},
            {("requests", 60.0): Quota(12.0, 60.0, None)},
        ),
        ({"x-ratelimit-remaining-tokens": "5"}, {}),
        ({"x-ratelimit-limit-tokens": "5", "x-ratelimit-reset-tokens": "1s"}, {}),
        ({"ratelimit-policy": "q=5"}, {}),
    ],
)
def test_the_headers_of_others(headers, quotas):
    assert read(headers) == quotas


@pytest.mark.parametrize(
    ("remaining", "limit"), [("-1", "5"), ("6", "5"), ("nan", "5"), ("", "5"), ("5", "0"), ("1e400", "5"), ("٣", "5")]
)
def test_what_contradicts_itself_is_ignored(remaining, limit):
    headers = {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-limit-requests": limit}
    assert read(headers) == {("requests", 60.0): None}


@pytest.mark.parametrize("reset", ["soon", "-5", "9" * 40, "2027-99-99T00:00:00Z", "1999-01-01T00:00:00Z"])
def test_a_reset_without_sense_is_none_at_all_or_now(reset):
    headers = OPENAI | {"x-ratelimit-reset-requests": reset}
    assert read(headers)["requests", 60.0] in {Quota(499.0, 500.0, None), Quota(499.0, 500.0, 0.0)}


@given(st.text(max_size=80))
def test_no_text_of_a_reset_raises(text):
    wait = time_left(text, AT)
    assert wait is None or 0 <= wait <= 7 * 86400


def test_of_a_refusal_the_headers_about_limits_are_kept_and_no_others():
    headers = {"X-RateLimit-Limit-Requests": "5", "authorization": "secret", "set-cookie": "secret"}
    assert quota_headers(headers) == {"x-ratelimit-limit-requests": "5"}


def bucket(quota, now=0.0, **facts):
    made = QuotaBucket("requests", 60.0, now)
    made.observe(quota, now, sent_at=now, **facts)
    return made


def test_a_bucket_fills_as_fast_as_its_provider_says():
    made = bucket(Quota(0, 60, 60))
    assert made.wait(1, 0.0) == pytest.approx(1.25, rel=0.01)
    assert made.wait(10, 0.0) == pytest.approx(10.25, rel=0.01)
    assert made.wait(1, 1.27) == 0.0


def test_without_a_reset_a_limit_is_back_after_its_period():
    assert bucket(Quota(0, 120, None)).wait(1, 0.0) == pytest.approx(0.75)


def test_what_was_sent_since_is_not_in_what_a_reply_says():
    made = QuotaBucket("requests", 60.0, 0.0)
    for _ in range(3):
        made.take(1)  # the first one is answered when two more are on their way
    made.observe(Quota(2, 60, 58), 0.0, sent_at=0.0, mark=1.0)
    assert made.level <= 0.0
    assert made.wait(1, 0.0) >= 1.0


def test_what_came_back_while_a_reply_was_on_its_way_is_counted():
    made = QuotaBucket("requests", 60.0, 0.0)
    made.take(1)
    made.observe(Quota(0, 60, 60), 20.0, sent_at=0.0, mark=1.0)
    assert made.level == pytest.approx(20.0, abs=1.5)


def test_replies_in_any_order_say_the_same():
    one, other = QuotaBucket("requests", 60.0, 0.0), QuotaBucket("requests", 60.0, 0.0)
    for made in (one, other):
        made.take(1)
        made.take(1)
    replies = [Quota(9, 60, 51), Quota(8, 60, 52)]
    for made, order in ((one, replies), (other, replies[::-1])):
        for quota in order:
            made.observe(quota, 0.0, sent_at=0.0, mark=1.0)
    assert one.level == other.level == 8.0


def test_requests_that_arrive_in_another_order_change_nothing():
    """The second of two arrives first, and its reply knows nothing of the first one; and the other way round."""
    made = bucket(Quota(10, 60, 50))
    for _ in range(2):
        made.take(1)
    made.observe(Quota(9, 60, 51), 0.0, sent_at=0.0, mark=1.0)
    assert made.level == 8.0
    made.observe(Quota(8, 60, 52), 0.0, sent_at=0.0, mark=1.0)
    assert made.level == 8.0


def test_what_others_with_the_same_key_take_is_known_with_the_next_reply():
    made = bucket(Quota(50, 60, 10))
    made.take(1)
    made.observe(Quota(3, 60, 57), 0.0, sent_at=0.0, mark=1.0)
    assert made.level == 3.0


def test_one_that_went_before_anything_was_known_lowers_the_level_and_does_not_raise_it():
    made = bucket(Quota(5, 60, 55))
    made.observe(Quota(40, 60, 20), 0.0, sent_at=0.0)
    assert made.level == 5.0


def test_a_window_whose_end_stands_still_is_told_from_a_bucket_that_fills():
    window = bucket(Quota(50, 100, 30))
    window.observe(Quota(40, 100, 29), 1.0, sent_at=1.0, mark=0.0)
    window.observe(Quota(0, 100, 20), 10.0, sent_at=10.0, mark=0.0)
    assert window.all_at_once
    assert window.wait(1, 10.0) == pytest.approx(20.25), "nothing comes back before its end"
    assert window.wait(100, 30.3) == 0.0
    filling = bucket(Quota(50, 100, 30))
    filling.observe(Quota(40, 100, 36), 0.0, sent_at=0.0, mark=0.0)
    assert not filling.all_at_once


def test_a_refusal_after_the_wait_says_that_nothing_comes_back_little_by_little():
    made = bucket(Quota(0, 60, 30), refused=True)
    assert made.wait(1, 0.0) < 1
    made.observe(Quota(0, 60, 30), 0.0, sent_at=-1.0, mark=0.0, refused=True)
    assert made.wait(1, 0.0) < 1, "that one was on its way already"
    made.observe(Quota(0, 60, 29), 1.0, sent_at=1.0, mark=0.0, refused=True)
    assert made.wait(1, 1.0) == pytest.approx(29.25)


@pytest.mark.parametrize("quota", [Quota(0, 200, 86400), Quota(0, 1, 3600), Quota(0, 5, 61)])
def test_what_takes_longer_than_a_minute_is_asked_for(quota):
    made = bucket(quota)
    made.all_at_once = True
    assert made.wait(1, 0.0) == 0.0


QUOTAS = st.builds(
    Quota,
    st.floats(0, 1e6, allow_nan=False),
    st.none() | st.floats(1, 1e6, allow_nan=False),
    st.none() | st.floats(0, 7 * 86400, allow_nan=False),
).filter(lambda quota: quota.limit is None or quota.remaining <= quota.limit)


@given(st.floats(0.1, 6000), st.lists(st.floats(0, 20), max_size=50))
def test_one_at_a_time_is_taken_as_it_would_be_waited_for_and_taken(per_minute, gaps):
    one, other, now = Bucket(per_minute, 0.0), Bucket(per_minute, 0.0), 0.0
    for gap in gaps:
        now += gap
        may = not other.wait(1.0, now)
        if may:
            other.take(1.0)
        assert (one.take_one(now), one.level, one.at) == (may, other.level, other.at)


@given(st.lists(st.tuples(QUOTAS, st.floats(0, 100), st.integers(0, 50), st.booleans()), max_size=20))
def test_whatever_is_said_nobody_is_held_for_longer_than_a_minute(steps):
    """And who has waited so long may go, unless others went meanwhile."""
    made, now = QuotaBucket("requests", 60.0, 0.0), 0.0
    for quota, seconds, taken, refused in steps:
        if quota.limit is None and quota.reset is None:
            continue
        mark, sent_at = made.taken, now
        now += seconds
        for _ in range(taken):
            made.take(1)
        made.observe(quota, now, sent_at=sent_at, mark=mark, refused=refused)
        wait = made.wait(1, now)
        assert 0.0 <= wait <= 60.0
        assert made.wait(1, now + wait + 1e-6) <= 1e-3


def test_a_bucket_of_ones_own_is_what_it_was():
    made = Bucket(60, 0.0)
    made.take(10)
    assert made.wait(1, 0.0) == pytest.approx(1.0)
    made.give_back(3)
    assert made.wait(3, 0.0) == 0.0


def test_names_are_found_once_and_read_ever_after():
    (names,) = find_quotas({"x-ratelimit-limit-requests": "", "x-ratelimit-remaining-requests": ""})
    assert names == QuotaNames("requests", 60.0, "x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", None)


class Simulated:
    """A provider and its callers on a clock of their own: requests take their time, there and back, and overtake."""

    def __init__(self, seed, *, limit, period, latency, think, window=False, others=0.0, follow=True):
        self.random = Random(seed)
        self.limit, self.period, self.latency, self.think = limit, period, latency, think
        self.window, self.others, self.follow = window, others, follow
        self.limiter = Limiter(None, 0.0)
        self.level, self.at = float(limit), 0.0
        self.served = self.refused = 0
        self.steps, self.number = [], count()
        self.now = 0.0

    def later(self, seconds, step, *args):
        heappush(self.steps, (self.now + seconds, next(self.number), step, args))

    def run(self, callers, seconds):
        self.others_to_come = callers - 1  # once the first one is back
        self.later(0.0, self.call)
        if self.others:
            self.later(1.0, self.take_for_others)
        while self.steps and self.steps[0][0] <= seconds:
            self.now, _, step, args = heappop(self.steps)
            step(*args)
        return self

    def call(self):
        ticket = Waking(self)
        self.limiter.enter(ticket, self.now)
        self.look(ticket)

    def look(self, ticket):
        """What a call does that may go, or waits for its time."""
        if ticket.sent:
            return
        if ticket.is_in:
            ticket.sent = True
            self.later(self.way(), self.arrive, ticket)
            return
        wait = self.limiter.seconds_left(ticket, self.now)
        if wait is not None and wait <= 1e-9:
            self.limiter.advance(self.now)
            self.look(ticket)
        elif wait is not None and not ticket.looks:
            ticket.looks = True
            self.later(wait, self.look_again, ticket)

    def look_again(self, ticket):
        ticket.looks = False
        self.look(ticket)

    def way(self):
        return self.latency * self.random.uniform(0.5, 1.5)

    def fill(self):
        if not self.window:
            self.level = min(self.limit, self.level + (self.now - self.at) * self.limit / self.period)
        elif self.now // self.period > self.at // self.period:
            self.level = float(self.limit)
        self.at = self.now

    def arrive(self, ticket):
        self.fill()
        ok = self.level >= 1
        self.level -= ok
        self.served += ok
        self.refused += not ok
        reset = self.period - self.now % self.period if self.window else (1 - self.level / self.limit) * self.period
        quota = Quota(int(self.level), self.limit, reset)
        self.later(self.think * self.random.uniform(0.2, 2) + self.way(), self.answer, ticket, quota, not ok)

    def take_for_others(self):
        self.fill()
        self.level = max(0.0, self.level - 1)
        self.later(1 / self.others, self.take_for_others)

    def answer(self, ticket, quota, refused):
        limiter = self.limiter
        if self.follow:
            if not limiter.quotas:
                limiter.quotas = (QuotaBucket("requests", 60.0, self.now),)
            limiter.answered(ticket)
            mark = ticket.marks[0] if ticket.marks else None
            sent_at = self.now if mark is None else ticket.in_at
            limiter.quotas[0].observe(quota, self.now, sent_at=sent_at, mark=mark, refused=refused)
            limiter.advance(self.now)
        for _ in range(self.others_to_come):
            self.later(0.0, self.call)
        self.others_to_come = 0
        self.later(1.0 if refused else 0.0, self.call)


class Waking(Ticket):
    __slots__ = ("looks", "sent", "simulated")

    def __init__(self, simulated):
        super().__init__(0, "", 1)
        self.simulated, self.sent, self.looks = simulated, False, False

    def wake(self):
        self.simulated.later(0.0, self.simulated.look, self)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "provider",
    [
        {"limit": 500, "period": 60.0, "latency": 0.1, "think": 2.0},
        {"limit": 50, "period": 60.0, "latency": 0.1, "think": 5.0},
        {"limit": 60, "period": 30.0, "latency": 0.1, "think": 1.0, "window": True},
    ],
    ids=["500", "50", "window"],
)
def test_far_too_many_callers_are_hardly_ever_refused_and_get_what_there_is(provider, seed):
    """On a clock of their own; refused ones come again a second later."""
    callers = provider["limit"]
    kept = Simulated(seed, **provider).run(callers, 300)
    plain = Simulated(seed, **provider, follow=False).run(callers, 300)
    assert plain.refused > 0.5 * plain.served
    assert kept.refused <= 0.02 * kept.served
    assert kept.served >= 0.9 * plain.served


def test_where_others_use_the_same_key_few_are_refused():
    provider = {"limit": 500, "period": 60.0, "latency": 0.1, "think": 1.0, "others": 4.0}
    kept = Simulated(0, **provider).run(300, 300)
    assert kept.refused <= 0.1 * kept.served
    assert kept.served >= 0.9 * (500 / 60 - 4) * 300
