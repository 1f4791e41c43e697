"""The door for requests that other clients made, and what the stack makes of their operation."""

from __future__ import annotations

import contextlib

import pytest

from inferkit import Budget, Cache, ConfigurationError, DeadlineExceeded, Insert, NoRoute, Price, SqliteLedger
from inferkit.budgets.scope import Scope
from inferkit.caching.memory import MemoryTier
from inferkit.client.engine import Engine
from inferkit.testing import FakeProvider, make_request
from layers.test_trace import Recorded
from worlds import on_a_loop


@pytest.fixture
def made(tmp_path):
    """Make an engine with all layers, and close what it leaves open."""
    with contextlib.ExitStack() as stack:

        def make(provider, **settings):
            ledger = stack.enter_context(contextlib.closing(SqliteLedger(tmp_path / "ledger.db")))
            engine = Engine(
                {
                    "providers": {"fake": provider},
                    "prices": {"fake:m": Price("1", "2")},
                    "models": {"any": "fake:m"},
                    "cache": Cache(MemoryTier()),
                    "ledger": ledger,
                    **settings,
                }
            )
            stack.callback(engine.close)
            return engine

        yield make


async def read(engine, request):
    response = await engine.send(request)
    return "".join(chunk.text for chunk in await response.read())


def test_a_request_from_elsewhere_passes_every_layer(run, made):
    recorded, provider = Recorded(), FakeProvider("Hello!")
    engine = made(provider, telemetry=recorded.telemetry)
    scope = Scope(Budget(usd="1", name="all"))

    async def main(runtime):
        texts = []
        for _ in range(2):
            request = make_request(model="any", runtime=runtime).replace(scopes=(scope,))
            texts.append(await read(engine, request))
        return texts, request.record

    texts, record = run(main)
    assert texts == ["Hello!", "Hello!"]
    assert record.cache == "hit"
    assert len(provider.requests) == len(list(engine.ledger.entries())) == 1
    assert len(recorded.named("inferkit.call")) == 2


def test_a_prompt_in_the_place_of_the_name_gets_into_no_trace(run, made):
    recorded = Recorded()
    engine = made(FakeProvider(), telemetry=recorded.telemetry)
    with pytest.raises(NoRoute):
        run(lambda runtime: read(engine, make_request(model="Swordfish is my secret", runtime=runtime)))
    assert recorded.collector.spans == []


@on_a_loop
def test_the_deadline_of_a_request_holds_whoever_made_it(run, made):
    async def never(request, call_next):
        import anyio

        await anyio.sleep_forever()

    engine = made(FakeProvider(), layers=[never])
    with pytest.raises(DeadlineExceeded):
        run(lambda runtime: read(engine, make_request(model="any", runtime=runtime).replace(deadline=runtime.now())))


def test_a_closed_engine_sends_nothing(run, made):
    engine = made(FakeProvider())
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        run(lambda runtime: read(engine, make_request(model="any", runtime=runtime)))


def test_an_operation_that_an_adapter_does_not_know_is_refused_before_it_is_sent(run, made):
    provider = FakeProvider()
    provider.operations = ()
    with pytest.raises(ConfigurationError, match="fake:m gives no embeddings"):
        run(lambda runtime: read(made(provider), make_request(model="any", runtime=runtime).replace(operation="embed")))
    assert provider.requests == []


def test_every_layer_serves_other_operations_too_and_no_reply_crosses_between_them(run, made):
    recorded, provider = Recorded(), FakeProvider("Hello!")
    engine = made(provider, telemetry=recorded.telemetry)

    async def main(runtime):
        for operation in ("chat", "embed", "embed"):
            await read(engine, make_request(model="any", runtime=runtime).replace(operation=operation))

    run(main)
    assert [request.operation for request in provider.requests] == ["chat", "embed"]
    (span,) = recorded.named("embeddings m")
    assert span.attributes["gen_ai.operation.name"] == "embeddings"


def test_a_layer_that_is_inserted_by_name_sees_what_its_place_promises(run, made):
    seen = []

    def watch(name):
        async def layer(request, call_next):
            seen.append((name, request.model, request.attempt, bool(request.candidates)))
            return await call_next(request)

        return layer

    places = [{"before": "resolve"}, {"before": "retry"}, {"after": "retry"}, {"after": "meter"}]
    layers = [watch("plain"), *[Insert(watch(str(place)), **place) for place in places]]
    engine = made(FakeProvider(), layers=layers)
    run(lambda runtime: read(engine, make_request(model="any", runtime=runtime)))
    assert seen == [
        ("plain", "any", 0, False),
        (str(places[0]), "any", 0, False),
        (str(places[1]), "any", 0, True),
        (str(places[2]), "m", 1, True),
        (str(places[3]), "m", 1, True),
    ]
