"""What several processes measured of models is added up, each part counted once, and old parts for less."""

from __future__ import annotations

import pytest

from inferkit import Target, Usage
from inferkit.core.attempt import Attempt
from inferkit.routing import Cascade, Cheapest, Fastest, Sticky, When, is_valid
from inferkit.routing.combining import Routes
from inferkit.routing.told_speed import ToldSpeed, is_told
from inferkit.runtime import clock
from inferkit.testing import FakeProvider

NAME = "p:m"
TARGET = Target("p", "m", FakeProvider())


class Process:
    def __init__(self, **routes):
        self.fastest = Fastest()
        self.routes = Routes(routes or {"fast": self.fastest})
        self.told = ToldSpeed(self.routes)

    def measure(self, first, *, tokens=10, outcome="completed"):
        attempt = Attempt(
            number=1, provider="p", model="m", kind="primary", outcome=outcome, seconds=first + 1.0,
            first_chunk_seconds=first, chunks=5, usage=Usage(3, tokens), cost_nanos=None, price_source=None,
        )  # fmt: skip
        self.fastest.measured.learn(attempt, clock.now())

    @property
    def known(self):
        return self.fastest.measured.of(NAME)


def tell(one, *others, teller="a"):
    for news in one.told.news():
        for other in others:
            other.told.hear(TARGET, teller, news.facts)


def test_what_others_measured_counts_as_if_it_had_been_measured_here(now):
    first, second, alone = Process(), Process(), Process()
    first.measure(1.0)
    second.measure(3.0)
    alone.measure(1.0)
    alone.measure(3.0)
    tell(first, second)
    assert second.known == alone.known
    assert first.known.first_chunk == 1.0
    tell(first, second)
    first.measure(1.0)
    tell(first, second)
    assert second.known.first_chunk == pytest.approx(5 / 3), "the latest of a teller takes the place of what it told"
    assert is_told(second.routes, NAME)
    assert not is_told(first.routes, NAME)


def test_only_what_is_new_is_told(now):
    first = Process()
    assert list(first.told.news()) == []
    first.measure(1.0)
    assert len(list(first.told.news())) == 1
    assert list(first.told.news()) == []
    now[0] += 1
    first.measure(1.0, outcome="error")
    (news,) = first.told.news()
    assert news.until == pytest.approx(clock.time() + 1800)


def test_old_measurements_of_others_count_for_less(now):
    first, second = Process(), Process()
    first.measure(1.0)
    tell(first, second)
    now[0] += 300.0
    second.measure(4.0)
    assert second.known.first_chunk == pytest.approx((0.5 * 1.0 + 4.0) / 1.5)
    assert second.fastest.measured.age(NAME, now[0]) == 0.0
    assert second.fastest.measured.age("p:other", now[0]) == float("inf")


def test_a_forked_child_tells_only_what_it_measured_itself(now):
    parent, child = Process(), Process()
    parent.measure(1.0)
    child.measure(1.0)  # what it has from its parent
    child.told.part_from("parent")
    assert list(child.told.news()) == []
    assert child.known == parent.known
    tell(parent, child, teller="parent")
    assert child.known == parent.known


def test_policies_within_policies_are_found_and_told_apart_by_name_and_memory(now):
    inner, other = Fastest(memory=60), Cheapest()
    process = Process(fast=["fits", When(lambda _: True, inner, other)], slow=Cascade(is_valid, policy=Sticky()))
    process.fastest = inner
    process.measure(2.0)
    (news,) = process.told.news()
    assert list(news.facts) == ["fast 60"]
    heard = Fastest(memory=60)
    elsewhere = ToldSpeed(Routes({"fast": Cascade(is_valid, policy=heard), "slow": other}))
    elsewhere.hear(TARGET, "a", news.facts)
    assert heard.measured.of(NAME).first_chunk == 2.0
    assert other.measured.of(NAME).first_chunk is None


def test_many_tellers_and_models_are_forgotten_in_time_and_nonsense_is_refused(now):
    process = Process()
    sums = [clock.time(), 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    for number in range(300):
        process.told.hear(TARGET, f"t{number}", {"fast 300": [sums[0] - 300 + number, *sums[1:]]})
        process.told.hear(Target("p", f"m{number}", TARGET.adapter), "t", {"fast 300": sums})
    measured = process.fastest.measured
    assert len(measured._told) == len(measured._others) == 256
    assert all(len(tellers) <= 64 for tellers in measured._told.values())
    for wrong in ([1.0], [clock.time(), *["x"] * 8], []):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, it is passed over
            process.told.hear(TARGET, "t", {"fast 300": wrong})
