"""On a clock that stands still, periods end when a test says so, and nobody waits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from inferkit import Budget, BudgetExceeded, ConfigurationError, RateLimited
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime
from inferkit.runtime.loops import AsyncRuntime
from inferkit.testing import FakeProvider, FrozenClock, memory_ledger


def test_a_month_passes_when_it_is_told_to(world):
    frozen = FrozenClock(datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    budget = Budget(calls=1, per="month", name="month")

    async def body(world):
        settings = {"providers": {"f": FakeProvider()}, "models": {"a": "f:m"}, "ledger": memory_ledger()}
        async with world.client(budget=budget, **settings) as llm:
            await llm.complete("Hi")
            with pytest.raises(BudgetExceeded) as refusal:
                await llm.complete("Hi")
            frozen.advance(minutes=1)
            await llm.complete("Hi")
        return refusal.value.resets_at

    with frozen.installed():
        assert world.run(body) == datetime(2026, 2, 1, tzinfo=UTC)
    assert frozen.at == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_retry_that_is_to_wait_for_half_a_minute_does_not(world):
    frozen = FrozenClock()
    start = frozen.at

    async def body(world):
        fake = FakeProvider(RateLimited("slow down", provider="f", retry_after=30.0), "Hello")
        async with world.client(providers={"f": fake}, models={"a": "f:m"}) as llm:
            return (await llm.complete("Hi", timeout=60)).text

    with frozen.installed():
        assert world.run(body) == "Hello"
    (wait,) = frozen.waits
    assert wait >= 30
    assert (frozen.at - start).total_seconds() == pytest.approx(wait)


def test_it_leaves_the_machines_clocks_as_they_were():
    before = clock.now, clock.time, DirectRuntime.sleep, AsyncRuntime.sleep
    with pytest.raises(KeyError), FrozenClock().installed():
        assert clock.time() == clock.time()
        raise KeyError
    assert before == (clock.now, clock.time, DirectRuntime.sleep, AsyncRuntime.sleep)


def test_mistakes_are_explained():
    frozen = FrozenClock()
    with pytest.raises(ConfigurationError, match="time passes forwards"):
        frozen.advance(seconds=-1)
    with pytest.raises(ConfigurationError, match="an instant has a time zone"):
        frozen.at = datetime(2026, 1, 1)  # noqa: DTZ001
    frozen.at = datetime(2026, 1, 1, tzinfo=UTC)
    assert frozen.at.year == 2026
