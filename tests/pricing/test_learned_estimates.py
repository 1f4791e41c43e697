"""A client that learns what its prompts take holds less for them, and books what they cost all the same."""

from __future__ import annotations

from decimal import Decimal

import pytest

from inferkit import (
    AuthenticationFailed,
    Budget,
    BudgetExceeded,
    Chunk,
    Insert,
    Message,
    Price,
    Response,
    SqliteLedger,
    Unavailable,
    Usage,
)

ENGLISH = "A word is four bytes, or so. "
DIGITS = "3141592653"
EACH = Budget(usd="0.01", per="call", name="each")  # 10,000 tokens of input
LONG = ENGLISH * 700  # 20,300 bytes


class Tokenizer:
    """A model that counts a token for four characters and for each digit, and says "x"."""

    def __init__(self):
        self.reported = []
        self.failure = None
        self.failing = None  # the model that fails, if it is not all of them

    async def __call__(self, request):
        if self.failure and self.failing in (None, request.model):
            raise self.failure
        text = "".join(message.text for message in request.messages)
        digits = sum(map(str.isdigit, text))
        tokens = 8 + digits + (len(text) - digits) // 4
        self.reported.append(tokens)
        return Response.of([Chunk("x", finish_reason="stop", usage=Usage(tokens, 1))], runtime=request.runtime)


class Client:
    """A client of a Tokenizer, and the records of its calls."""

    def __init__(self, world, ledger, estimates=None, models=None, layers=()):
        self.model = Tokenizer()
        self.records = []
        settings = {} if estimates is None else {"estimates": estimates}
        self.llm = world.client(
            providers={"fake": self.model},
            models=models or {"any": "fake:m"},
            prices={"fake:*": Price(input="1", output="0")},
            ledger=ledger,
            layers=[self._note, *layers],
            **settings,
        )

    async def _note(self, request, call_next):
        self.records.append(request.record)
        return await call_next(request)

    async def ask(self, text, budget=EACH, model="any"):
        return await self.llm.complete(model, text, budget=budget, max_output_tokens=100)

    async def learn(self, model="any", text=ENGLISH):
        for number in range(8):
            await self.ask(text * (20 + number), Budget(usd="100", per="total", name="lessons"), model)

    @property
    def estimate(self):
        return self.records[-1].events[0].attributes["estimate_nanos"] // 1_000  # tokens, at a dollar a million


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def test_a_long_prompt_passes_once_its_kind_is_known(world, ledger):
    async def body(world):
        client = Client(world, ledger, "learned")
        with pytest.raises(BudgetExceeded):
            await client.ask(LONG)
        await client.learn()
        reply = await client.ask(LONG)
        await client.llm.aclose()
        assert reply.text == "x"
        assert client.model.reported[-1] < client.estimate < len(LONG) / 2.5
        assert client.model.reported[-1] * 1_000 == reply.cost * 10**9

    world.run(body)


@pytest.mark.parametrize("estimates", [None, "strict"])
def test_by_default_nothing_is_learned(world, ledger, estimates):
    async def body(world):
        client = Client(world, ledger, estimates)
        await client.learn()
        with pytest.raises(BudgetExceeded):
            await client.ask(LONG)
        await client.ask("hello", Budget(usd="1", name="all"))
        await client.llm.aclose()
        assert client.estimate == 64 + 16 + 8 + len("hello")

    world.run(body)


def test_another_client_starts_from_the_strict_bound(world, ledger):
    async def body(world):
        client, other = Client(world, ledger, "learned"), Client(world, ledger, "learned")
        await client.learn()
        with pytest.raises(BudgetExceeded):
            await other.ask(LONG)
        await client.llm.aclose()
        await other.llm.aclose()

    world.run(body)


def test_a_prompt_that_is_denser_than_any_before_is_booked_at_what_it_cost(world, ledger):
    async def body(world):
        budget = Budget(usd="0.002", per="total", name="all")  # 2,000 tokens
        client = Client(world, ledger, "learned")
        await client.learn()
        reply = await client.ask(DIGITS * 250, budget)
        assert client.estimate < 1_000
        assert client.model.reported[-1] == 8 + 2_500
        assert reply.cost == Decimal("0.002508")
        assert budget.usage(ledger=ledger)[:4] == (reply.cost, 2_509, 1, 0)
        with pytest.raises(BudgetExceeded):
            await client.ask("hello", budget)
        await client.llm.aclose()

    world.run(body)


def test_after_a_dense_prompt_the_next_one_is_expected_to_be_as_dense(world, ledger):
    async def body(world):
        client = Client(world, ledger, "learned")
        await client.learn()
        await client.ask(DIGITS * 250)
        await client.ask(DIGITS * 250)
        await client.llm.aclose()
        assert client.model.reported[-1] <= client.estimate

    world.run(body)


def test_a_candidate_that_is_not_known_yet_counts_with_its_strict_bound(world, ledger):
    async def body(world):
        client = Client(world, ledger, "learned", {"any": ["fake:m", "fake:spare"]})
        await client.learn("fake:m")
        assert (await client.ask(LONG)).model == "m"
        client.model.failure, client.model.failing = AuthenticationFailed("no", provider="fake", status=403), "m"
        with pytest.raises(BudgetExceeded):
            await client.ask(LONG)
        await client.learn("fake:spare")
        assert (await client.ask(LONG)).model == "spare"
        await client.llm.aclose()

    world.run(body)


def test_an_attempt_that_failed_after_it_was_sent_is_charged_what_its_model_likely_took(world, ledger):
    async def body(world):
        client = Client(world, ledger, "learned", {"any": ["fake:m", "fake:spare"]})
        await client.learn("fake:m")
        client.model.failure = Unavailable("connection reset", provider="fake")
        budget = Budget(usd="1", per="total", name="all")
        with pytest.raises(Unavailable):
            await client.ask(LONG, budget)
        await client.llm.aclose()
        inputs = [attempt.usage.input_tokens for attempt in client.records[-1].attempts]
        assert all(len(LONG) / 5 < tokens < len(LONG) / 2.5 for tokens in inputs)

    world.run(body)


def test_a_call_that_was_granted_does_not_fail_over_what_others_taught_meanwhile(world, ledger):
    async def body(world):
        async def teach(request, call_next):
            if len(client.records) == 9:  # after the lessons
                meter = getattr(client.llm, "inner", client.llm).layers[-1]
                for _ in range(8):
                    meter.learned.learn(request, 2 * len(LONG))  # as calls of other threads do
            return await call_next(request)

        client = Client(world, ledger, "learned", layers=[Insert(teach, before="meter")])
        await client.learn()
        assert (await client.ask(LONG)).text == "x"
        with pytest.raises(BudgetExceeded):
            await client.ask(LONG)
        await client.llm.aclose()

    world.run(body)


def test_a_prompt_that_a_layer_made_longer_is_estimated_anew(world, ledger):
    async def body(world):
        async def lengthen(request, call_next):
            return await call_next(request.replace(messages=(*request.messages, Message.assistant(ENGLISH * 10))))

        client = Client(world, ledger, "learned", layers=[Insert(lengthen, before="meter")])
        await client.learn()
        budget = Budget(usd="1", per="total", name="all")
        async with client.llm.stream("any", LONG, budget=budget, max_output_tokens=100) as stream:
            held = [budget.usage(ledger=ledger).held_usd async for _ in stream]
        await client.llm.aclose()
        assert client.estimate * 1_000 < held[0] * 10**9 < len(LONG) / 2.5 * 1_000

    world.run(body)
