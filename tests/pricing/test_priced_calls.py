"""Every kind of token is paid for at its own price, and a budget holds enough for the dearest."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from inferkit import Budget, BudgetExceeded, Chunk, Price, SqliteLedger, Usage
from inferkit.testing import FakeProvider

PRICE = Price(input="1", output="10", cache_read="0.10", cache_write="1.25", reasoning="20", request="0.001")
FEE = 1_000_000  # nano-dollars
REPORTS = {
    "plain": (Usage(40, 30), 40 * 1_000 + 30 * 10_000),
    "cached": (Usage(40, 30, cache_read_tokens=30), 10 * 1_000 + 30 * 100 + 30 * 10_000),
    "written to the cache": (Usage(40, 30, cache_write_tokens=40), 40 * 1_250 + 30 * 10_000),
    "reasoning": (Usage(40, 30, reasoning_tokens=25), 40 * 1_000 + 5 * 10_000 + 25 * 20_000),
    "of every kind": (
        Usage(40, 30, cache_read_tokens=20, cache_write_tokens=10, reasoning_tokens=30),
        10 * 1_000 + 20 * 100 + 10 * 1_250 + 30 * 20_000,
    ),
}


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def client(world, ledger, budget, price, *replies):
    provider = FakeProvider(*replies)
    settings = {"providers": {"fake": provider}, "models": {"any": "fake:m"}, "prices": {"fake:m": price}}
    return provider, world.client(ledger=ledger, budget=budget, **settings)


@pytest.mark.parametrize("kind", REPORTS)
def test_each_kind_of_token_is_charged_at_its_own_price(world, ledger, kind):
    usage, cost = REPORTS[kind]

    async def body(world):
        budget = Budget(usd="1", name="all")
        reply = ["Hel", Chunk("lo", finish_reason="stop", usage=usage)]
        provider, llm = client(world, ledger, budget, PRICE, reply)
        async with llm.stream("any", "hi", max_output_tokens=30) as stream:
            held = [budget.usage(ledger=ledger).held_usd async for _ in stream]
        await llm.aclose()
        assert stream.reply.cost * 10**9 == cost + FEE
        assert budget.usage(ledger=ledger)[:2] == (stream.reply.cost, usage.total_tokens)
        assert held[0] >= stream.reply.cost
        assert len(provider.requests) == 1

    world.run(body)


def the_dearest(request):
    """Write the whole input to the cache, and reason with all the output that is allowed."""
    most = request.max_output_tokens
    return Chunk("x", finish_reason="stop", usage=Usage(80, most, cache_write_tokens=80, reasoning_tokens=most))


@pytest.mark.parametrize("usd", ["0.0015", "0.002", "0.01"])
def test_a_budget_holds_for_replies_of_the_dearest_kinds(world, ledger, usd):
    async def body(world):
        budget = Budget(usd=usd, name="all")
        model, llm = client(world, ledger, budget, PRICE, the_dearest)
        with pytest.raises(BudgetExceeded):
            for _ in range(100):
                await llm.complete("any", "hi")
        await llm.aclose()
        assert 0 < budget.usage(ledger=ledger).usd <= Decimal(usd)
        assert model.requests[-1].max_output_tokens < 4096

    world.run(body)


def test_a_long_prompt_is_charged_at_the_price_of_long_prompts(world, ledger):
    async def body(world):
        price = Price(input="1", output="1", above={1000: Price(input="4", output="8")})
        reply = [Chunk("x", finish_reason="stop", usage=Usage(1500, 10))]
        _, llm = client(world, ledger, Budget(usd="1", name="all"), price, reply)
        done = await llm.complete("any", "word " * 1500, max_output_tokens=10)
        await llm.aclose()
        assert done.cost * 10**9 == 1500 * 4_000 + 10 * 8_000

    world.run(body)


def test_a_prompt_that_may_be_long_is_held_at_the_price_of_long_prompts(world, ledger):
    async def body(world):
        price = Price(input="1", output="1", above={1000: Price(input="4", output="8")})
        provider, llm = client(world, ledger, Budget(usd="0.003", name="all"), price, "Hello")
        await llm.complete("any", "x" * 500, max_output_tokens=10)  # at most 600 tokens of 1 dollar a million
        with pytest.raises(BudgetExceeded):
            await llm.complete("any", "x" * 1000, max_output_tokens=10)  # over 1000 of 4 dollars
        await llm.aclose()
        assert len(provider.requests) == 1

    world.run(body)


def test_a_price_that_has_changed_is_what_a_call_costs(world, ledger):
    async def body(world):
        price = Price(input="1", output="1", changes={"2020-01-01": Price(input="2", output="3")})
        reply = [Chunk("x", finish_reason="stop", usage=Usage(40, 10))]
        _, llm = client(world, ledger, Budget(usd="1", name="all"), price, reply)
        assert (await llm.complete("any", "hi")).cost * 10**9 == 40 * 2_000 + 10 * 3_000
        await llm.aclose()

    world.run(body)


def test_a_price_that_changes_soon_is_held_at_its_dearer_side(world, ledger):
    async def body(world):
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1800))
        price = Price(input="0", output="1", changes={soon: Price(input="0", output="100")})
        provider, llm = client(world, ledger, Budget(usd="0.01", name="all"), price, "Hello")
        await llm.complete("any", "hi", max_output_tokens=4000)
        await llm.aclose()
        assert provider.requests[0].max_output_tokens == 100

    world.run(body)
