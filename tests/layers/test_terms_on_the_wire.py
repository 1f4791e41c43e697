"""What a server is asked for, and what it says, over its wire: the tier, its own cost, and limits under other names."""

from __future__ import annotations

import pytest

from chat_wire import completion
from inferkit import Budget, ConfigurationError, OpenAIChat, Price, SqliteLedger
from wire import Wire, reply

PRICE = Price("1", "10", service_tiers={"priority": Price("2", "20")})
COUNTS = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def asking(world, ledger, body, script, **options):
    with Wire(script) as server:

        async def inner(world):
            adapter = OpenAIChat(api_key="k", base_url=server.url, name="gateway")
            llm = world.client(
                providers={"gateway": adapter},
                models={"any": "gateway:m"},
                prices={"gateway:m": PRICE},
                ledger=ledger,
                budget=Budget(usd="0.05", name="all"),
                max_retries=0,
            )
            try:
                return await body(llm)
            finally:
                await llm.aclose()

        return world.run(inner), server.requests


@pytest.mark.parametrize(("said", "booked"), [("priority", 400_000), ("default", 200_000)])
def test_the_tier_that_the_server_says_is_booked(world, ledger, said, booked):
    async def body(llm):
        return await llm.complete("any", "hi", max_output_tokens=50, extra={"service_tier": "priority"})

    answer = completion() | {"usage": COUNTS | {"cost": 0.0003}, "service_tier": said}
    got, requests = asking(world, ledger, body, lambda _: [reply(answer)])
    assert requests[0].json["service_tier"] == "priority"
    assert (got.cost * 10**9, got.reported_cost * 10**9) == (booked, 300_000)
    (entry,) = ledger.entries()
    assert (entry.charge.usd, entry.charge.details.reported_nanos) == (booked, 300_000)


@pytest.mark.parametrize(
    "extra", [{"max_completion_tokens": 100_000}, {"max_tokens": 100_000}, {"best_of": 9}, {"n": [2]}]
)
def test_nothing_is_sent_that_would_write_more_than_is_held_for(world, ledger, extra):
    async def body(llm):
        with pytest.raises(ConfigurationError, match="max_output_tokens|one reply"):
            await llm.complete("any", "hi", max_output_tokens=10, extra=extra)

    _, requests = asking(world, ledger, body, lambda _: [reply(completion())])
    assert requests == []
    assert list(ledger.entries()) == []
