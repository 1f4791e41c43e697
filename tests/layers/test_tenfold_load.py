"""Ten times as many calls as a provider can answer: what it can do is done, the most important first, in fair shares.

On a clock of its own, so that a minute of load takes a second or two; benchmarks/protection.py does it in real time.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from inferkit import AsyncClient, Chunk, DeadlineExceeded, Overloaded, RateLimit, RateLimited, Response, Usage
from virtual_time import run_in_virtual_time

CAPACITY, SECONDS = 10, 60  # requests at once, of a second each; how long the load goes on
TENANTS = {"greedy": 70, "busy": 20, "modest": 8}  # calls a second of each, of the usual priority
IMPORTANT = 2  # calls a second of the highest


class Provider:
    """Answers so many requests at once, and refuses what comes besides."""

    def __init__(self):
        self.running = 0
        self.served = self.refused = 0

    async def __call__(self, request):
        if self.running >= CAPACITY:
            self.refused += 1
            raise RateLimited("too many at once", provider="p", status=429)
        self.running += 1
        try:
            await asyncio.sleep(1.0)
        finally:
            self.running -= 1
        self.served += 1
        chunk = Chunk("done", finish_reason="stop", usage=Usage(1, 1))
        return Response.of([chunk], runtime=request.runtime)


def load(monkeypatch, **settings):
    provider, done, errors = Provider(), Counter(), Counter()

    async def call(llm, who, priority):
        try:
            await llm.complete("p:m", "Hello?", tenant=who, priority=priority, timeout=5)
        except (Overloaded, RateLimited, DeadlineExceeded) as error:
            errors[who, type(error).__name__] += 1
        else:
            done[who] += 1

    async def body():
        llm = AsyncClient(providers={"p": provider}, cache=False, ledger=False, **settings)
        async with llm, asyncio.TaskGroup() as group:

            async def come(who, priority, a_second):
                for _ in range(SECONDS * a_second):
                    group.create_task(call(llm, who, priority))
                    await asyncio.sleep(1 / a_second)

            group.create_task(come("important", 9, IMPORTANT))
            for who, a_second in TENANTS.items():
                group.create_task(come(who, 0, a_second))

    run_in_virtual_time(monkeypatch, body)
    return provider, done, errors


def test_the_capacity_is_used_the_most_important_is_unharmed_and_shares_are_fair(monkeypatch):
    limits = {"p:m": RateLimit(concurrent=100, queue=40)}
    provider, done, errors = load(monkeypatch, limits=limits)
    assert done.total() >= 0.98 * CAPACITY * SECONDS
    assert done["important"] == IMPORTANT * SECONDS
    shares = [done[who] for who in TENANTS]
    assert min(shares) >= 0.8 * max(shares), done
    assert {kind for _, kind in errors} <= {"Overloaded", "RateLimited", "DeadlineExceeded"}
    assert provider.refused <= 0.03 * provider.served
    assert provider.served >= 0.96 * CAPACITY * (SECONDS + 5), "those that wait at the end are answered, too"


def test_without_limits_the_most_important_is_harmed_like_all_others(monkeypatch):
    provider, done, _ = load(monkeypatch)
    assert done["important"] < 0.8 * IMPORTANT * SECONDS
    assert provider.refused > provider.served
