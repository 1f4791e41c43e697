"""A call that waits for its turn while the circuit of its model opens is not sent: it is told so, or goes elsewhere."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from inferkit import (
    BreakerRules,
    CircuitOpen,
    Client,
    Health,
    Hedge,
    Insert,
    RateLimit,
    Response,
    RetryRules,
    Unavailable,
)
from inferkit.resilience.model_health import HealthNews
from inferkit.runtime import clock
from inferkit.testing import FakeProvider
from worlds import Gate, closing, world_on_a_loop

NEVER = 0.001  # requests a minute, so that the next one's time does not come while a test runs
ONE_AT_ONCE = RateLimit(concurrent=1, adaptive=False)
FIVE = RetryRules(ratio=0, floor=5, seconds=1e9)
"""Retries that nothing is added to while a test runs."""


def down():
    return Unavailable("down", provider="fake")


def settings(provider, limit, **more):
    return {
        "providers": {"fake": provider, "other": FakeProvider("elsewhere")},
        "models": {"any": ["fake:m", "other:m"]},
        "limits": {"fake:m": limit},
        "max_retries": 0,
        "health": Health(breaker=BreakerRules(failures=1, cooldown=60.0), retries=None),
        **more,
    }


def queue(llm):
    layers = getattr(llm, "inner", llm).layers
    return next(layer for layer in layers if getattr(layer, "role", None) == "limit")._stated["fake:m"].limiter


async def until(world, condition):
    while not condition():
        if world.is_async:
            await anyio.lowlevel.checkpoint()


async def call(llm, name):
    """Make a call, and give its reply or what it is told."""
    try:
        return await llm.complete(name, "Hello?")
    except CircuitOpen as error:
        return error


def one_fails_while_another_waits(world, limit, name):
    """Give what the other one came to, and how many requests the model got."""
    gate, ended = Gate(), []
    provider = FakeProvider([gate, down()], "too much")

    async def body(world):
        async with closing(world.client(**settings(provider, limit))) as llm:

            async def fails():
                with pytest.raises(Unavailable):
                    await llm.complete("fake:m", "Hello?")

            async def waits():
                await gate.reached.wait()
                ended.append(await call(llm, name))

            async def opens():
                await until(world, lambda: len(queue(llm)))
                gate.open()

            await world.beside(fails, waits, opens)
            assert (len(queue(llm)), queue(llm).running) == (0, 0)

    world.run(body)
    return ended[0], len(provider.requests)


limits = pytest.mark.parametrize("limit", [ONE_AT_ONCE, RateLimit(requests_per_minute=NEVER)], ids=["place", "time"])
"""What the other call waits for: the place of the one that fails, or something that it does not give back."""


@limits
def test_a_call_that_waits_while_the_circuit_opens_goes_to_the_next_candidate(limit, world):
    reply, requests = one_fails_while_another_waits(world, limit, "any")
    assert (reply.text, requests) == ("elsewhere", 1)
    assert [(one.number, one.provider, one.kind) for one in reply.attempts] == [(1, "other", "fallback")]


@limits
def test_one_that_can_go_nowhere_else_is_told_that_the_circuit_is_open(limit, world):
    error, requests = one_fails_while_another_waits(world, limit, "fake:m")
    assert isinstance(error, CircuitOpen)
    assert (error.provider, error.code, error.attempts, requests) == ("fake", "circuit_open", (), 1)
    assert 0 < error.retry_after <= 60


def test_what_another_process_tells_counts_too(world):
    gate, ended = Gate(), []
    provider = FakeProvider([gate, "done"], "too much")

    async def body(world):
        how = settings(provider, ONE_AT_ONCE)
        async with closing(world.client(**how)) as llm:

            async def runs():
                ended.append((await llm.complete("fake:m", "Hello?")).text)

            async def waits():
                await gate.reached.wait()
                ended.append(await call(llm, "fake:m"))
                gate.open()

            async def tells():
                await until(world, lambda: len(queue(llm)))
                now = clock.now()
                how["health"].told("fake:m", HealthNews(now, circuit=True, opens_until=now + 30.0, trips=1))

            await world.beside(runs, waits, tells)

    world.run(body)
    assert isinstance(ended[0], CircuitOpen)
    assert (ended[1], len(provider.requests)) == ("done", 1)


def test_a_probe_that_waits_for_its_turn_is_sent(world):
    gate, texts = Gate(), []
    provider = FakeProvider([gate, "sent before"], "the probe")

    async def body(world):
        how = settings(provider, ONE_AT_ONCE)
        health = how["health"]
        async with closing(world.client(**how)) as llm:

            async def runs():
                texts.append((await llm.complete("fake:m", "Hello?")).text)

            async def probes():
                await gate.reached.wait()
                health.failed("fake:m", down(), 0, clock.now())
                health.troubled["fake:m"]._breaker.opens_until = clock.now()
                texts.append((await llm.complete("fake:m", "Hello?")).text)

            async def opens():
                await until(world, lambda: len(queue(llm)))
                gate.open()

            await world.beside(runs, probes, opens)

    world.run(body)
    assert sorted(texts) == ["sent before", "the probe"]


def test_a_hedge_that_waits_while_the_circuit_opens_is_not_sent(world):
    first, running, texts = Gate(), Gate(), []
    slow, provider = FakeProvider([first, "from the first one"]), FakeProvider([running, down()], "too much")
    hedge = Hedge(least=1, rules=FIVE)
    hedge._measure("slow:m", 0.001)
    health = Health(breaker=BreakerRules(failures=1, cooldown=60.0), retries=FIVE)

    async def body(world):
        more = {"hedge": hedge, "providers": {"fake": provider, "slow": slow}, "max_retries": 1, "health": health}
        more["models"] = {"any": ["slow:m", "fake:m"]}
        async with closing(world.client(**settings(provider, ONE_AT_ONCE, **more))) as llm:

            async def fails():
                with pytest.raises(Unavailable):
                    await llm.complete("fake:m", "Hello?")

            async def hedged():
                await running.reached.wait()
                texts.append((await llm.complete("any", "Hello?")).text)

            async def opens():
                await until(world, lambda: len(queue(llm)))
                running.open()
                await until(world, lambda: not len(queue(llm)))
                first.open()

            await world.beside(fails, hedged, opens)

    world.run(body)
    assert (texts, len(provider.requests), len(slow.requests)) == (["from the first one"], 1, 1)
    assert hedge._models["slow:m"].budget.left == 5
    assert "slow:m" not in health.troubled or health.of("slow:m", clock.now()).retries_left == 5


async def mute(request):
    return Response.of([], runtime=request.runtime)


def a_retry_waits_behind_another_call(world, what_then):
    """Have a call fail, and ask again while another one has its place; give how many retries there are in the end."""
    first, second = Gate(), Gate()
    provider = FakeProvider([first, down()], [second, down()], "too much")
    how = settings(provider, ONE_AT_ONCE, max_retries=1)
    health = how["health"] = Health(breaker=BreakerRules(failures=2, cooldown=60.0), retries=FIVE)

    async def body(world):
        async with closing(world.client(**how)) as llm:

            async def retries():
                with pytest.raises(Unavailable):
                    await llm.complete("fake:m", "Hello?", tenant="one")

            async def goes_between():
                await first.reached.wait()
                with pytest.raises(Unavailable):
                    await llm.complete("fake:m", "Hello?", tenant="two")

            async def opens(retry):
                await until(world, lambda: len(queue(llm)))
                first.open()
                await second.reached.wait()
                await until(world, lambda: len(queue(llm)))
                assert health.of("fake:m", clock.now()).retries_left == 4
                what_then(retry)
                second.open()

            await what_then.run(world, retries, goes_between, opens)
            return health.of("fake:m", clock.now()).retries_left, len(provider.requests)

    return world.run(body)


class CircuitOpens:
    """The call that has the place fails, and the circuit opens."""

    def __call__(self, retry):
        pass

    async def run(self, world, retries, goes_between, opens):
        await world.beside(retries, goes_between, lambda: opens(None))


class IsCancelled:
    """Whoever waits for the retry gives up."""

    def __call__(self, retry):
        retry.cancel()

    async def run(self, world, retries, goes_between, opens):
        async with anyio.create_task_group() as group, anyio.create_task_group() as waiting:
            group.start_soon(goes_between)
            group.start_soon(opens, waiting.cancel_scope)
            waiting.start_soon(retries)


def test_a_retry_that_is_called_out_of_a_queue_is_back_in_its_budget(world):
    assert a_retry_waits_behind_another_call(world, CircuitOpens()) == (5, 2)


@world_on_a_loop
def test_a_retry_that_is_cancelled_while_it_waits_is_back_in_its_budget(world):
    assert a_retry_waits_behind_another_call(world, IsCancelled()) == (5, 2)


@pytest.mark.parametrize(
    "provider",
    [FakeProvider(down()), FakeProvider([down()]), mute],
    ids=["refused", "broken before it began", "ended without a word"],
)
@pytest.mark.parametrize(
    "limit", [ONE_AT_ONCE, RateLimit(concurrent=1, tokens_per_minute=1000, adaptive=False)], ids=["place", "tokens too"]
)
def test_that_a_request_failed_is_known_before_its_place_is_given_back(provider, limit):
    running = []

    class Watched(Health):
        def failed(self, *how):
            running.append(queue(llm).running)
            super().failed(*how)

    how = settings(provider, limit)
    how["health"] = Watched(breaker=BreakerRules(failures=1, cooldown=60.0), retries=None)
    llm = Client(**how)
    with llm, pytest.raises(Unavailable):
        llm.complete("fake:m", "Hello?")
    assert (running, queue(llm).running) == ([1], 0)


@pytest.mark.parametrize("limit", [ONE_AT_ONCE, RateLimit(concurrent=1, tokens_per_minute=1000)], ids=["place", "both"])
def test_a_reply_that_a_layer_reads_before_its_call_has_begun_gives_its_place_back_and_is_no_failure(limit, world):
    async def whole(request, call_next):
        return Response.of(await (await call_next(request)).read(), runtime=request.runtime)

    how = settings(FakeProvider("Hi there"), limit, layers=[Insert(whole, after="retry")])

    async def body(world):
        async with closing(world.client(**how)) as llm:
            texts = [(await llm.complete("fake:m", "Hello?")).text for _ in range(2)]
            return texts, queue(llm).running, list(how["health"].troubled)

    assert world.run(body) == (["Hi there"] * 2, 0, [])
