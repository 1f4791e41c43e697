"""What is paid for attempts of one call that run at the same time."""

from __future__ import annotations

import anyio
import pytest

from budgets.stack import Stack, likely_input, likely_output, make_request
from inferkit import Budget, BudgetExceeded, Insert, Price, Response
from inferkit.budgets.scope import Scope
from inferkit.core.chunks import Chunk
from inferkit.core.errors import LedgerError
from inferkit.core.usage import Usage
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.pricing.tokens import input_tokens_bound
from inferkit.testing import FakeProvider
from worlds import Gate, closing, on_a_loop, world_on_a_loop

PRICE = Price(input="1", output="10")
OUTPUT = 50
MONTH = "month:2026-11-01"


class Hedge:
    """Asks the next candidate too when the first is slow, and gives the reply that is complete first.

    "Slow" is what the test says it is: its provider has come to the gate.
    """

    def __init__(self, slow):
        self.slow = slow
        self.refusals = []

    async def __call__(self, request, call_next):
        first, second = (
            request.replace(provider=each.provider, model=each.model, target=each) for each in request.candidates
        )
        complete = []
        async with anyio.create_task_group() as group:

            async def ask(one):
                response = await call_next(one)
                complete.append((response, await response.read()))
                group.cancel_scope.cancel()

            group.start_soon(ask, first)
            await self.slow.reached.wait()
            try:
                await ask(second.replace(attempt=2))
            except BudgetExceeded as refusal:
                self.refusals.append(refusal)
                self.slow.open()
        response, chunks = complete[0]
        return Response(_Replayed(chunks), runtime=request.runtime, model=response.model)


class _Replayed:
    def __init__(self, chunks):
        self._chunks = iter(chunks)

    async def __anext__(self):
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


def hedged_call(world, limit):
    """Make one call with a hedge; give the reply, both providers, the refusals and what the ledger holds."""
    gate = Gate()
    slow, quick = FakeProvider(["Hello", gate, " world"]), FakeProvider("Good morning")
    hedge = Hedge(gate)

    async def body(world):
        client = world.client(
            providers={"slow": slow, "quick": quick},
            models={"any": ["slow:m", "quick:m"]},
            prices={"slow:m": PRICE, "quick:m": PRICE},
            budget=Budget(usd=limit, name="all"),
            ledger=True,
            layers=[Insert(hedge, after="retry")],  # it sees one attempt
        )
        async with closing(client) as llm:
            reply = await llm.complete("any", "Hi", max_output_tokens=OUTPUT)
            return reply, list(llm.ledger.entries()), list(llm.ledger.balances("all"))

    reply, entries, balances = world.run(body)
    assert slow.open_streams == quick.open_streams == 0
    ((_, _, balance),) = balances
    assert balance.pending == Amounts(), "something is still held"
    (entry,) = entries
    return reply, slow, quick, hedge.refusals, entry.charge, balance.posted


def most_of_one(output=OUTPUT):
    """What one attempt of these calls may cost at most, in nano-dollars."""
    request = make_request(None, text="Hi")
    return input_tokens_bound(request) * 1_000 + output * 10_000


def usd(nanos):
    return f"{nanos // 10**9}.{nanos % 10**9:09}"


@world_on_a_loop
def test_a_hedge_that_the_budget_does_not_cover_beside_the_first_attempt_is_refused_before_it_is_sent(world):
    reply, _, quick, refusals, charge, posted = hedged_call(world, usd(most_of_one() + most_of_one(16) - 1))
    assert quick.requests == []
    assert "another attempt of this one needs" in str(refusals[0])
    assert reply.text == "Hello world"
    assert [attempt.kind for attempt in reply.attempts] == ["primary"]
    assert charge.usd == posted.usd == reply.attempts[0].cost_nanos


@world_on_a_loop
def test_a_hedge_that_the_budget_does_not_cover_in_full_may_write_less(world):
    _, slow, quick, refusals, charge, posted = hedged_call(world, usd(most_of_one() + most_of_one(16)))
    assert [request.max_output_tokens for request in slow.requests + quick.requests] == [OUTPUT, 16]
    assert refusals == []
    assert charge.usd == posted.usd


@world_on_a_loop
def test_a_lost_hedge_costs_what_was_seen_of_it_and_the_ledger_says_so(world):
    reply, slow, _, refusals, charge, posted = hedged_call(world, usd(2 * most_of_one()))
    assert refusals == []
    assert (reply.text, reply.finish_reason) == ("Good morning", "stop")
    assert reply.provider == "quick"
    costs = {attempt.kind: (attempt.provider, attempt.outcome, attempt.cost_nanos) for attempt in reply.attempts}
    assert costs == {
        "hedge": ("quick", "completed", 1 * 1_000 + 2 * 10_000),
        "primary": ("slow", "cancelled", likely_input(slow.requests[0]) * 1_000 + likely_output("Hello") * 10_000),
    }
    assert charge.usd == posted.usd == sum(cost for _, _, cost in costs.values())
    assert (charge.provider, charge.attempts, charge.estimated) == ("quick", 2, True)
    assert posted.calls == 1


@pytest.fixture(params=["normal", "full"])
def ledger(request, tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db", durability=request.param)
    yield ledger
    ledger.close()


SCOPE = Scope(Budget(usd="5", tokens=100_000, name="all"))
REPLY = [Chunk("Hi", finish_reason="stop", usage=Usage(10, 5))]


class Both(Stack):
    """Opens as many attempts as it is told, and gives the reply of the last."""

    count = 2
    first = ()

    async def attempt(self, request):
        *self.first, last = [await super(Both, self).attempt(request) for _ in range(self.count)]
        return last


def test_each_attempt_that_runs_is_held_for_in_full(run, ledger):
    stack = Both(ledger, FakeProvider(REPLY))
    stack.count = 3

    async def main(runtime):
        request = make_request(runtime, SCOPE, max_output_tokens=OUTPUT)
        response = await stack(request)
        held = ledger.balance("all", MONTH).pending
        for each in (*stack.first, response):
            await each.read()
        return request, held

    request, held = run(main)
    tokens = input_tokens_bound(request) + OUTPUT
    assert held == Amounts(3 * (tokens * 1_000 + OUTPUT * 1_000), 3 * tokens, 1)
    assert [attempt.kind for attempt in request.record.attempts] == ["primary", "hedge", "hedge"]
    assert ledger.balance("all", MONTH).posted == Amounts(3 * 20_000, 3 * 15, 1)


@on_a_loop
def test_attempts_that_start_at_once_hold_no_more_than_they_may_cost(run, ledger):
    """A ledger that waits for the disk is asked from a thread, so that all of them wait for it together."""

    class AtOnce(Stack):
        async def attempt(self, request):
            opened = []

            async def one():
                opened.append(await super(AtOnce, self).attempt(request))

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(one)
            held.append(ledger.balance("all", MONTH).pending.usd)
            for each in opened[:-1]:
                await each.read()
            return opened[-1]

    held = []

    async def main(runtime):
        request = make_request(runtime, SCOPE, max_output_tokens=OUTPUT)
        await (await AtOnce(ledger, FakeProvider(REPLY))(request)).read()
        return request

    request = run(main)
    assert held == [3 * (input_tokens_bound(request) * 1_000 + OUTPUT * 2_000)]


def test_a_hedge_is_refused_where_the_limit_on_each_call_covers_one_attempt(run, ledger):
    each = Scope(Budget(tokens=input_tokens_bound(make_request(None)) + OUTPUT, per="call", name="each"))
    model = FakeProvider(REPLY)

    async def main(runtime):
        await Both(ledger, model)(make_request(runtime, each, max_output_tokens=OUTPUT))

    with pytest.raises(BudgetExceeded, match="per call"):
        run(main)
    assert len(model.requests) == 1


def test_what_is_held_beyond_the_attempts_is_spent_by_one_of_them_at_most(run, ledger):
    """The dear model is what was reserved for; both attempts go to the cheap one, which ignores its limit."""
    stack = Both(ledger, FakeProvider([Chunk("Hi", usage=Usage(10, 600)), *REPLY]), candidates=("dear", "cheap"))

    async def main(runtime):
        request = make_request(runtime, Scope(Budget(usd="5", name="all")), max_output_tokens=OUTPUT)
        response = await stack(request)
        held = ledger.balance("all", MONTH).pending.usd
        assert held > 600 * 2_000
        assert held == input_tokens_bound(request) * 10_000 + OUTPUT * 20_000
        assert (await response.__anext__()).text == "Hi"
        with pytest.raises(BudgetExceeded):
            await stack.first[0].__anext__()
        await response.read()

    run(main)


def test_an_attempt_that_still_runs_when_its_call_ends_costs_what_it_may_cost(run, ledger):
    stack = Both(ledger, FakeProvider(REPLY))

    async def main(runtime):
        request = make_request(runtime, SCOPE, max_output_tokens=OUTPUT)
        await (await stack(request)).read()
        charged = ledger.balance("all", MONTH).posted.usd
        await stack.first[0].aclose()
        return request, charged

    request, charged = run(main)
    assert charged == 20_000 + input_tokens_bound(request) * 1_000 + OUTPUT * 2_000
    (entry,) = ledger.entries()
    assert (entry.charge.attempts, entry.charge.estimated) == (2, True)


@on_a_loop
@pytest.mark.parametrize("usd", ["5", "0.0002"])
def test_an_attempt_that_waits_for_the_ledger_when_its_call_ends_costs_nothing_and_is_not_sent(run, ledger, usd):
    """What it asked for may be more than all the limit."""

    class Late(Stack):
        async def attempt(self, request):
            response = await super().attempt(request)
            chunks = await response.read()
            group.start_soon(self.second, request)
            await asked.wait()
            return Response(_Replayed(chunks), runtime=request.runtime, model=response.model)

        async def second(self, request):
            with pytest.raises((BudgetExceeded, LedgerError)):
                await super().attempt(request)

    stack, extend = Late(ledger, FakeProvider(REPLY)), ledger.accounts.extend

    async def main(runtime):
        nonlocal group, asked
        asked, ended = anyio.Event(), anyio.Event()

        async def slowly(*args, **kwargs):
            answer = await extend(*args, **kwargs)
            asked.set()
            await ended.wait()
            return answer

        stack.budget._accounts = Slow(ledger.accounts, slowly)
        async with anyio.create_task_group() as group:
            scope = Scope(Budget(usd=usd, name="all"))
            await (await stack(make_request(runtime, scope, max_output_tokens=OUTPUT))).read()
            ended.set()

    group = asked = None
    run(main)
    assert ledger.balance("all", MONTH).posted == Amounts(20_000, 15, 1)
    assert ledger.balance("all", MONTH).pending == Amounts(0, 0, 0)
    (entry,) = ledger.entries()
    assert (entry.charge.attempts, entry.charge.estimated) == (1, False)
    assert len(stack.model.requests) == 1


def test_an_attempt_that_comes_after_the_end_of_its_call_is_not_sent_though_what_was_held_would_cover_it(run, ledger):
    stack = Stack(ledger, FakeProvider(REPLY))

    async def main(runtime):
        request = make_request(runtime, SCOPE, max_output_tokens=OUTPUT)
        kept = []
        stack.attempt = lambda request: kept.append(request) or Stack.attempt(stack, request)
        response = await stack(request)
        hold = request.record.hold
        await response.read()
        kept[0].record.hold = hold  # as who began before that would have it
        with pytest.raises(LedgerError, match="settled before"):
            await stack.meter(kept[0].replace(max_output_tokens=5), stack.model)

    run(main)
    assert len(stack.model.requests) == 1


class Slow:
    """Accounts whose `extend` is another."""

    def __init__(self, accounts, extend):
        self.accounts = accounts
        self.extend = extend

    def __getattr__(self, name):
        return getattr(self.accounts, name)


def test_an_attempt_that_a_failed_call_left_open_is_paid_for(run, ledger):
    class Careless(Stack):
        async def attempt(self, request):
            self.left = await super().attempt(request)
            raise RuntimeError("a fault of the layer")

    stack = Careless(ledger, FakeProvider(REPLY))

    async def main(runtime):
        request = make_request(runtime, SCOPE, max_output_tokens=OUTPUT)
        with pytest.raises(RuntimeError):
            await stack(request)
        await stack.left.aclose()
        return request

    request = run(main)
    assert ledger.balance("all", MONTH).posted.usd == input_tokens_bound(request) * 1_000 + OUTPUT * 2_000


def test_a_span_of_a_hedge_says_so():
    from inferkit.telemetry import attributes, names

    request = make_request(None)
    assert attributes.attempt_started(request)[names.ATTEMPT_KIND] == "primary"
    request.record.running[object()] = (0, 0)
    assert attributes.attempt_started(request)[names.ATTEMPT_KIND] == "hedge"
