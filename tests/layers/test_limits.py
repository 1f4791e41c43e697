"""LimitLayer at the client's door: calls wait their turn within their deadline, and nobody's place is lost."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import inferkit
from inferkit import Client, ConfigurationError, Overloaded, Price, RateLimit, Unavailable
from inferkit.testing import FakeProvider, settled
from inferkit.testing.interrupts import interrupted
from worlds import Gate, closing, world_on_a_loop


def settings(provider, limit, **more):
    return {
        "providers": {"fake": provider}, "limits": {"fake:m": limit}, "max_retries": 0, "cache": False, "ledger": False,
        **more,
    }  # fmt: skip


def door(llm):
    layers = getattr(llm, "inner", llm).layers
    return next(layer for layer in layers if layer.role == "limit")._stated["fake:m"].limiter


def test_no_more_calls_run_at_once_than_may_and_all_are_served(world):
    running, most = set(), []

    def script(request):
        running.add(request.record.id)  # as one step, which no other thread comes in between
        most.append(len(running))
        return ["a reply", lambda: running.remove(request.record.id)]

    provider = FakeProvider(script)

    async def body(world):
        async with closing(world.client(**settings(provider, RateLimit(concurrent=3, adaptive=False)))) as llm:
            texts = []

            async def ask():
                texts.append((await llm.complete("fake:m", "Hello?", timeout=60)).text)

            await world.beside(*[ask] * 20)
            return texts

    assert world.run(body) == ["a reply"] * 20
    assert max(most) <= 3


@world_on_a_loop
def test_the_highest_priority_goes_first(world):
    gate, order = Gate(), []

    def script(request):
        order.append(request.messages[-1].text)
        return [gate, "done"] if len(order) == 1 else "done"

    async def body(world):
        async with closing(world.client(**settings(FakeProvider(script), RateLimit(concurrent=1)))) as llm:
            limiter = door(llm)

            async def first():
                await llm.complete("fake:m", "first")

            def waiting(name, priority, place):
                async def ask():
                    await gate.reached.wait()
                    while len(limiter) < place:
                        await anyio.lowlevel.checkpoint() if world.is_async else None
                    await llm.complete("fake:m", name, priority=priority)

                return ask

            async def opens():
                await gate.reached.wait()
                while len(limiter) < 3:
                    await anyio.lowlevel.checkpoint() if world.is_async else None
                gate.open()

            await world.beside(first, waiting("low", 0, 0), waiting("high", 9, 1), waiting("middle", 5, 2), opens)

    world.run(body)
    assert order == ["first", "high", "middle", "low"]


def test_a_full_queue_turns_calls_away_and_the_next_candidate_answers():
    slow, other = FakeProvider("one two three"), FakeProvider("elsewhere")
    limits = {"fake:m": RateLimit(concurrent=1, queue=0)}
    more = {"providers": {"fake": slow, "other": other}, "models": {"any": ["fake:m", "other:m"]}, "limits": limits}
    with Client(**settings(slow, None, **more)) as llm, llm.stream("fake:m", "Hello?") as stream:
        next(stream)
        assert llm.complete("any", "Hello?").text == "elsewhere"
        with pytest.raises(
            Overloaded, match=r"fake:m is held to its limit \(fake:m\) here, and 0 calls wait"
        ) as caught:
            llm.complete("fake:m", "Hello?")
        assert caught.value.attempts == (), "nothing was sent, and nothing is charged"
        assert not caught.value.retryable
        list(stream)
    assert len(slow.requests) == 1


@pytest.mark.usefixtures("now")
def test_a_turn_that_comes_after_the_deadline_is_not_waited_for():
    with Client(**settings(FakeProvider("hi"), RateLimit(requests_per_minute=6))) as llm:
        llm.complete("fake:m", "Hello?")
        with pytest.raises(Overloaded, match=r"its turn comes in (9|10)[.\d]* s, after the call's deadline"):
            llm.complete("fake:m", "Hello?", timeout=5)
        limiter = door(llm)
        assert (limiter.running, len(limiter)) == (0, 0)


def test_a_call_waits_for_its_time(world):
    provider = FakeProvider("hi")

    async def body(world):
        async with closing(world.client(**settings(provider, RateLimit(requests_per_minute=600)))) as llm:
            return [(await llm.complete("fake:m", f"{number}", timeout=60)).text for number in range(103)]

    assert world.run(body) == ["hi"] * 103


def test_all_models_of_a_provider_share_a_limit():
    provider = FakeProvider("one two three", "quick")
    with Client(**settings(provider, None, limits={"fake:*": RateLimit(concurrent=1, queue=0)})) as llm:
        with llm.stream("fake:one", "Hello?") as stream:
            next(stream)
            with pytest.raises(Overloaded, match=r"fake:two is held to its limit \(fake:\*\)"):
                llm.complete("fake:two", "Hello?")
            list(stream)
        assert llm.complete("fake:two", "Hello?").text == "quick"


@pytest.mark.parametrize("how", ["left early", "failed", "dropped"])
def test_a_place_is_given_back_however_a_call_ends(how, world):
    provider = FakeProvider(["one ", "two"], *[Unavailable("down", provider="fake")] * 2, "again")

    async def body(world):
        async with closing(world.client(**settings(provider, RateLimit(concurrent=1, queue=0)))) as llm:
            if how == "left early":
                async with llm.stream("fake:m", "Hello?") as stream:
                    async for _ in stream:
                        break
            elif how == "failed":
                await llm.complete("fake:m", "Hello?")
                for _ in range(2):
                    with pytest.raises(Unavailable):
                        await llm.complete("fake:m", "Hello?")
            else:
                await llm.complete("fake:m", "Hello?")
            limiter = door(llm)
            return limiter.running, len(limiter)

    assert world.run(body) == (0, 0)
    settled()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt in a destructor
def test_a_call_that_is_interrupted_before_it_is_sent_takes_no_place_and_gives_none_back():
    provider = FakeProvider("Hi there")
    with Client(**settings(provider, RateLimit(concurrent=9, requests_per_minute=1e9))) as llm:
        llm.complete("fake:m", "Hello?")
        places, home = 0, str(Path(inferkit.__file__).parent)
        while len(provider.requests) == 1:
            assert interrupted(lambda: llm.complete("fake:m", "Hello?"), places, within=(home,))
            settled()
            if len(provider.requests) == 1:
                assert door(llm).running == 0, f"after an interrupt at place {places}"
            places += 1
        assert places > 50


@world_on_a_loop
def test_a_caller_that_is_cancelled_while_it_waits_leaves_the_queue(world):
    gate = Gate()
    provider = FakeProvider([gate, "late"])

    async def body(world):
        async with closing(world.client(**settings(provider, RateLimit(concurrent=1)))) as llm:
            limiter = door(llm)
            async with anyio.create_task_group() as group:
                group.start_soon(llm.complete, "fake:m", "first")
                await gate.reached.wait()
                async with anyio.create_task_group() as waiting:
                    waiting.start_soon(llm.complete, "fake:m", "second")
                    while not len(limiter):
                        await anyio.lowlevel.checkpoint()
                    waiting.cancel_scope.cancel()
                assert len(limiter) == 0
                gate.open()
            return limiter.running

    assert world.run(body) == 0


@pytest.mark.usefixtures("now")
def test_expected_tokens_are_held_to_the_limit_and_set_right():
    with Client(
        **settings(FakeProvider("hi"), RateLimit(tokens_per_minute=600), prices={"fake:m": Price(1, 1)})
    ) as llm:
        llm.complete("fake:m", "Hello?", max_output_tokens=90)
        assert llm.complete("fake:m", "Hello?", max_output_tokens=60, timeout=1).text == "hi", "little of it came"


@pytest.mark.parametrize("wrong", [{"fake": RateLimit(concurrent=1)}, {"fake:m": 5}, [RateLimit(concurrent=1)]])
def test_limits_of_the_wrong_form_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="limits is a dictionary"):
        Client(limits=wrong)


def test_a_limit_for_a_provider_that_nobody_knows_is_refused_and_not_kept_to_by_nobody():
    with pytest.raises(ConfigurationError, match=r'limits= has a limit for "opnai:\*", but no model .*mean openai\?'):
        Client(models={"fast": "local"}, limits={"opnai:*": RateLimit(concurrent=1)}, ledger=False, cache=False)
