"""A budget holds for the candidate that goes first, caps each at its own price, and extends for a dearer one."""

from __future__ import annotations

import random

import pytest

from budgets.stack import Stack, late, likely_input, make_request
from inferkit import (
    AuthenticationFailed,
    Budget,
    BudgetExceeded,
    Insert,
    Price,
    RateLimited,
    Retry,
    Unavailable,
    UnpricedModel,
)
from inferkit.budgets.scope import Scope
from inferkit.core.chunks import Chunk
from inferkit.core.usage import Usage
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.pricing.tokens import input_tokens_bound
from inferkit.testing import FakeProvider
from layers.test_trace import Recorded
from worlds import closing, world_on_a_loop

MONTH = "month:2026-11-01"
DOWN = Unavailable("down", provider="test", status=503)
REPLY = [Chunk("Hi", finish_reason="stop", usage=Usage(10, 5))]
BOUND = input_tokens_bound(make_request(None))


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


class Walk(Stack):
    """Asks its candidates in turn, each once, and notes what is held while one answers."""

    def __init__(self, ledger, model, *candidates):
        super().__init__(ledger, model, candidates=candidates)
        self.ledger = ledger
        self.held = None

    async def attempt(self, request):
        *others, last = request.candidates
        for target in others:
            try:
                return await super().attempt(request.replace(model=target.model, candidates=request.candidates))
            except Unavailable:
                pass
        response = await super().attempt(request.replace(model=last.model))
        self.held = self.ledger.balance("all", MONTH).pending.usd
        return response


def walk(run, ledger, model, *candidates, usd="5", **fields):
    """Make one call; give what was held while it ran, its record, and the lengths that the model was allowed."""
    stack = Walk(ledger, model, *candidates)

    async def main(runtime):
        request = make_request(runtime, Scope(Budget(usd=usd, name="all")), **fields)
        chunks = await (await stack(request)).read()
        return request.record, chunks

    record, chunks = run(main)
    assert ledger.balance("all", MONTH).pending == Amounts(), "something is still held"
    return stack.held, record, [request.max_output_tokens for request in model.requests], chunks


def test_what_is_reserved_is_for_the_candidate_that_goes_first(run, ledger):
    class First(Walk):
        async def attempt(self, request):
            self.held = self.ledger.balance("all", MONTH).pending.usd
            return await Stack.attempt(self, request)

    stack = First(ledger, FakeProvider(REPLY), "cheap", "dear")

    async def main(runtime):
        request = make_request(runtime, Scope(Budget(usd="5", name="all")), max_output_tokens=100)
        await (await stack(request)).read()

    run(main)
    assert stack.held == BOUND * 1_000 + 100 * 2_000


def test_a_dearer_candidate_is_held_for_when_it_is_asked(run, ledger):
    held, record, lengths, _ = walk(run, ledger, FakeProvider(DOWN, REPLY), "cheap", "dear", max_output_tokens=100)
    assert held == BOUND * 10_000 + 100 * 20_000
    assert lengths == [100, 100]
    assert not record.clamped


def test_each_candidate_may_write_what_the_budget_buys_at_its_own_price(run, ledger):
    _, record, lengths, _ = walk(run, ledger, FakeProvider(DOWN, REPLY), "cheap", "dear", usd="0.004")
    assert lengths == [(4_000_000 - BOUND * 1_000) // 2_000, (4_000_000 - BOUND * 10_000) // 20_000]
    assert record.clamped
    lowered = [event.attributes for event in record.events if event.attributes.get("decision") == "lowered"]
    assert [facts.get("max_output_tokens") for facts in lowered] == [None, lengths[1]]


def test_a_cheaper_candidate_is_not_held_to_what_the_first_might_have_written(run, ledger):
    _, record, lengths, _ = walk(run, ledger, FakeProvider(DOWN, REPLY), "dear", "cheap", usd="0.004")
    assert lengths == [(4_000_000 - BOUND * 10_000) // 20_000, (4_000_000 - BOUND * 1_000) // 2_000]
    _, record, lengths, _ = walk(
        run, ledger, FakeProvider(DOWN, REPLY), "dear", "cheap", usd="0.004", max_output_tokens=500
    )
    assert lengths[1] == 500
    assert not record.clamped, "the one that answered could write all that it was asked for"


def test_a_cheaper_candidate_that_ignores_its_limit_may_use_the_whole_hold(run, ledger):
    long = [Chunk("word " * 400), Chunk(finish_reason="stop", usage=Usage(10, 400))]
    *_, chunks = walk(run, ledger, FakeProvider(DOWN, long), "dear", "cheap", max_output_tokens=100)
    assert chunks[-1].finish_reason == "stop"
    assert ledger.balance("all", MONTH).posted.usd == 10 * 1_000 + 400 * 2_000


@pytest.mark.parametrize(("spare", "sent"), [(16, True), (15, False)])
def test_a_dearer_candidate_that_may_write_too_little_to_be_of_use_is_refused_before_it_is_sent(
    run, ledger, spare, sent
):
    limit = BOUND * 10_000 + spare * 20_000
    model = FakeProvider(DOWN, REPLY)
    if sent:
        assert walk(run, ledger, model, "cheap", "dear", usd=f"{limit / 10**9:.9f}")[2][1] == spare
        return
    with pytest.raises(BudgetExceeded, match="another attempt of this one needs"):
        walk(run, ledger, model, "cheap", "dear", usd=f"{limit / 10**9:.9f}")
    assert len(model.requests) == 1
    assert ledger.balance("all", MONTH).posted == Amounts()


def test_what_a_failed_attempt_cost_is_no_longer_there_for_a_dearer_one(run, ledger):
    lost = late(Unavailable("reset", provider="test"))  # it may have been billed
    _, _, lengths, _ = walk(run, ledger, FakeProvider(lost, REPLY), "cheap", "dear", usd="0.004", max_output_tokens=200)
    cost = likely_input(make_request(None)) * 1_000 + 200 * 2_000
    assert lengths == [200, (4_000_000 - cost - BOUND * 10_000) // 20_000]
    assert ledger.balance("all", MONTH).posted.usd == cost + 10 * 10_000 + 5 * 20_000


def test_a_layer_that_takes_the_length_off_a_request_does_not_take_the_cap_off(run, ledger):
    model = FakeProvider(REPLY)

    class Without(Stack):
        async def attempt(self, request):
            return await super().attempt(request.replace(max_output_tokens=None))

    async def main(runtime):
        await (await Without(ledger, model)(make_request(runtime, Scope(Budget(usd="0.001", name="all"))))).read()

    run(main)
    assert model.requests[0].max_output_tokens == (1_000_000 - BOUND * 1_000) // 2_000


# through the whole stack


PRICES = {"mini:m": Price("1", "2"), "big:m": Price("1000", "2000"), "free:m": Price("0", "0")}


def ask(world, *providers, budget="0.01", **settings):
    """Make one call of candidates that are listed as (name, provider)."""

    async def body(world):
        names = [name for name, _ in providers]
        settings.setdefault("layers", [Insert(Retry(base=0.001), instead_of="retry")])
        client = world.client(
            providers=dict(providers), models={"any": [f"{name}:m" for name in names]}, prices=PRICES,
            budget=Budget(usd=budget, name="all"), ledger=True, **settings,
        )  # fmt: skip
        async with closing(client) as llm:
            return await llm.complete("any", "Hi")

    return world.run(body)


def test_a_candidate_that_the_budget_does_not_cover_is_passed_over(world):
    mini, big, free = FakeProvider(DOWN), FakeProvider("big"), FakeProvider("free")
    reply = ask(world, ("mini", mini), ("big", big), ("free", free))
    assert (reply.text, reply.provider) == ("free", "free")
    assert big.requests == []
    assert [(attempt.number, attempt.kind) for attempt in reply.attempts] == [(1, "primary"), (2, "fallback")]


def test_where_no_candidate_is_left_that_the_budget_covers_it_says_so(world):
    mini, big = FakeProvider(AuthenticationFailed("no", provider="mini", status=401)), FakeProvider("big")
    with pytest.raises(BudgetExceeded) as caught:
        ask(world, ("mini", mini), ("big", big))
    assert big.requests == []
    assert [attempt.error for attempt in caught.value.attempts] == ["AuthenticationFailed"]


def test_the_first_candidate_is_asked_again_though_a_dearer_one_is_not_covered(world):
    late = RateLimited("slow", provider="mini", status=429, retry_after=0.001)
    mini, big = FakeProvider(late, "mini"), FakeProvider("big")
    reply = ask(world, ("mini", mini), ("big", big))
    assert (reply.text, [attempt.kind for attempt in reply.attempts]) == ("mini", ["primary", "retry"])
    assert big.requests == []


def test_a_candidate_without_a_price_is_told_of_before_anything_is_sent(world):
    mini = FakeProvider("mini")
    with pytest.raises(UnpricedModel, match="unheard-of:m"):
        ask(world, ("mini", mini), ("unheard-of", FakeProvider()))
    assert mini.requests == []


def test_a_span_says_what_its_attempt_was_allowed_to_write(world):
    recorded = Recorded()
    mini, big = FakeProvider(DOWN), FakeProvider("big")
    ask(world, ("mini", mini), ("big", big), budget="0.2", telemetry=recorded.telemetry)
    allowed = [span.attributes["gen_ai.request.max_tokens"] for span in recorded.named("chat m")]
    assert allowed == [4096, big.requests[0].max_output_tokens]
    assert 16 <= allowed[1] < 100


def chancy(price, chance, billed):
    """A model that writes as much as it likes of what it may, bills that at its price, and often does not arrive."""

    def script(request):
        if chance.random() < 0.2:
            return Unavailable("down", provider="any", status=503)
        resets = chance.random() < 0.3
        usage = Usage(8, 1 if resets else chance.randint(1, request.max_output_tokens))
        billed.append(price.cost(usage))
        if resets:
            return Unavailable("reset before there was time to write a reply", provider="any")
        return [lambda: request.runtime.sleep(0), Chunk("x", finish_reason="stop", usage=usage)]

    return FakeProvider(script)


@world_on_a_loop
@pytest.mark.parametrize("seed", range(2))
def test_many_calls_with_cheap_and_dear_candidates_are_never_billed_more_than_their_budget(world, seed):
    chance, billed = random.Random(seed), []
    prices = {"cheap:m": Price("1", "2"), "dear:m": Price("10", "20"), "mid:m": Price("3", "6", request="0.0001")}
    providers = {each.partition(":")[0]: chancy(price, chance, billed) for each, price in prices.items()}
    models = {"up": ["cheap:m", "mid:m", "dear:m"], "down": ["dear:m", "cheap:m"]}
    refused = []

    async def body(world):
        budget = Budget(usd="0.02", name="all")
        settings = {"providers": providers, "models": models, "prices": prices, "budget": budget, "max_retries": 0}
        client = world.client(**settings, ledger=True)

        async def caller():
            for _ in range(6):
                length = chance.choice([None, 20, 200])
                try:
                    await llm.complete(chance.choice(list(models)), "Hi", max_output_tokens=length)
                except BudgetExceeded as error:
                    refused.append(error)
                except Unavailable:
                    pass

        async with closing(client) as llm:
            await world.beside(*[caller] * 30)
            ((_, _, balance),) = llm.ledger.balances("all")
            return balance, sum(entry.charge.usd for entry in llm.ledger.entries())

    balance, entered = world.run(body)
    assert refused
    assert sum(billed) <= balance.posted.usd == entered <= 20_000_000
    assert balance.pending == Amounts()
