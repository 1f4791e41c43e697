"""A call that its budget does not cover goes to the model that the budget names."""

from __future__ import annotations

import pytest

from budgets.stack import Stack, late, likely_input, make_request
from inferkit import Budget, BudgetExceeded, ConfigurationError, Price, Unavailable, UnpricedModel, budgeted
from inferkit.budgets.scope import Scope
from inferkit.core.chunks import Chunk
from inferkit.core.usage import Usage
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.pricing.tokens import input_tokens_bound
from inferkit.testing import FakeProvider
from worlds import closing, directly

BIG, MINI = Price(input="10", output="20"), Price(input="1", output="2")
MONTH = "month:2026-11-01"
REPLY = [Chunk("Hi"), Chunk(" there", finish_reason="stop"), Chunk(usage=Usage(10, 5))]
COST = 10 * 1_000 + 5 * 2_000  # nano-dollars at the price of "cheap"


def client(world, budget, **settings):
    """A client with a big model ("any") and a small one ("mini", or "free" of charge)."""
    small = settings.pop("small", None) or FakeProvider("A small reply")
    big = settings.pop("big", None) or FakeProvider("A big reply")
    settings.setdefault("models", {"any": "big:m", "mini": "small:mini", "free": "small:free"})
    settings.setdefault("prices", {"big:*": BIG, "small:mini": MINI, "small:free": Price(input="0", output="0")})
    return closing(world.client(providers={"big": big, "small": small}, budget=budget, ledger=True, **settings))


async def ask(llm, how, *, text="Hi", **options):
    if how == "whole":
        return await llm.complete("any", text, **options)
    async with llm.stream("any", text, **options) as stream:
        async for _ in stream:
            pass
        return stream.reply


@pytest.fixture(params=["whole", "stream"])
def how(request):
    return request.param


@pytest.mark.parametrize("limits", [{"calls": 1}, {"tokens": 130}, {"usd": "0.0025"}], ids=str)
def test_once_the_budget_is_used_up_calls_go_to_the_smaller_model(world, how, limits):
    budget = Budget(**limits, name="all", on_exceed="degrade", degrade_to="free")
    big, small = FakeProvider([Chunk("Big", finish_reason="stop", usage=Usage(40, 90))]), FakeProvider("A small reply")

    async def body(world):
        async with client(world, budget, big=big, small=small) as llm:
            replies = [await ask(llm, how, text=f"Question {number}") for number in range(3)]
            ledger = ledger_of(llm)
            return replies, list(ledger.entries()), budget.usage(ledger=ledger)

    replies, entries, used = world.run(body)
    assert [reply.text for reply in replies] == ["Big", "A small reply", "A small reply"]
    assert [reply.degraded for reply in replies] == [False, True, True]
    assert [(reply.provider, reply.model) for reply in replies[1:]] == [("small", "free")] * 2
    assert [entry.charge.usd for entry in entries] == [40 * 10_000 + 90 * 20_000, 0, 0]
    assert [entry.charge.model for entry in entries] == ["m", "free", "free"]
    assert (used.calls, used.tokens) == (3, sum(entry.charge.tokens for entry in entries))
    assert (used.held_usd, used.held_tokens, used.held_calls) == (0, 0, 0)
    assert (len(big.requests), big.open_streams, small.open_streams) == (1, 0, 0)


def ledger_of(llm):
    return (llm.inner if hasattr(llm, "inner") else llm).ledger


def test_a_degraded_call_is_charged_at_the_smaller_models_rate(world, how):
    budget = Budget(usd="0.0005", name="all", on_exceed="degrade", degrade_to="mini")

    async def body(world):
        async with client(world, budget) as llm:
            reply = await ask(llm, how)
            return reply, list(ledger_of(llm).entries())

    reply, (entry,) = world.run(body)
    assert (reply.text, reply.degraded) == ("A small reply", True)
    assert entry.charge.usd == 1 * 1_000 + 3 * 2_000
    assert int(reply.cost * 10**9) == entry.charge.usd


def test_after_an_attempt_that_may_have_been_billed_a_smaller_model_takes_the_call_on(world, how):
    """The budget covers one attempt. What that one cost stays charged."""
    budget = Budget(usd="0.0021", name="all", on_exceed="degrade", degrade_to="free")
    lost = Usage(150, 20)
    big = FakeProvider([Chunk(usage=lost), Unavailable("reset", provider="big")])

    async def body(world):
        async with client(world, budget, big=big, models={"any": ["big:m", "big:n"], "free": "small:free"}) as llm:
            reply = await ask(llm, how, max_output_tokens=50)
            return reply, list(ledger_of(llm).entries())

    reply, (entry,) = world.run(body)
    assert len(big.requests) == 1
    assert (reply.text, reply.degraded) == ("A small reply", True)
    assert [(a.number, a.kind, a.model, a.error) for a in reply.attempts] == [
        (1, "primary", "m", "Unavailable"),
        (2, "fallback", "free", None),
    ]
    assert entry.charge.usd == 150 * 10_000 + 20 * 20_000
    assert (entry.charge.model, entry.charge.attempts) == ("free", 2)


def test_a_running_stream_that_reaches_the_limit_ends_there(world, how):
    budget = Budget(usd="1", name="all", on_exceed="degrade", degrade_to="free")
    runaway = FakeProvider(["word " * 100] * 50)

    async def body(world):
        async with client(world, budget, big=runaway) as llm:
            return await ask(llm, how, max_output_tokens=100)

    reply = world.run(body)
    assert (reply.finish_reason, reply.degraded) == ("budget", False)
    assert reply.text.startswith("word")
    assert runaway.open_streams == 0


def test_a_degraded_reply_is_not_kept_beyond_the_exhaustion(world, how):
    budget = Budget(calls=1, name="all", on_exceed="degrade", degrade_to="free")

    async def body(world):
        async with client(world, budget, cache=True) as llm:
            await ask(llm, how, text="Another question")
            replies = [await ask(llm, how) for _ in range(2)]
            budget.top_up(ledger=ledger_of(llm), calls=5)
            return [*replies, await ask(llm, how), await ask(llm, how)]

    replies = world.run(body)
    assert [(reply.text, reply.cache, reply.degraded) for reply in replies] == [
        ("A small reply", "miss", True),
        ("A small reply", "miss", True),
        ("A big reply", "miss", False),
        ("A big reply", "hit", False),
    ]


def test_a_degraded_reply_in_flight_is_shared_with_those_of_the_same_budget_alone(world):
    budget = Budget(calls=1, name="seat", each="user", on_exceed="degrade", degrade_to="free")

    async def body(world):
        async with client(world, budget, cache=True) as llm:
            await llm.complete("any", "Another question", user="ana")
            async with llm.stream("any", "Hi", user="ana") as first:
                await anext(first)
                return [await llm.complete("any", "Hi", user=user) for user in ("ana", "bob")]

    ana, bob = world.run(body)
    assert (ana.text, ana.cache, ana.degraded) == ("A small reply", "coalesced", True)
    assert (bob.text, bob.cache, bob.degraded) == ("A big reply", "miss", False)


def test_the_trace_tells_which_budget_took_a_call_where(world):
    from layers.test_trace import Recorded

    recorded = Recorded()
    budget = Budget(calls=1, name="all", on_exceed="degrade", degrade_to="free")

    async def body(world):
        async with client(world, budget, telemetry=recorded.telemetry) as llm:
            for _ in range(2):
                await llm.complete("any", "Hi")

    world.run(body)
    first, second = recorded.named("inferkit.call")
    facts = [dict(event.attributes) for event in second.events if event.name == "budget"]
    told = {"decision": "degraded", "scope": "all", "unit": "calls", "from": "any", "to": "free"}
    assert told in facts
    assert not any(event.attributes.get("decision") == "degraded" for event in first.events)


NOWHERE = {"on_exceed": "degrade", "degrade_to": "nowhere"}


@pytest.mark.parametrize("inner", [False, True], ids=["own", "within"])
def test_a_client_whose_budget_degrades_to_an_unknown_model_is_not_made(world, inner):
    budget = Budget(usd="5", name="all", **NOWHERE)
    if inner:
        budget = Budget(usd="5", name="seat", within=budget)

    async def body(world):
        client(world, budget)

    with pytest.raises(ConfigurationError, match='budget all .* "nowhere"'):
        world.run(body)


def test_a_function_whose_budget_degrades_to_an_unknown_model_fails_at_its_first_call(world):
    big = FakeProvider("A big reply")

    async def body(world):
        async with client(world, (), big=big) as llm:

            @budgeted(calls=1000, **NOWHERE)
            async def answer():
                return await llm.complete("any", "Hi")

            await answer()

    with pytest.raises(ConfigurationError, match='test_degrade.* "nowhere"'):
        world.run(body)
    assert big.requests == []


def test_a_budget_in_dollars_that_degrades_to_a_model_without_a_price_is_refused_at_the_door(world):
    async def body(world):
        client(world, Budget(usd="5", name="all", on_exceed="degrade", degrade_to="small:unheard-of"))

    with pytest.raises(UnpricedModel, match="small:unheard-of"):
        world.run(body)


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def degrading(to="free", name="seat", **limits):
    return Scope(Budget(name=name, on_exceed="degrade", degrade_to=to, **limits))


def refusing(name="team", **limits):
    return Scope(Budget(name=name, **limits))


def call(run, ledger, fake, *scopes, stack=None, **fields):
    """Make one call and give its request as the model got it, and its record."""

    async def main(runtime):
        request = make_request(runtime, *scopes, **fields)
        seen.append(request.record)
        await (await (stack or Stack(ledger, fake))(request)).read()

    seen = []
    try:
        run(main)
    finally:
        held = [balance.pending for _, _, balance in ledger.balances()]
        assert all(amounts == Amounts() for amounts in held), "something is still held"
    return fake.requests[-1], seen[0]


def test_where_the_smaller_model_costs_money_and_none_is_left_the_call_is_refused(run, ledger):
    model = FakeProvider(REPLY)
    with pytest.raises(BudgetExceeded) as caught:
        call(run, ledger, model, degrading("cheap", usd="0.00001"), model="dear")
    assert caught.value.scope == "seat"
    assert model.requests == []
    assert list(ledger.entries()) == []


def test_a_call_for_the_smaller_model_itself_is_refused_as_ever(run, ledger):
    model = FakeProvider(REPLY)
    with pytest.raises(BudgetExceeded):
        call(run, ledger, model, degrading("free", tokens=10), model="free")
    assert model.requests == []


def test_a_stated_length_is_kept_by_the_smaller_model_rather_than_cut_by_the_bigger(run, ledger):
    request, record = call(run, ledger, FakeProvider(REPLY), degrading(usd="0.001"), max_output_tokens=1000)
    assert (request.model, request.max_output_tokens) == ("free", 1000)
    assert (record.degraded, record.clamped) == ("seat", False)


def test_where_no_length_is_stated_the_bigger_model_answers_as_long_as_it_can(run, ledger):
    request, record = call(run, ledger, FakeProvider(REPLY), degrading(usd="0.001"))
    assert request.model == "cheap"
    assert request.max_output_tokens < 500
    assert (record.degraded, record.clamped) == (None, True)


def test_a_length_that_another_budget_cuts_is_cut_as_ever(run, ledger):
    scopes = refusing(usd="0.001"), degrading(usd="5")
    request, record = call(run, ledger, FakeProvider(REPLY), *scopes, max_output_tokens=1000)
    assert request.model == "cheap"
    assert request.max_output_tokens < 500
    assert (record.degraded, record.clamped) == (None, True)


def test_a_length_that_both_budgets_would_cut_goes_to_the_smaller_model(run, ledger):
    scopes = refusing(usd="0.001"), degrading(usd="0.0009")
    request, record = call(run, ledger, FakeProvider(REPLY), *scopes, max_output_tokens=1000)
    assert (request.model, request.max_output_tokens) == ("free", 1000)
    assert record.degraded == "seat"


def test_a_smaller_model_that_costs_money_is_cut_to_what_is_left(run, ledger):
    request, record = call(run, ledger, FakeProvider(REPLY), degrading("cheap", usd="0.001"), model="dear")
    left = 1_000_000 - input_tokens_bound(request) * 1_000
    assert (request.model, request.max_output_tokens) == ("cheap", left // 2_000)
    assert (record.degraded, record.clamped) == ("seat", True)


def test_a_budget_that_does_not_degrade_refuses_as_ever(run, ledger):
    model = FakeProvider(REPLY)
    with pytest.raises(BudgetExceeded) as caught:
        call(run, ledger, model, degrading(usd="5"), refusing(tokens=10))
    assert caught.value.scope == "team"
    assert model.requests == []


def test_the_tokens_of_another_budget_still_limit_a_degraded_call(run, ledger):
    with pytest.raises(BudgetExceeded) as caught:
        call(run, ledger, FakeProvider(REPLY), degrading(usd="0.00001"), refusing(tokens=10))
    assert caught.value.scope == "team"


def test_budgets_that_degrade_take_their_turn(run, ledger):
    scopes = degrading("cheap", tokens=10), degrading("free", name="team", usd="0.00001")
    request, record = call(run, ledger, FakeProvider(REPLY), *scopes, model="dear")
    assert (request.model, record.degraded) == ("free", "team")
    steps = [event.attributes for event in record.events if event.attributes["decision"] == "degraded"]
    assert [(step["scope"], step["from"], step["to"]) for step in steps] == [
        ("seat", "dear", "cheap"),
        ("team", "cheap", "free"),
    ]


def test_budgets_that_degrade_to_the_same_model_all_let_the_call_pass(run, ledger):
    scopes = degrading(tokens=10), degrading(name="team", tokens=20)
    request, record = call(run, ledger, FakeProvider(REPLY), *scopes)
    assert (request.model, request.max_output_tokens) == ("free", None)
    assert record.degraded == "team"
    assert {account: balance.posted for account, _, balance in ledger.balances()} == {
        "seat": Amounts(0, 15, 1),
        "team": Amounts(0, 15, 1),
    }


def test_a_budget_degrades_a_call_once(run, ledger):
    """Neither has money left for the other's model, and the first is not asked again."""
    scopes = degrading("cheap", usd="0.00001"), degrading("free2", name="team", tokens=10)
    model = FakeProvider(REPLY)
    with pytest.raises(BudgetExceeded) as caught:
        call(run, ledger, model, *scopes, model="dear")
    assert caught.value.scope == "seat"
    assert model.requests == []


@pytest.mark.parametrize("limits", [{"usd": "0.00001"}, {"tokens": 10}], ids=str)
def test_a_limit_on_each_call_degrades_too(run, ledger, limits):
    request, record = call(run, ledger, FakeProvider(REPLY), degrading(per="call", name="each", **limits))
    assert (request.model, record.degraded) == ("free", "each")


def test_where_a_budget_of_the_same_account_refuses_for_good_the_call_is_refused(run, ledger):
    scopes = refusing(name="seat", tokens=10), degrading(tokens=10)
    with pytest.raises(BudgetExceeded):
        call(run, ledger, FakeProvider(REPLY), *scopes)


class Again(Stack):
    """Asks again after a failure, as the retry layer does: the same model, or another."""

    def __init__(self, *args, model=None):
        super().__init__(*args)
        self.other = model

    async def attempt(self, request):
        try:
            return await super().attempt(request)
        except Unavailable:
            return await super().attempt(request.replace(model=self.other or request.model))


RESET = late(Unavailable("reset", provider="test"))


def test_a_fallback_that_is_not_covered_is_replaced_by_the_smaller_model_within_what_is_left(run, ledger):
    model = FakeProvider(RESET, REPLY)
    seat = degrading("cheap", usd="0.001")
    request, record = call(run, ledger, model, seat, stack=Again(ledger, model, model="dear"), model="free")
    assert [each.model for each in model.requests] == ["free", "cheap"]
    assert request.max_output_tokens == (1_000_000 - input_tokens_bound(request) * 1_000) // 2_000
    assert (record.degraded, record.clamped) == ("seat", True)
    assert ledger.balance("seat", MONTH).posted.usd == COST


def test_what_failed_attempts_cost_is_no_longer_there_for_the_smaller_model(run, ledger):
    model = FakeProvider(RESET, REPLY)
    seat = degrading("cheap", usd="0.0022")
    request, record = call(run, ledger, model, seat, stack=Again(ledger, model), model="dear", max_output_tokens=50)
    assert [each.model for each in model.requests] == ["dear", "cheap"]
    lost = likely_input(request) * 10_000 + 50 * 20_000
    assert (request.max_output_tokens, record.clamped) == (50, False)
    assert ledger.balance("seat", MONTH).posted.usd == lost + COST


def test_the_tokens_of_a_budget_that_degrades_are_counted_on_and_those_of_others_limit(run, ledger):
    model = FakeProvider(RESET, REPLY)
    scopes = degrading(tokens=190), refusing(usd="5", tokens=10_000)
    stack = Again(ledger, model)
    request, _ = call(run, ledger, model, *scopes, stack=stack, max_output_tokens=50)
    assert (request.model, request.max_output_tokens) == ("free", 50)
    tokens = likely_input(request)
    spent = Amounts(tokens * 1_000 + 50 * 2_000, tokens + 50 + 15, 1)
    assert ledger.balance("team", MONTH).posted == ledger.balance("seat", MONTH).posted == spent


def test_a_retry_that_neither_model_is_covered_for_is_refused_and_what_was_spent_stays_charged(run, ledger):
    model = FakeProvider(RESET)
    with pytest.raises(BudgetExceeded):
        call(run, ledger, model, degrading("dear", usd="0.00025"), stack=Again(ledger, model), max_output_tokens=50)
    assert len(model.requests) == 1
    assert ledger.balance("seat", MONTH).posted.usd == likely_input(model.requests[0]) * 1_000 + 50 * 2_000


def test_a_limit_that_degraded_calls_pass_is_told(ledger):
    told = []
    seat = Scope(
        Budget(tokens=130, name="seat", on_exceed="degrade", degrade_to="free", warn_at="1", on_threshold=told.append)
    )
    model = FakeProvider([Chunk("Hi", finish_reason="stop", usage=Usage(60, 20))])
    for _ in range(3):
        call(directly, ledger, model, seat)
    assert [request.model for request in model.requests] == ["cheap", "free", "free"]
    assert [(each.scope, each.unit, each.used) for each in told] == [("seat", "tokens", 160)]


@pytest.mark.parametrize("limits", [{"usd": "0.00025"}, {"tokens": 200}], ids=str)
def test_a_limit_on_each_call_that_covers_no_retry_takes_it_to_the_smaller_model(run, ledger, limits):
    model = FakeProvider(RESET, REPLY)
    each = degrading(per="call", name="each", **limits)
    request, record = call(run, ledger, model, each, stack=Again(ledger, model), max_output_tokens=50)
    assert (request.model, request.max_output_tokens) == ("free", 50)
    assert (record.degraded, [attempt.model for attempt in record.attempts]) == ("each", ["cheap", "free"])


def test_the_next_budget_degrades_a_retry_where_the_first_ones_model_is_not_covered(run, ledger):
    """The stated length is kept: the second budget does not cover all of it, so it takes the call further."""
    model = FakeProvider(RESET, REPLY)
    scopes = degrading("dear", tokens=190), degrading("free", name="team", usd="0.001")
    stack = Again(ledger, model)
    request, record = call(run, ledger, model, *scopes, stack=stack, max_output_tokens=50)
    assert (request.model, request.max_output_tokens) == ("free", 50)
    steps = [event.attributes for event in record.events if event.attributes["decision"] == "degraded"]
    assert [(step["scope"], step["to"]) for step in steps] == [("seat", "dear"), ("team", "free")]


def test_a_retry_whose_smaller_model_is_too_dear_for_any_call_is_refused(run, ledger):
    model = FakeProvider(RESET)
    scopes = degrading("dear", tokens=190), refusing("each", usd="0.0005", per="call")
    with pytest.raises(BudgetExceeded) as caught:
        call(run, ledger, model, *scopes, stack=Again(ledger, model), max_output_tokens=50)
    assert caught.value.scope == "each"
    assert [request.model for request in model.requests] == ["cheap"]
