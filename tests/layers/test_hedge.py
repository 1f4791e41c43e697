"""A first token that is late is asked for a second time, whoever answers first gives the reply, and all is charged."""

from __future__ import annotations

import threading

import pytest

from inferkit import (
    BreakerRules,
    Budget,
    Client,
    ConfigurationError,
    Health,
    Hedge,
    Insert,
    Price,
    RateLimited,
    RetryRules,
    StreamInterrupted,
    Unavailable,
)
from inferkit.routing import Cascade
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.racing import race
from inferkit.testing import FakeProvider, settled
from layers.test_trace import Recorded
from worlds import Gate, closing, world_on_a_loop

PRICES = {"slow:m": Price(1, 10), "quick:m": Price(1, 10)}


def settings(slow, quick, **more):
    models = {"any": ["slow:m", "quick:m"], "one": ["slow:m"]}
    found = {"providers": {"slow": slow, "quick": quick}, "models": models, "prices": PRICES, "max_retries": 0}
    return {**found, "hedge": Hedge(after=0.001), **more}


def stuck(gate, *rest):
    """Give a script that brings nothing before a gate is opened."""
    return [gate, *(rest or ("from the slow one",))]


def test_whoever_answers_first_gives_the_reply_and_the_other_is_ended(world):
    gate, quick = Gate(), FakeProvider("from the quick one")
    slow = FakeProvider(stuck(gate))

    async def body(world):
        async with closing(world.client(**settings(slow, quick))) as llm:
            reply = await llm.complete("any", "Hello?")
            gate.open()
            return reply

    reply = world.run(body)
    settled()
    assert (reply.text, reply.provider) == ("from the quick one", "quick")
    assert [request.attempt for request in slow.requests + quick.requests] == [1, 2]
    hedge = next(attempt for attempt in reply.attempts if attempt.provider == "quick")
    assert (hedge.kind, hedge.outcome) == ("hedge", "completed")
    assert quick.open_streams == 0


@world_on_a_loop
def test_the_loser_is_cancelled_and_charged(world, tmp_path):
    gate, quick = Gate(), FakeProvider("from the quick one")
    slow, budget = FakeProvider(stuck(gate)), Budget(usd="1", per="month", name="all")

    async def body(world):
        more = {"ledger": tmp_path / "ledger.db", "budget": budget}
        async with closing(world.client(**settings(slow, quick, **more))) as llm:
            reply = await llm.complete("any", "Hello?")
            return reply, budget.usage(ledger=llm.ledger)

    reply, spent = world.run(body)
    assert [(attempt.provider, attempt.kind, attempt.outcome) for attempt in reply.attempts] == [
        ("slow", "primary", "cancelled"),
        ("quick", "hedge", "completed"),
    ]
    assert slow.open_streams == 0
    assert spent.usd == reply.cost > 0
    assert spent.held_usd == 0


def test_the_first_one_may_win_after_all(world):
    gate, late = Gate(), Gate()
    slow = FakeProvider([gate, "from the first one"])

    def second(_):
        gate.open()
        return stuck(late)

    quick = FakeProvider(second)

    async def body(world):
        async with closing(world.client(**settings(slow, quick))) as llm:
            reply = await llm.complete("any", "Hello?")
            late.open()
            return reply

    reply = world.run(body)
    settled()
    assert (reply.text, reply.provider) == ("from the first one", "slow")
    assert len(quick.requests) == 1


def test_where_there_is_nobody_else_the_same_model_is_asked_again(world):
    gate = Gate()
    slow = FakeProvider(stuck(gate), "at once")

    async def body(world):
        async with closing(world.client(**settings(slow, FakeProvider(), max_retries=1))) as llm:
            reply = await llm.complete("one", "Hello?")
            gate.open()
            return reply

    assert world.run(body).text == "at once"
    settled()
    assert len(slow.requests) == 2


def test_a_quick_reply_is_not_hedged(world):
    slow, quick = FakeProvider("at once"), FakeProvider("never")

    async def body(world):
        async with closing(world.client(**settings(slow, quick, hedge=Hedge(after=60.0)))) as llm:
            return [(await llm.complete("any", "Hello?")).text for _ in range(3)]

    assert world.run(body) == ["at once"] * 3
    assert quick.requests == []


def test_a_hedge_that_fails_leaves_the_first_one_to_answer(world):
    gate = Gate()
    slow = FakeProvider([gate, "from the slow one"])

    def fails(_):
        gate.open()
        return Unavailable("down", provider="quick")

    async def body(world):
        async with closing(world.client(**settings(slow, FakeProvider(fails)))) as llm:
            return await llm.complete("any", "Hello?")

    assert world.run(body).text == "from the slow one"


def test_where_both_fail_the_error_of_the_first_is_raised_and_retried():
    gate = Gate()
    slow = FakeProvider([gate, Unavailable("the first is down", provider="slow")], "again")

    def fails(_):
        gate.open()
        return Unavailable("so is the second", provider="quick")

    with Client(**settings(slow, FakeProvider(fails), max_retries=2, ledger=False, cache=False)) as llm:
        reply = llm.complete("any", "Hello?")
    assert reply.text == "again"
    *both, last = (attempt.kind for attempt in reply.attempts)
    assert (sorted(both), last) == (["hedge", "primary"], "retry"), "the first two end at the same time"
    assert len({attempt.number for attempt in reply.attempts}) == len(reply.attempts)


def test_a_first_one_that_fails_at_once_is_retried_and_not_hedged():
    slow, quick = FakeProvider(Unavailable("down", provider="slow")), FakeProvider("from quick")
    with Client(**settings(slow, quick, hedge=Hedge(after=60.0), ledger=False, cache=False)) as llm:
        reply = llm.complete("any", "Hello?")
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "fallback"]


def test_a_budget_that_does_not_cover_both_hedges_nothing(tmp_path):
    gate, quick = Gate(), FakeProvider("never")
    slow = FakeProvider([gate, "from the slow one"])
    opened = threading.Timer(0.2, gate.open)
    opened.start()
    more = {"ledger": tmp_path / "ledger.db", "budget": Budget(usd="0.0012", per="month", name="all")}
    with Client(**settings(slow, quick, cache=False, **more)) as llm:
        reply = llm.complete("any", "Hello?", max_output_tokens=100)
    opened.join()
    assert reply.text == "from the slow one"
    assert quick.requests == []


def test_late_is_what_takes_longer_than_nearly_all_of_the_last_ones():
    hedge = Hedge(quantile=0.9, least=10)
    assert hedge._late("m") is None
    for seconds in range(1, 10):
        hedge._measure("m", float(seconds))
        assert hedge._late("m") is None, "too little is known"
    hedge._measure("m", 10.0)
    assert hedge._late("m") == 10.0
    for _ in range(200):
        hedge._measure("m", 1.0)
    assert hedge._late("m") == 1.0, "what is long ago does not count"
    assert hedge._late("another") is None


def test_first_tokens_are_measured_by_the_calls_themselves():
    hedge = Hedge(least=3)
    with Client(**settings(FakeProvider("hi"), FakeProvider(), hedge=hedge, ledger=False, cache=False)) as llm:
        for _ in range(3):
            assert hedge._late("slow:m") is None
            llm.complete("any", "Hello?")
    assert 0.0 < hedge._late("slow:m") < 5.0


def test_no_more_hedges_are_sent_than_their_share_of_the_calls_and_a_few():
    gates = [Gate() for _ in range(60)]
    scripts = iter(gates)
    slow, quick = FakeProvider(lambda _: stuck(next(scripts))), FakeProvider("quick")
    hedge = Hedge(after=0.001, rules=RetryRules(ratio=0.1, floor=2, seconds=1e9))
    with Client(**settings(slow, quick, hedge=hedge, ledger=False, cache=False)) as llm:
        for number, gate in enumerate(gates):
            opener = threading.Timer(0.02, gate.open)
            opener.start()
            llm.complete("any", f"Hello {number}?")
            opener.join()
    settled()
    assert 2 <= len(quick.requests) <= 2 + 0.1 * 60


def test_a_later_request_of_the_same_call_is_not_taken_for_the_hedges(world):
    """The smaller model is hedged, and its reply is not good enough: it is the larger one that breaks then."""
    gate = Gate()
    slow = FakeProvider(stuck(gate), "short")
    large = FakeProvider(["from the large one", Unavailable("broke", provider="quick")])

    async def body(world):
        routes = {"any": Cascade(lambda _, reply: len(reply.text) > 10)}
        async with closing(world.client(**settings(slow, large, routes=routes, max_retries=2))) as llm:
            with pytest.raises(StreamInterrupted) as caught:
                await llm.complete("any", "Hello?")
            gate.open()
            return caught.value

    assert world.run(body).provider == "quick"
    settled()


@world_on_a_loop
def test_both_attempts_are_in_the_trace_with_the_event_that_says_why(world):
    gate, recorded = Gate(), Recorded()
    slow, quick = FakeProvider(stuck(gate)), FakeProvider("quick")

    async def body(world):
        async with closing(world.client(**settings(slow, quick, telemetry=recorded.telemetry))) as llm:
            await llm.complete("any", "Hello?")

    world.run(body)
    attempts = {span.attributes["inferkit.attempt.number"]: span for span in recorded.named("chat m")}
    assert {number: span.attributes["inferkit.attempt.kind"] for number, span in attempts.items()} == {
        1: "primary",
        2: "hedge",
    }
    (call,) = recorded.named("inferkit.call")
    (event,) = [event for event in call.events if event.name == "hedge"]
    assert event.attributes["target"] == "quick:m"


SHUT = BreakerRules(failures=2, cooldown=60)


def down(name, **details):
    return Unavailable("down", provider=name, **details)


def shut(health, name):
    """Have a circuit open."""
    for _ in range(2):
        health.failed(name, down(name), 0, clock.now())
    assert health.of(name, clock.now()).circuit == "open"


def opened_later(gate, *rest):
    """Give a script that is late, and answers in the end: there is nobody else to wait for."""

    def script(_):
        threading.Timer(0.1, gate.open).start()
        return [gate, *rest]

    return script


def test_a_hedge_does_not_go_to_a_model_whose_circuit_is_open():
    health, quick = Health(breaker=SHUT), FakeProvider("never")
    shut(health, "quick:m")
    slow = FakeProvider(opened_later(Gate(), "from the slow one"))
    with Client(**settings(slow, quick, health=health, ledger=False, cache=False)) as llm:
        assert llm.complete("any", "Hello?").text == "from the slow one"
    assert quick.requests == []


def test_a_hedge_is_no_probe():
    health, quick = Health(breaker=SHUT), FakeProvider("never")
    shut(health, "quick:m")
    health.troubled["quick:m"]._breaker.opens_until = clock.now()
    assert health.of("quick:m", clock.now()).circuit == "half_open"
    slow = FakeProvider(opened_later(Gate(), "from the slow one"))
    with Client(**settings(slow, quick, health=health, ledger=False, cache=False)) as llm:
        assert llm.complete("any", "Hello?").text == "from the slow one"
    assert quick.requests == []


@pytest.mark.parametrize(
    ("fault", "stands"),
    [
        (down("quick"), {"circuit": "open", "paused": False, "failures": 2}),
        (RateLimited("wait", provider="quick", retry_after=30.0), {"circuit": "closed", "paused": True, "failures": 0}),
    ],
)
def test_all_calls_know_how_a_hedge_ended(world, fault, stands):
    gates = [Gate() for _ in range(4)]
    scripts, opening = iter(gates), iter(gates)

    class Watched(Health):
        """Opens the way of the first one once it is told of the hedge."""

        def failed(self, name, *rest):
            super().failed(name, *rest)
            next(opening).open()

    health = Watched(breaker=SHUT, retries=None)
    slow = FakeProvider(lambda _: [next(scripts), "from the slow one"])
    quick = FakeProvider(fault, fault)

    async def body(world):
        async with closing(world.client(**settings(slow, quick, health=health, ledger=False, cache=False))) as llm:
            for _ in range(2):
                if not health.of("quick:m", clock.now()).is_asked:
                    break
                await llm.complete("any", "Hello?")

    world.run(body)
    found = health.of("quick:m", clock.now())
    assert {name: getattr(found, name) for name in stands} == stands


@world_on_a_loop
def test_those_that_lose_do_not_count_against_their_model(world):
    health = Health(breaker=SHUT, retries=None)
    slow, quick = FakeProvider(lambda _: stuck(Gate())), FakeProvider("from the quick one")
    more = {"health": health, "hedge": Hedge(after=0.001, rules=RetryRules(ratio=1)), "ledger": False, "cache": False}

    async def body(world):
        async with closing(world.client(**settings(slow, quick, **more))) as llm:
            return [(await llm.complete("any", f"Hello {place}?")).provider for place in range(4)]

    assert world.run(body) == ["quick"] * 4
    assert health.of("slow:m", clock.now()).circuit == "closed"
    assert health.of("slow:m", clock.now()).failures == 0


def test_one_that_fails_while_its_hedge_answers_counts(world):
    gate, late = Gate(), Gate()
    slow = FakeProvider([gate, down("slow", status=503)])

    def second(_):
        gate.open()
        return [late, "from the quick one"]

    quick = FakeProvider(second)

    class Watched(Health):
        """Opens the way of the hedge once it is told of the first one."""

        def failed(self, name, *rest):
            super().failed(name, *rest)
            late.open()

    health = Watched(breaker=SHUT, retries=None)

    async def body(world):
        async with closing(world.client(**settings(slow, quick, health=health, ledger=False, cache=False))) as llm:
            return await llm.complete("any", "Hello?")

    assert world.run(body).provider == "quick"
    assert health.of("slow:m", clock.now()).failures == 1


def test_hedges_and_retries_have_one_budget():
    """Two are left in all: the first two calls take them for hedges, and the third has none, nor a retry."""
    health = Health(breaker=None, retries=RetryRules(ratio=0, floor=2, seconds=1e9))
    hedge = Hedge(after=0.001, rules=RetryRules(ratio=1, floor=100))
    slow = FakeProvider(opened_later(Gate(), down("slow")), opened_later(Gate(), down("slow")), down("slow"))
    quick = FakeProvider("from the quick one")
    with Client(**settings(slow, quick, health=health, hedge=hedge, max_retries=3, ledger=False, cache=False)) as llm:
        assert [llm.complete("any", "Hello?").provider for _ in range(2)] == ["quick", "quick"]
        settled()
        assert llm.health()["slow:m"].retries_left == 0
        with pytest.raises(Unavailable) as caught:
            llm.complete("one", "Hello?")
    assert [attempt.kind for attempt in caught.value.attempts] == ["primary"]


def test_whom_a_hedge_has_asked_in_vain_is_not_asked_again_at_once():
    gate, third = Gate(), FakeProvider("from the third one")
    slow = FakeProvider([gate, down("slow")])

    def fails(_):
        gate.open()
        return down("quick")

    quick = FakeProvider(fails)
    more = {"providers": {"slow": slow, "quick": quick, "third": third}, "prices": {**PRICES, "third:m": Price(1, 1)}}
    with Client(**settings(slow, quick, models={"any": ["slow:m", "quick:m", "third:m"]}, **more)) as llm:
        reply = llm.complete("any", "Hello?")
    assert (reply.provider, len(quick.requests)) == ("third", 1)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Hedge(after=0), "after is a number of seconds"),
        (lambda: Hedge(quantile=1), "quantile is between"),
        (lambda: Hedge(least=0), "least a number of calls"),
        (lambda: Client(hedge=0.5), "hedge is a Hedge"),
    ],
)
def test_a_hedge_that_makes_no_sense_is_refused(make, what):
    with pytest.raises(ConfigurationError, match=what):
        make()


def test_a_result_that_comes_too_late_is_given_up(run):
    gate, lost = Gate(), []

    async def body(runtime):
        async def first():
            await gate()
            return "first"

        async def second():
            return "second"

        async def lose(result):
            lost.append(result)

        found = await race(runtime, first, second, after=0.001, lose=lose)
        gate.open()
        return found

    assert run(body) == "second"


def test_what_was_lost_in_a_thread_is_closed_there():
    gate, lost = Gate(), threading.Event()

    async def first():
        await gate()
        return "first"

    async def second():
        return "second"

    async def lose(result):
        assert result == "first"
        lost.set()

    assert drive(race(DirectRuntime(), first, second, after=0.001, lose=lose)) == "second"
    gate.open()
    assert lost.wait(30)


@pytest.mark.parametrize("winner", ["slow", "quick"])
def test_a_thread_whose_turn_comes_after_its_call_sends_nothing_that_nobody_would_pay_for(winner, tmp_path):
    there, turn, over = threading.Event(), threading.Event(), threading.Event()
    raised = []

    async def in_turn(request, call_next):
        if request.provider == winner:
            assert there.wait(30)
            return await call_next(request)
        there.set()
        assert turn.wait(30)
        try:
            return await call_next(request)
        except BaseException as error:
            raised.append(type(error).__name__)
            raise
        finally:
            over.set()

    slow, quick = FakeProvider("from the slow one"), FakeProvider("from the quick one")
    more = {"ledger": tmp_path / "ledger.db", "budget": Budget(usd=1, name="all"), "cache": False}
    with Client(**settings(slow, quick, layers=[Insert(in_turn, before="meter")], **more)) as llm:
        reply = llm.complete("any", "Hello?", max_output_tokens=9)
        turn.set()
        assert over.wait(30)
        (entry,) = llm.ledger.entries()
    assert (reply.provider, raised) == (winner, ["TooLateError"])
    assert len(slow.requests + quick.requests) == entry.charge.attempts == 1


def test_a_loser_that_cannot_be_given_up_troubles_nobody(caplog):
    gate, tried = Gate(), threading.Event()

    async def first():
        await gate()
        return "first"

    async def second():
        return "second"

    async def lose(_):
        tried.set()
        raise OSError("closed already")

    assert drive(race(DirectRuntime(), first, second, after=0.001, lose=lose)) == "second"
    gate.open()
    assert tried.wait(30)
