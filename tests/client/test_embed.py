"""`embed`: a vector for each text, through the whole stack, in as few requests as there have to be."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
from decimal import Decimal

import numpy as np
import pytest

from embedding_wire import packed
from inferkit import (
    AuthenticationFailed,
    Budget,
    BudgetExceeded,
    Cache,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    Insert,
    InvalidRequest,
    NoRoute,
    Plan,
    Price,
    RateLimited,
    SqliteLedger,
    Unavailable,
    UnpricedModel,
    Usage,
    budgeted,
)
from inferkit.caching.disk import DiskTier
from inferkit.caching.memory import MemoryTier
from inferkit.core.embeddings import VectorPart, vectors_chunk
from inferkit.testing import FakeProvider
from layers.test_trace import Recorded
from worlds import Signal, world_on_a_loop

PRICE = Price("1", "0")
TEXTS = [f"text number {place}" for place in range(7)]


def settings(provider, **others):
    return {"providers": {"fake": provider}, "models": {"docs": "fake:m"}, "prices": {"fake:m": PRICE}, **others}


def sent(provider):
    """The texts of each request that a provider got."""
    return [[message.text for message in request.messages] for request in provider.requests]


def alone(texts):
    """What the provider gives for texts that are asked for one by one."""
    with Client(**settings(FakeProvider()), ledger=False, cache=False) as llm:
        return np.stack([llm.embed("docs", text).vector for text in texts])


class Crowded(FakeProvider):
    """Answers nobody before so many requests are there at once."""

    def __init__(self, together, **settings):
        super().__init__(**settings)
        self.together, self.running, self.most = together, 0, 0
        self._guard, self._all_there = threading.Lock(), Signal()

    async def __call__(self, request):
        with self._guard:
            self.running += 1
            self.most = max(self.most, self.running)
            full = self.running >= self.together
        if full:
            self._all_there.set()
        try:
            await self._all_there.wait()
            return await super().__call__(request)
        finally:
            with self._guard:
                self.running -= 1


def refused():
    return AuthenticationFailed("no", provider="fake", status=401)


def failing_at(text, error):
    """A script that fails for the request that has a text."""
    return lambda request: error() if text in [message.text for message in request.messages] else "ok"


def test_many_texts_get_their_vectors_in_their_order_in_as_few_requests_as_the_server_takes(world):
    async def body(world):
        provider = FakeProvider(batch=3)
        async with world.client(**settings(provider)) as llm:
            found = await llm.embed("docs", TEXTS)
        return provider, found

    provider, found = world.run(body)
    assert sorted(sent(provider)) == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]
    assert found.vectors.dtype == np.float32
    assert found.vectors.shape == (7, 8)
    assert np.array_equal(found.vectors, alone(TEXTS))
    assert (found.requests, found.cached, found.cache, found.dimensions) == (3, 0, None, 8)
    assert found.usage == Usage(21, details=found.usage.details)
    assert found.cost == Decimal("0.000021")
    assert (found.provider, found.model) == ("fake", "m")
    assert len(found.attempts) == 3


def test_an_embedding_is_a_sequence_of_its_vectors():
    with Client(**settings(FakeProvider()), ledger=False, cache=False) as llm:
        found = llm.embed("docs", TEXTS[:3])
        one = llm.embed("docs", TEXTS[1])
    assert len(found) == 3
    assert np.array_equal(found[1], one.vector)
    assert np.array_equal(found[1:], found.vectors[1:])
    assert [len(vector) for vector in found] == [8, 8, 8]
    assert found.tolist() == found.vectors.tolist()
    found.vectors[0] *= 2  # it is the caller's own
    with pytest.raises(ConfigurationError, match="there are 3 vectors"):
        _ = found.vector


def test_a_repr_shows_no_text_and_no_number_of_a_vector():
    with Client(**settings(FakeProvider()), ledger=False, cache=False) as llm:
        shown = repr(llm.embed("docs", ["a secret"]))
    assert shown == (
        "Embeddings(1 of 8 dimensions, model='m', provider='fake', input_tokens=2, cost=Decimal('0.000002'), cached=0)"
    )


def test_without_numpy_vectors_are_lists_of_floats(tmp_path):
    """In a process of its own, where nobody can import it."""
    program = """
import sys
sys.modules["numpy"] = None
from inferkit import BudgetExceeded, Client, Unavailable
from inferkit.testing import FakeProvider
down = Unavailable("x", provider="fake", retryable=False)
fake = FakeProvider(lambda request: down if len(fake.requests) > 2 else "", batch=1)
with Client(providers={"fake": fake}, ledger=False, cache=False) as llm:
    found = llm.embed("fake:m", ["one", "two", "one"])
    assert type(found.vectors) is list and found[0] == found[2] != found[1], found.vectors
    assert all(type(value) is float for vector in found for value in vector)
    assert found.tolist() == found.vectors and found.dimensions == 8
    assert llm.embed("fake:m", []).vectors == []
    fake.requests.clear()
    try:
        llm.embed("fake:m", ["one", "two", "three"], concurrency=1)
    except Unavailable as error:
        assert error.embedded == {0: found[0], 1: found[1]}
        print("done")
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_equal_texts_are_asked_for_once():
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False, cache=False) as llm:
        found = llm.embed("docs", ["a", "b", "a", "c", "b"])
    assert sent(provider) == [["a", "b", "c"]]
    assert np.array_equal(found.vectors, alone(["a", "b", "a", "c", "b"]))
    assert found.usage.input_tokens == 3


def test_no_texts_are_no_call():
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False) as llm:
        found = llm.embed("docs", [])
    assert provider.requests == []
    assert found.vectors.shape == (0, 0)
    assert (len(found), found.dimensions, found.cost, found.requests) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["a", ""], "text 1 is empty"),
        ("", "text 0 is empty"),
        (["a", 5], "text 1 is a int"),
        (["a", None], "text 1 is a NoneType"),
        (5, "texts are a text or a list of texts; got int"),
        (b"bytes", "got bytes"),
        ({"a": 1}, "got dict"),
        ({"a"}, "got set"),
    ],
)
def test_what_is_no_text_is_told_by_its_place_and_not_quoted(texts, says):
    with Client(**settings(FakeProvider()), ledger=False) as llm, pytest.raises(ConfigurationError, match=says):
        llm.embed("docs", texts)


def test_any_iterable_of_texts_will_do():
    with Client(**settings(FakeProvider()), ledger=False, cache=False) as llm:
        assert len(llm.embed("docs", (text for text in TEXTS))) == 7
        assert len(llm.embed("docs", tuple(TEXTS))) == 7


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dimensions": 0}, "dimensions is a whole number from 1"),
        ({"concurrency": 0}, "concurrency is a whole number from 1"),
        ({"task": ""}, "task is a text"),
        ({"temperature": 1}, "temperature is for replies; an embedding has none"),
        ({"dimension": 1}, r"unknown option dimension \(did you mean dimensions\?\)"),
    ],
)
def test_options_that_make_no_sense_are_explained(options, says):
    with Client(**settings(FakeProvider()), ledger=False) as llm, pytest.raises(ConfigurationError, match=says):
        llm.embed("docs", ["a"], **options)


def test_the_model_comes_first():
    with Client(**settings(FakeProvider()), ledger=False) as llm:
        for model in (None, "", ["a", "b"]):
            with pytest.raises(ConfigurationError, match="pass the model first and the texts second"):
                llm.embed(model, ["a"])
        with pytest.raises(NoRoute):
            llm.embed("nowhere", ["a"])


def test_dimensions_and_task_reach_the_provider():
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False) as llm:
        found = llm.embed("docs", ["a"], dimensions=5, task="query", user="ana", extra={"user": "u"})
    (request,) = provider.requests
    assert (request.operation, request.dimensions, request.task, request.extra) == ("embed", 5, "query", {"user": "u"})
    assert (request.stream, request.user) == (False, "ana")
    assert found.dimensions == 5


def test_so_many_requests_are_under_way_at_once_and_no_more(world):
    async def body(world):
        provider = Crowded(2, batch=1)
        async with world.client(**settings(provider)) as llm:
            found = await llm.embed("docs", TEXTS, concurrency=2)
        return provider, found

    provider, found = world.run(body)
    assert provider.most == 2
    assert np.array_equal(found.vectors, alone(TEXTS))


def test_four_requests_are_under_way_at_once_where_nothing_else_is_said(world):
    async def body(world):
        provider = Crowded(4, batch=1)
        async with world.client(**settings(provider)) as llm:
            await llm.embed("docs", TEXTS)
        return provider

    assert world.run(body).most == 4


def test_a_request_that_fails_for_now_is_tried_again_alone(world):
    def script(request):
        texts = [message.text for message in request.messages]
        if TEXTS[3] in texts and request.attempt == 1:
            return RateLimited("slow down", provider="fake", status=429, retry_after=0.001)
        return "ok"

    async def body(world):
        provider = FakeProvider(script, batch=3)
        async with world.client(**settings(provider)) as llm:
            found = await llm.embed("docs", TEXTS)
        return provider, found

    provider, found = world.run(body)
    assert sorted(sent(provider)) == [TEXTS[:3], TEXTS[3:6], TEXTS[3:6], TEXTS[6:]]
    assert np.array_equal(found.vectors, alone(TEXTS))
    assert sorted(attempt.kind for attempt in found.attempts) == ["primary"] * 3 + ["retry"]
    assert (found.requests, found.usage.input_tokens) == (3, 21)


def test_all_requests_of_a_call_keep_its_one_deadline(world):
    async def body(world):
        provider = FakeProvider(batch=1)
        async with world.client(**settings(provider)) as llm:
            await llm.embed("docs", TEXTS, timeout=60)
            await llm.embed("docs", TEXTS[:1], timeout=60)
        return provider

    first = {request.deadline for request in world.run(body).requests[:7]}
    assert len(first) == 1
    assert None not in first


def test_a_call_that_has_no_time_left_says_so(world):
    async def body(world):
        async with world.client(**settings(FakeProvider(batch=1))) as llm:
            with pytest.raises(DeadlineExceeded):
                await llm.embed("docs", TEXTS, timeout=1e-9)

    world.run(body)


def test_what_came_before_a_failure_is_on_the_error_and_nothing_else_is_sent(world):
    async def body(world):
        provider = FakeProvider(failing_at(TEXTS[2], refused), batch=1)
        async with world.client(**settings(provider)) as llm:
            with pytest.raises(AuthenticationFailed) as caught:
                await llm.embed("docs", [TEXTS[0], TEXTS[1], TEXTS[0], *TEXTS[2:]], concurrency=1)
        return provider, caught.value

    provider, error = world.run(body)
    assert sent(provider) == [[text] for text in TEXTS[:3]]
    assert error.embedded.keys() == {0, 1, 2}
    assert np.array_equal(np.stack(list(error.embedded.values())), alone([TEXTS[0], TEXTS[1], TEXTS[0]]))
    assert str(error) == "no; 3 of 8 texts have their vectors: .embedded"
    assert len(error.attempts) == 3
    assert error.request_id


def test_a_call_that_fails_with_nothing_done_says_nothing_of_vectors():
    provider = FakeProvider(InvalidRequest("no", provider="fake", status=400), batch=1)
    with Client(**settings(provider), ledger=False) as llm:
        for texts in (TEXTS, TEXTS[:1]):
            with pytest.raises(InvalidRequest, match="^no$") as caught:
                llm.embed("docs", texts)
            assert caught.value.embedded == {}


@world_on_a_loop
def test_a_call_that_is_cancelled_leaves_no_request_under_way(world):
    import anyio.lowlevel

    async def body(world):
        provider = Crowded(99, batch=1)
        async with world.client(**settings(provider)) as llm, anyio.create_task_group() as group:
            group.start_soon(llm.embed, "docs", TEXTS)
            while provider.running < 4:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()  # so that a fifth one would be there too
            group.cancel_scope.cancel()
        return provider

    provider = world.run(body)
    assert (provider.most, provider.running, provider.open_streams) == (4, 0, 0)


def test_vectors_of_two_models_are_never_mixed():
    one, other = FakeProvider(name="one"), FakeProvider(name="other")
    providers = {"one": one, "other": other}
    models = {
        "mixed": ["one:small", "other:large"],
        "same": ["one:vendor/Small", "other:small"],
        "part": ["one:small", "local"],
    }
    with Client(providers=providers, models=models, ledger=False) as llm:
        with pytest.raises(ConfigurationError, match="vectors of different models cannot be compared.*one:small"):
            llm.embed("mixed", ["a"])
        with pytest.raises(ConfigurationError, match="vectors of different models cannot be compared.*local"):
            llm.embed("part", ["a"])
        assert llm.embed("same", ["a"]).provider == "one"
    assert len(one.requests) == 1
    assert other.requests == []


def test_another_server_of_the_same_model_stands_in(world):
    async def body(world):
        down, up = FakeProvider(Unavailable("down", provider="a", retryable=False)), FakeProvider()
        async with world.client(providers={"a": down, "b": up}, models={"docs": ["a:m", "b:m"]}) as llm:
            return await llm.embed("docs", TEXTS)

    found = world.run(body)
    assert (found.provider, [attempt.kind for attempt in found.attempts]) == ("b", ["primary", "fallback"])


def test_the_server_that_takes_least_in_one_request_says_how_much_that_is():
    one, other = FakeProvider(batch=5), FakeProvider(batch=2)
    with Client(providers={"a": one, "b": other}, models={"docs": ["a:m", "b:m"]}, ledger=False) as llm:
        llm.embed("docs", TEXTS)
    assert sorted(len(request.messages) for request in one.requests) == [1, 2, 2, 2]  # side by side


def test_a_model_that_gives_no_embeddings_is_named(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "k")
    with Client(ledger=False, cache=False) as llm:
        with pytest.raises(ConfigurationError, match="groq:llama gives no embeddings"):
            llm.embed("groq:llama", ["a"])
        with pytest.raises(InvalidRequest, match=r"the engine ctransformers gives no embeddings.*inferkit\[llama\]"):
            llm.embed("local", ["a"])


# The cache


def cached(tmp_path, kind):
    return Cache(MemoryTier()) if kind == "memory" else Cache(DiskTier(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_only_texts_that_are_not_cached_are_asked_for(world, tmp_path, kind):
    async def body(world):
        provider = FakeProvider(batch=2)
        async with world.client(**settings(provider), cache=cached(tmp_path, kind)) as llm:
            first = await llm.embed("docs", TEXTS[:3])
            provider.requests.clear()
            second = await llm.embed("docs", [TEXTS[5], *TEXTS[:3], TEXTS[6], TEXTS[4]])
            asked = sorted(sent(provider))
            provider.requests.clear()
            third = await llm.embed("docs", TEXTS[:3])
        return provider, first, second, asked, third

    provider, first, second, asked, third = world.run(body)
    assert (first.cache, first.cached) == ("miss", 0)
    assert asked == sorted([[TEXTS[5], TEXTS[6]], [TEXTS[4]]])
    assert np.array_equal(second.vectors, alone([TEXTS[5], *TEXTS[:3], TEXTS[6], TEXTS[4]]))
    assert (second.cache, second.cached, second.requests) == ("partial", 3, 2)
    assert second.usage.input_tokens == 9
    assert provider.requests == []
    assert np.array_equal(third.vectors, first.vectors)
    assert (third.cache, third.cached, third.requests, third.cost, third.usage) == ("hit", 3, 0, 0, Usage())
    assert second.saved == third.saved == first.cost
    assert (third.model, third.provider) == ("m", "fake")


def test_many_texts_are_kept_and_found(tmp_path):
    texts = [f"text {place}" for place in range(150)]
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier(), DiskTier(tmp_path))) as llm:
        first = llm.embed("docs", texts)
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier(), DiskTier(tmp_path))) as llm:
        again = llm.embed("docs", texts)
    assert len(provider.requests) == 1
    assert again.cached == 150
    assert np.array_equal(again.vectors, first.vectors)


def test_what_changes_a_vector_changes_what_is_found():
    provider = FakeProvider()
    asked = [{}, {"dimensions": 4}, {"task": "query"}, {"task": "document"}, {"tenant": "acme"}, {"extra": {"a": 1}}]
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier())) as llm:
        for options in [*asked, *asked]:
            llm.embed("docs", ["a"], **options)
        assert len(provider.requests) == len(asked)
        provider.fingerprint = "another key"
        llm.embed("docs", ["a"])
        llm.embed("fake:other", ["a"])
        assert len(provider.requests) == len(asked) + 2
        llm.complete("docs", "a")
        assert len(provider.requests) == len(asked) + 3


def test_who_pays_and_how_many_at_once_change_nothing():
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier())) as llm:
        for options in ({}, {"user": "ana"}, {"feature": "search"}, {"concurrency": 1}, {"timeout": 9}):
            llm.embed("docs", ["a"], **options)
    assert len(provider.requests) == 1


def test_the_cache_is_bypassed_or_written_anew_where_that_is_asked_for():
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier())) as llm:
        assert llm.embed("docs", ["a"], cache="bypass").cache == "bypass"
        assert llm.embed("docs", ["a"]).cache == "miss"
        assert llm.embed("docs", ["a"], cache="refresh").cache == "miss"
        assert llm.embed("docs", ["a"]).cache == "hit"
        with pytest.raises(InvalidRequest, match="gives no embeddings"):
            llm.embed("local", ["a"], cache="bypass")
    assert len(provider.requests) == 3


def test_a_request_that_has_no_key_is_sent():
    provider = FakeProvider()
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier())) as llm:
        for _ in range(2):
            assert llm.embed("docs", ["a"], extra={"odd": object()}).cache == "bypass"
    assert len(provider.requests) == 2


def test_what_came_before_a_failure_is_kept_in_the_cache():
    provider = FakeProvider(failing_at(TEXTS[2], refused), batch=1)
    with Client(**settings(provider), ledger=False, cache=Cache(MemoryTier())) as llm:
        with pytest.raises(AuthenticationFailed):
            llm.embed("docs", TEXTS[:4], concurrency=1)
        with pytest.raises(AuthenticationFailed) as caught:
            llm.embed("docs", [TEXTS[0], *TEXTS[2:]], concurrency=1)
    assert sent(provider) == [[TEXTS[0]], [TEXTS[1]], [TEXTS[2]], [TEXTS[2]]]
    assert caught.value.embedded.keys() == {0}


def test_an_entry_that_holds_no_vector_is_none():
    class Confused(MemoryTier):
        async def get(self, runtime, key, /):
            entry = await super().get(runtime, key)
            return entry and type(entry)((), stored_at=entry.stored_at)

    provider = FakeProvider()
    with Client(**settings(provider), ledger=False, cache=Cache(Confused())) as llm:
        assert [llm.embed("docs", ["a"]).cache for _ in range(2)] == ["miss", "miss"]


def test_a_tier_that_fails_is_passed_by(caplog):
    class Broken(MemoryTier):
        async def get(self, *_, **__):
            raise OSError

        async def put(self, *_, **__):
            raise OSError

    with Client(**settings(FakeProvider()), ledger=False, cache=Cache(Broken())) as llm:
        assert llm.embed("docs", ["a"]).cache == "miss"
    assert "it is passed by" in caplog.text


# Money


@pytest.fixture
def ledger(tmp_path):
    with contextlib.closing(SqliteLedger(tmp_path / "ledger.db")) as made:
        yield made


def booked(ledger):
    return [(entry.charge.usd, entry.charge.input_tokens, entry.charge.operation) for entry in ledger.entries()]


def test_each_request_is_booked_by_itself_under_the_name_of_its_call(world, ledger):
    async def body(world):
        async with world.client(**settings(FakeProvider(batch=3)), ledger=ledger) as llm:
            return await llm.embed("docs", TEXTS, user="ana", feature="search"), await llm.embed("docs", TEXTS[:1])

    many, one = world.run(body)
    entries = {entry.call: entry.charge for entry in ledger.entries()}
    assert entries.keys() == {f"{many.id}-1", f"{many.id}-2", f"{many.id}-3", one.id}
    assert sorted(booked(ledger)) == [(3000, 3, "embed"), (3000, 3, "embed"), (9000, 9, "embed"), (9000, 9, "embed")]
    for call in entries.keys() - {one.id}:
        charge = entries[call]
        assert (charge.attribution.user, charge.attribution.feature, charge.asked) == ("ana", "search", "docs")
        assert (charge.output_tokens, charge.estimated, charge.outcome) == (0, False, "completed")


def test_a_reply_is_booked_as_chat(ledger):
    with Client(**settings(FakeProvider("Hi")), ledger=ledger) as llm:
        llm.complete("docs", "Hello")
    assert booked(ledger)[0][2] == "chat"


def test_a_request_is_held_for_by_its_input_alone(world, ledger):
    held = []

    async def body(world):
        def script(request):
            hold = request.record.hold
            held.append((hold.held.usd, hold.held.tokens, len(request.messages), request.max_output_tokens))
            return "ok"

        budget = Budget(usd="1", per="month", name="all")
        prices = {"fake:m": Price("1", "1000")}
        async with world.client(
            **{**settings(FakeProvider(script)), "prices": prices}, ledger=ledger, budget=budget
        ) as llm:
            await llm.embed("docs", TEXTS)

    world.run(body)
    bound = 64 + 7 * (16 + 8 + 13)
    assert held == [(bound * 1000, bound, 7, 0)]


def test_a_budget_that_runs_out_in_the_middle_leaves_what_was_done_booked_and_on_the_error(world, ledger):
    budget = Budget(usd="0.000180", per="month", name="all")  # holds of 64 + 16 + 8 + 13 tokens, a third of that spent

    async def body(world):
        provider = FakeProvider(batch=1)
        async with world.client(**settings(provider), ledger=ledger, budget=budget) as llm:
            with pytest.raises(BudgetExceeded) as caught:
                await llm.embed("docs", [f"{text} a b c d e f g h i j k l" for text in TEXTS], concurrency=1)
        return provider, caught.value

    provider, error = world.run(body)
    done = len(provider.requests)
    assert 0 < done < 7
    assert error.embedded.keys() == set(range(done))
    assert booked(ledger) == [(15_000, 15, "embed")] * done
    assert f"{done} of 7 texts have their vectors" in str(error)
    balance = ledger.accounts
    assert error.spent == Decimal("0.000015") * done
    assert balance is not None


def test_a_budget_for_each_call_is_held_to_by_all_its_requests_together(world, ledger):
    budget = Budget(tokens=400, per="call", name="each")  # one request may come to 101 tokens

    async def body(world):
        provider = FakeProvider(batch=1)
        async with world.client(**settings(provider), ledger=ledger, budget=budget) as llm:
            await llm.embed("docs", TEXTS[:3])
            with pytest.raises(BudgetExceeded, match="each of 400 tokens") as caught:
                await llm.embed("docs", TEXTS)
        return provider, caught.value

    provider, error = world.run(body)
    assert len(provider.requests) == 3
    assert (error.unit, error.limit, error.scope) == ("tokens", 400, "each")


def test_a_budget_of_money_for_each_call_is_too(ledger):
    provider = FakeProvider(batch=1)
    budget = Budget(usd="0.0004", per="call", name="each")
    with Client(**settings(provider), ledger=ledger, cache=False) as llm:
        llm.embed("docs", TEXTS[:3], budget=budget)
        with pytest.raises(BudgetExceeded, match="each of"):
            llm.embed("docs", TEXTS, budget=budget)
        llm.embed("docs", TEXTS, budget=Budget(calls=9, per="call", name="calls"))
    assert len(provider.requests) == 10


def test_no_budget_takes_texts_to_a_smaller_model(ledger):
    provider = FakeProvider()
    budget = Budget(usd="0.00001", per="month", name="all", on_exceed="degrade", degrade_to="small")
    models = {"docs": "fake:m", "small": "fake:s"}
    free = {"fake:m": PRICE, "fake:s": Price(0, 0)}
    with Client(providers={"fake": provider}, models=models, prices=free, ledger=ledger, budget=budget) as llm:
        with pytest.raises(BudgetExceeded):
            llm.embed("docs", TEXTS)
        assert llm.complete("docs", "Hi").degraded
    assert [request.model for request in provider.requests] == ["s"]


def test_a_budgeted_function_pays_for_its_embeddings(ledger):
    with Client(**settings(FakeProvider(batch=3)), ledger=ledger, cache=False) as llm:

        @budgeted(calls=3, per="month", key="user", name="search")
        def index(user):
            return llm.embed("docs", TEXTS)

        index("ana")
        with pytest.raises(BudgetExceeded, match="search:ana"):
            index("ana")
        index("ben")
    assert len(booked(ledger)) == 6
    assert {entry.charge.attribution.user for entry in ledger.entries()} == {"ana", "ben"}


def test_a_plan_pays_too(ledger):
    plan = Plan("pro", price="10", allowance=Budget(usd="1", per="month"))
    with Client(**settings(FakeProvider(batch=3)), ledger=ledger, plans=[plan], default_plan="pro") as llm:
        llm.embed("docs", TEXTS, user="ana")
    assert {entry.charge.attribution.plan for entry in ledger.entries()} == {"pro"}


def test_a_usage_that_is_missing_is_estimated_and_marked_so(ledger):
    texts = ["Where is my parcel? It was sent on Monday, and has not come yet.", "Thanks a lot!"] * 20
    texts = [f"{text} {place}" for place, text in enumerate(texts)]
    vectors = vectors_chunk(VectorPart(place, packed(1.0)) for place in range(len(texts)))
    with Client(**settings(FakeProvider([vectors])), ledger=ledger) as llm:
        found = llm.embed("docs", texts)
    assert found.usage.estimated
    written = sum(math.ceil(len(text.replace("?", " ?").split()) * 1.25) for text in texts)  # about
    assert 0.8 * written <= found.usage.input_tokens <= 1.6 * written
    (entry,) = ledger.entries()
    assert entry.charge.estimated
    assert entry.charge.output_tokens == 0


def test_a_request_that_broke_off_is_booked_as_an_estimate_of_its_input(ledger):
    broken = Unavailable("cut", provider="fake", retryable=False)
    with Client(**settings(FakeProvider(broken)), ledger=ledger) as llm, pytest.raises(Unavailable):
        llm.embed("docs", TEXTS)
    (entry,) = ledger.entries()
    assert entry.charge.input_tokens > 0
    assert entry.charge.output_tokens == 0
    assert entry.charge.estimated


def test_listed_models_have_their_price_and_others_are_refused_under_a_budget(ledger):
    provider = FakeProvider()
    budget = Budget(usd="1", per="month", name="all")
    with Client(providers={"openai": provider, "gemini": provider}, ledger=ledger, budget=budget, cache=False) as llm:
        assert llm.embed("openai:text-embedding-3-small", ["a b"] * 1).cost == Decimal("0.00000004")
        assert llm.embed("gemini:gemini-embedding-001", ["a b"]).cost == Decimal("0.0000003")
        with pytest.raises(UnpricedModel, match="openai:unheard-of"):
            llm.embed("openai:unheard-of", ["a"])
        with pytest.raises(UnpricedModel, match="openai:text-embedding-3-small"):
            llm.complete("openai:text-embedding-3-small", "Hi")  # what it would write has no price
    with Client(providers={"openai": provider}, ledger=False, cache=False) as llm:
        assert llm.embed("openai:unheard-of", ["a"]).cost is None
    with Client(providers={"openai": provider}, ledger=False, cache=False, on_unpriced=Price("3", "9")) as llm:
        assert llm.embed("openai:unheard-of", ["a"]).cost == Decimal("0.000003")


def test_what_extra_moves_of_the_cost_is_refused_under_a_budget(ledger):
    budget = Budget(usd="1", per="month", name="all")
    with Client(**settings(FakeProvider()), ledger=ledger, budget=budget) as llm:
        llm.embed("docs", ["a"], extra={"user": "u"})
        with pytest.raises(ConfigurationError, match="nobody has said whether 'depth' moves its cost"):
            llm.embed("docs", ["a"], extra={"depth": 3})


# Traces


def test_a_call_has_one_span_and_each_request_its_own(world):
    recorded = Recorded()

    async def body(world):
        provider = FakeProvider(batch=3)
        async with world.client(**settings(provider), telemetry=recorded.telemetry, cache=Cache(MemoryTier())) as llm:
            await llm.embed("docs", TEXTS[:1])
            return await llm.embed("docs", TEXTS)

    found = world.run(body)
    _, call = recorded.named("inferkit.call")
    _, *attempts = recorded.named("embeddings m")
    assert len(attempts) == 2
    assert found.trace_id == format(call.context.trace_id, "032x")
    for span in attempts:
        assert span.parent.span_id == call.context.span_id
        facts = span.attributes
        assert facts["gen_ai.operation.name"] == "embeddings"
        assert facts["gen_ai.embeddings.dimension.count"] == 8
        assert facts["gen_ai.usage.input_tokens"] == 9
        assert not {"gen_ai.usage.output_tokens", "gen_ai.request.max_tokens", "gen_ai.request.stream"} & facts.keys()
    assert call.attributes["inferkit.cache.result"] == "partial"
    assert call.attributes["inferkit.usage.input_tokens"] == 18
    (event,) = [event for event in call.events if event.name == "cache"]
    assert (event.attributes["texts"], event.attributes["known"]) == (7, 1)
    for span in recorded.collector.spans:
        assert "text number" not in repr(span.attributes) + repr([event.attributes for event in span.events])
    metrics = recorded.metrics()
    kinds = {point.attributes["gen_ai.token.type"] for point in metrics["gen_ai.client.token.usage"]}
    operations = {point.attributes["gen_ai.operation.name"] for point in metrics["gen_ai.client.operation.duration"]}
    assert (kinds, operations) == ({"input"}, {"embeddings"})


def test_dimensions_that_were_asked_for_are_on_the_span_of_a_request_that_failed():
    recorded = Recorded()
    provider = FakeProvider(InvalidRequest("no", provider="fake", status=400))
    with Client(**settings(provider), telemetry=recorded.telemetry, ledger=False) as llm, pytest.raises(InvalidRequest):
        llm.embed("docs", ["a"], dimensions=4)
    (span,) = recorded.named("embeddings m")
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 4


# Layers and adapters of one's own


def test_layers_of_one_s_own_see_the_call_once_and_each_request_where_they_ask_for_it(world):
    seen = []

    def watch(name):
        async def layer(request, call_next):
            seen.append((name, len(request.messages)))
            return await call_next(request)

        return layer

    async def body(world):
        places = [watch("call"), *[Insert(watch(role), before=role) for role in ("budget", "retry")]]
        async with world.client(**settings(FakeProvider(batch=4)), layers=places) as llm:
            await llm.embed("docs", TEXTS, concurrency=1)

    world.run(body)
    assert seen == [("call", 7), ("budget", 7), ("retry", 4), ("retry", 3)]


def test_an_adapter_that_gives_too_little_or_mixes_dimensions_is_told(world):
    def gives(*vectors):
        return FakeProvider([vectors_chunk(VectorPart(place, data) for place, data in enumerate(vectors))])

    async def body(world):
        for provider, says in (
            (gives(packed(1.0)), "no vector came for 1 texts"),
            (gives(packed(1.0), packed(1.0, 2.0)), "vectors of different dimensions came"),
        ):
            async with world.client(**settings(provider)) as llm:
                with pytest.raises(Unavailable, match=says) as caught:
                    await llm.embed("docs", ["a", "b"])
                assert not caught.value.retryable
                assert len(caught.value.embedded) >= 1

    world.run(body)


def test_a_vector_for_a_text_that_was_not_asked_for_does_no_harm():
    extra = FakeProvider([vectors_chunk([VectorPart(0, packed(1.0)), VectorPart(7, packed(2.0))])])
    with Client(**settings(extra), ledger=False, cache=Cache(MemoryTier())) as llm:
        assert llm.embed("docs", ["a"]).tolist() == [[1.0]]
        assert llm.embed("docs", ["a"]).cache == "hit"
