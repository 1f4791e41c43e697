"""What a name stands for is looked up once a call, and anew where a layer puts another name in its place."""

from __future__ import annotations

import pytest

from inferkit import (
    Budget,
    Cache,
    Catalog,
    ConfigurationError,
    Insert,
    NoRoute,
    Price,
    Retry,
    SqliteLedger,
    Target,
    Unavailable,
    compose,
    default_stack,
)
from inferkit.budgets.scope import Scope
from inferkit.caching.memory import MemoryTier
from inferkit.client.engine import dispatch
from inferkit.layers.resolve import Resolve, resolved
from inferkit.layers.route import Route
from inferkit.pricing.price_book import PriceBook
from inferkit.routing.combining import Routes
from inferkit.routing.policy import Ordered
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, make_request
from layers.test_trace import Recorded
from worlds import closing

DOWN = Unavailable("down", provider="a", status=503)
MODELS = {"any": ["a:m", "b:m"], "small": "b:small"}
PRICES = {"a:m": Price("10", "20"), "b:*": Price("1", "2")}


class Counting(Catalog):
    """Notes which names it is asked for."""

    def __init__(self, *providers):
        super().__init__(MODELS, dict(zip("ab", providers, strict=True)))
        self.asked = []

    def resolve(self, name):
        self.asked.append(name)
        return super().resolve(name)


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def call(catalog, ledger, *budgets, **options):
    """Make one call through the whole stack; give the names that were looked up for it, and its record."""
    layers = default_stack(
        catalog,
        prices=PriceBook(PRICES),
        cache=Cache(MemoryTier()),
        ledger=ledger,
        retry=Retry(4, base=0.001),
        **options,
    )
    request = make_request(model="any").replace(scopes=tuple(map(Scope, budgets)))

    async def read():
        return await (await compose(layers, dispatch)(request)).read()

    drive(read())
    return catalog.asked, request.record


def test_a_name_is_looked_up_once_by_a_call_with_cache_budget_fallback_and_retry(ledger):
    catalog = Counting(FakeProvider(DOWN, DOWN, "hello"), FakeProvider(DOWN))
    asked, record = call(catalog, ledger, Budget(usd="1", name="all"), estimates="learned")
    assert len(record.attempts) == 5
    assert asked == ["any"]


def test_a_budget_that_degrades_looks_its_model_up_once(ledger):
    catalog = Counting(FakeProvider(), FakeProvider("hello"))
    small = {"on_exceed": "degrade", "degrade_to": "small"}
    asked, record = call(
        catalog, ledger, Budget(tokens=10, name="one", **small), Budget(tokens=11, name="other", **small)
    )
    assert record.degraded == "other", "both took the call to the same model"
    assert asked == ["any", "small"]


def test_another_model_leaves_a_request_without_candidates_unless_they_come_with_it():
    targets = (Target("a", "m", FakeProvider()),)
    request = make_request().replace(candidates=targets)
    assert request.replace(seed=1).candidates == targets
    assert request.replace(model="other").candidates == ()
    assert request.replace(model="other", candidates=targets).candidates == targets


@pytest.mark.parametrize("role", ["trace", "resolve", "cache", "budget", "route"])
def test_a_layer_may_put_another_name_in_the_callers_place(world, role, tmp_path):
    async def take_the_small_one(request, call_next):
        return await call_next(request.replace(model="small"))

    a, b = FakeProvider("from a"), FakeProvider("from b")

    async def body(world):
        settings = {"models": MODELS, "providers": {"a": a, "b": b}, "cache": True, "home": tmp_path, "ledger": True}
        settings |= {
            "budget": Budget(usd="1", name="all"),
            "prices": {"a:m": Price("10", "20"), "b:*": Price("1", "2")},
        }
        async with closing(world.client(**settings, layers=[Insert(take_the_small_one, after=role)])) as llm:
            answer = await llm.complete("any", "Hi")
        return answer.text, answer.model, answer.cost > 0

    assert world.run(body) == ("from b", "small", True)
    assert a.requests == []


def test_candidates_that_a_request_brings_are_not_looked_up():
    target = Target("a", "m", FakeProvider())
    catalog = Counting(FakeProvider(), FakeProvider())
    seen = []

    async def inner(request):
        seen.append(request.candidates)
        return await target.adapter(request)

    drive(Resolve(catalog)(make_request(model="unheard-of").replace(candidates=(target,)), inner))
    assert (seen, catalog.asked) == ([(target,)], [])


def test_a_stack_that_resolves_no_names_says_what_is_missing():
    with pytest.raises(ConfigurationError, match="put the resolve layer before"):
        resolved(make_request())


def test_a_name_that_stands_for_nothing_is_refused_and_the_refusal_is_traced(world, tmp_path):
    recorded = Recorded()

    async def body(world):
        settings = {"providers": {"fake": FakeProvider()}, "telemetry": recorded.telemetry, "cache": True}
        async with closing(world.client(**settings, home=tmp_path, ledger=True)) as llm:
            with pytest.raises(NoRoute, match='"nowhere:m"'):
                await llm.complete("nowhere:m", "Hi")

    world.run(body)
    (span,) = recorded.named("inferkit.call")
    assert (span.attributes["error.type"], span.attributes["inferkit.model"]) == ("NoRoute", "nowhere:m")


def test_a_policy_orders_and_narrows_the_candidates():
    class Last:
        name = "last"

        def plan(self, request):
            return request.candidates[-1:]

    targets = tuple(Target(name, "m", FakeProvider()) for name in "abc")
    seen = []

    async def inner(request):
        seen.append([target.name for target in request.candidates])
        return await targets[0].adapter(request)

    request = make_request().replace(candidates=targets)
    for routes in (None, Routes(Ordered()), Routes(Last())):
        drive(Route(routes)(request, inner))
    assert seen == [["a:m", "b:m", "c:m"], ["a:m", "b:m", "c:m"], ["c:m"]]
    assert dict(request.record.events[-1].attributes) == {"policy": "last", "candidates": 1, "chosen": "c:m"}


def test_a_policy_that_leaves_no_candidate_is_no_route():
    class Nobody:
        name = "nobody"

        def plan(self, request):
            return ()

    with pytest.raises(NoRoute, match='"nobody" leaves no candidate for "fake:any"'):
        drive(Route(Routes(Nobody()))(make_request().replace(candidates=(Target("a", "m", None),)), FakeProvider()))


def test_a_key_that_is_changed_under_way_gets_no_reply_of_the_old_one(world, tmp_path):
    provider = FakeProvider()

    async def body(world):
        settings = {"providers": {"mine": provider}, "models": {"any": "mine:m"}, "cache": True, "home": tmp_path}
        found = []
        async with closing(world.client(**settings)) as llm:
            for key in ("first", "first", "second", "first"):
                provider.fingerprint = f"hash of the {key} key"
                found.append((await llm.complete("any", "Hi")).cache)
        return found

    assert world.run(body) == ["miss", "hit", "miss", "hit"]
