"""What all calls of a client know together: models that fail are left alone, and retries multiply no outage."""

from __future__ import annotations

import contextlib
import logging
import pickle
from types import SimpleNamespace

import pytest

from chat_wire import completion
from inferkit import (
    AuthenticationFailed,
    BreakerRules,
    CircuitOpen,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    Health,
    InferkitError,
    Insert,
    OpenAIChat,
    ProviderError,
    RateLimited,
    Retry,
    RetryRules,
    StreamInterrupted,
    Target,
    Unavailable,
    compose,
)
from inferkit.client.engine import dispatch
from inferkit.core.attempt import Attempt
from inferkit.core.usage import Usage
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, make_request
from wire import RESET, Wire, reply
from worlds import Clock

RULES = BreakerRules(failures=3, cooldown=2.0)
CALLERS = 64


class Application:
    """Calls that share what they know, on a clock of their own."""

    def __init__(self, *providers, max_retries=0, breaker=RULES, retries=None):
        self.clock = Clock()
        self.health = Health(breaker=breaker, retries=retries)
        self.providers = providers
        self.retry = Retry(max_retries, health=self.health, random=lambda: 1.0)
        self.record = None

    def call(self, **changes):
        candidates = tuple(Target(f"p{place}", "m", provider) for place, provider in enumerate(self.providers))
        request = make_request(runtime=self.clock).replace(candidates=candidates, **changes)
        self.record = request.record
        handler = compose([self.retry], dispatch)

        async def read():
            response = await handler(request)
            return "".join([chunk.text for chunk in await response.read()])

        return drive(read())

    def fail(self, times=1):
        for _ in range(times):
            with pytest.raises(InferkitError):
                self.call()

    @property
    def asked(self):
        return [len(provider.requests) for provider in self.providers]

    def stands(self, name="p0:m"):
        return self.health.of(name, self.clock.at)


def down(**details):
    return Unavailable("down", provider="fake", **details)


def test_a_model_that_keeps_failing_is_not_asked_any_more_and_the_error_says_for_how_long():
    app = Application(FakeProvider(down()))
    app.fail(3)
    with pytest.raises(
        CircuitOpen, match=r"p0:m has been failing \(Unavailable\).* 2 s more; nothing was sent"
    ) as caught:
        app.call()
    assert (caught.value.provider, caught.value.code, caught.value.retry_after) == ("p0", "circuit_open", 2.0)
    assert caught.value.retryable
    assert app.asked == [3]
    assert app.record.events[-1].attributes == {"target": "p0:m", "skipped": "circuit_open"}
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), CircuitOpen)


def test_another_candidate_is_asked_instead_without_a_request_to_the_one_that_fails():
    app = Application(FakeProvider(down()), FakeProvider("hello"))
    assert [app.call() for _ in range(10)] == ["hello"] * 10
    assert app.asked == [3, 10]
    assert {request.attempt_kind for request in app.providers[1].requests} == {"fallback"}


def test_after_its_cooldown_one_call_asks_it_and_it_is_back_when_that_works():
    app = Application(FakeProvider(down(), down(), down(), "hello"))
    app.fail(3)
    app.clock.at += 2.0
    assert app.call() == "hello"
    assert app.stands().circuit == "closed"
    assert app.health.troubled == {}, "nothing is kept of a model that works"


def test_a_probe_that_fails_leaves_it_alone_for_twice_as_long():
    app = Application(FakeProvider(down()))
    app.fail(3)
    app.clock.at += 2.0
    app.fail()
    assert app.asked == [4]
    assert app.stands().seconds_left == 4.0


def test_while_one_call_probes_the_others_wait_or_go_elsewhere():
    app = Application(FakeProvider(down(), down(), down(), lambda _: probe()), FakeProvider("elsewhere"))

    def probe():
        assert app.stands().circuit == "half_open"
        assert app.call() == "elsewhere"
        return "hello"

    assert [app.call() for _ in range(3)] == ["elsewhere"] * 3
    app.clock.at += 2.0
    assert app.call() == "hello"
    assert app.asked == [4, 4]


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("no", provider="fake", status=401),
        ConfigurationError("no"),
        KeyboardInterrupt(),
        DeadlineExceeded("late"),
        RateLimited("slow", provider="fake"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_the_callers_own_does_not_count_and_frees_the_place_of_the_probe(error):
    app = Application(FakeProvider(*[error] * 10, down(), down(), down(), error, "hello"))
    for _ in range(10):
        with pytest.raises(type(error)):
            app.call()
    assert app.stands().circuit == "closed"
    app.fail(3)
    app.clock.at += 2.0
    with pytest.raises(type(error)):
        app.call()
    assert app.call() == "hello", "the probe told nothing, so the next call is one"


def slow(seconds):
    """Give a script of a provider that takes so long that its caller gives up."""

    def script(request):
        attempt = Attempt(1, "primary", "p0", "m", "error", Usage(), 0, None, seconds)
        request.record.attempts.append(attempt)
        raise DeadlineExceeded

    return script


def test_a_model_that_lets_its_callers_wait_in_vain_is_left_alone_too():
    app = Application(FakeProvider(slow(30.0)))
    app.fail(4)
    assert app.asked == [3]
    hurried = Application(FakeProvider(slow(0.1)))
    hurried.fail(4)
    assert hurried.asked == [4]


def test_a_stream_that_breaks_in_the_middle_counts_as_a_failure():
    app = Application(FakeProvider(["a", down()]))
    for _ in range(3):
        with pytest.raises(StreamInterrupted):
            app.call()
    assert app.stands().failures == 1, "each began well, which is counted too"
    with contextlib.suppress(StreamInterrupted, CircuitOpen):
        for _ in range(20):
            app.call()
    assert app.asked[0] < 20


def test_the_time_that_a_model_asks_for_is_kept_by_all_calls():
    app = Application(FakeProvider(RateLimited("slow", provider="fake", retry_after=7.0), "hello"))
    app.fail()
    assert app.stands().paused
    began = app.clock.at
    assert app.call() == "hello"
    assert app.clock.at - began == 7.5
    assert app.asked == [2]


def test_a_call_that_cannot_wait_so_long_is_told_so_and_nothing_is_sent():
    app = Application(FakeProvider(RateLimited("slow", provider="fake", retry_after=7.0), "hello"))
    app.fail()
    with pytest.raises(RateLimited, match="p0:m asked to be left alone for 7 s more, and nothing was sent") as caught:
        app.call(deadline=app.clock.at + 5.0)
    assert (caught.value.code, caught.value.retry_after) == ("paused", 7.0)
    assert app.asked == [1]


def test_a_pause_that_is_over_as_it_is_told_is_no_failing_model():
    app = Application(FakeProvider("hello"))
    app.health.failed("p0:m", RateLimited("slow", provider="p0", retry_after=1.0), 0, app.clock.at)
    told = app.health.troubled["p0:m"].refusal(app.clock.at + 1.0, "p0")
    assert (type(told), told.code, told.retry_after) == (RateLimited, "paused", 0.0)


def test_a_later_and_shorter_wish_does_not_shorten_the_pause():
    app = Application(FakeProvider("hello"))
    app.health.failed("p0:m", RateLimited("slow", provider="p0", retry_after=30.0), 0, app.clock.at)
    app.health.failed("p0:m", RateLimited("slow", provider="p0", retry_after=1.0), 0, app.clock.at)
    assert app.stands().seconds_left == 30.0


def test_a_pause_without_sense_or_end_is_not_believed_for_longer_than_a_minute():
    app = Application(FakeProvider(RateLimited("slow", provider="fake", retry_after=86400.0), "hello"))
    app.fail()
    assert app.stands().seconds_left == 60.0


def test_a_call_that_may_retry_waits_for_a_short_cooldown_and_not_for_a_long_one():
    short = BreakerRules(failures=3, cooldown=1.0)
    app = Application(FakeProvider(down(), down(), down(), "hello"), max_retries=2, breaker=short)
    app.fail()
    assert app.asked == [3]
    assert app.call() == "hello"
    assert app.clock.slept[-1] >= 1.0

    long = Application(FakeProvider(down()), max_retries=2, breaker=BreakerRules(failures=3, cooldown=30.0))
    long.fail()
    slept = len(long.clock.slept)
    with pytest.raises(CircuitOpen):
        long.call()
    assert (long.asked, len(long.clock.slept)) == ([3], slept)


def test_retries_are_a_share_of_the_calls_and_a_few_besides():
    app = Application(
        FakeProvider(down()), max_retries=2, breaker=None, retries=RetryRules(ratio=0.2, floor=10, seconds=1e9)
    )
    app.fail(100)
    assert 100 + 10 <= app.asked[0] <= 1.2 * 100 + 10
    assert app.record.events[-1].attributes["skipped"] == "retry_budget"
    assert app.stands().retries_left == 0


def test_without_rules_nothing_is_held_back():
    app = Application(FakeProvider(down()), max_retries=2, breaker=None, retries=None)
    app.fail(20)
    assert app.asked == [60]
    assert (app.stands().circuit, app.stands().retries_left) == ("closed", None)


def test_what_happens_to_a_model_is_logged_once(caplog):
    caplog.set_level(logging.INFO, "inferkit")
    app = Application(FakeProvider(*[down()] * 3, "hello"))
    app.fail(5)
    app.clock.at += 2.0
    app.call()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "p0:m fails (Unavailable) and is left alone for 2 s; then one call asks it"),
        ("INFO", "p0:m answers again"),
    ]


def test_a_client_says_how_its_models_stand():
    bad, good = FakeProvider(down()), FakeProvider("hello")
    with Client(
        providers={"bad": bad, "good": good},
        models={"fast": ["bad:m", "good:m"]},
        health=Health(breaker=BreakerRules(failures=1, cooldown=60)),
        max_retries=0,
        cache=False,
        ledger=False,
    ) as llm:
        assert [stands.circuit for stands in llm.health().values()] == ["closed", "closed"]
        llm.complete("fast", "Hello?")
        stands = llm.health()
    assert list(stands) == ["bad:m", "good:m"]
    assert (stands["bad:m"].circuit, stands["bad:m"].is_asked, stands["bad:m"].last_error) == (
        "open",
        False,
        "Unavailable",
    )
    assert 0 < stands["bad:m"].seconds_left <= 60
    assert stands["good:m"].is_asked


def test_clients_that_are_given_the_same_health_know_it_together():
    shared, bad = Health(breaker=BreakerRules(failures=1, cooldown=60)), FakeProvider(down())
    settings = {"providers": {"bad": bad}, "health": shared, "max_retries": 0, "cache": False, "ledger": False}
    with Client(**settings) as one, Client(**settings) as other:
        with pytest.raises(Unavailable):
            one.complete("bad:m", "Hello?")
        with pytest.raises(CircuitOpen):
            other.complete("bad:m", "Hello?")
        assert not other.health()["bad:m"].is_asked


def test_a_stack_whose_retries_are_somebody_elses_has_no_health():
    async def own(request, call_next):
        return await call_next(request.replace(target=request.candidates[0], provider="fake", model="m"))

    with Client(
        providers={"fake": FakeProvider("hello")}, layers=[Insert(own, instead_of="retry")], cache=False, ledger=False
    ) as llm:
        assert llm.complete("fake:m", "Hello?").text == "hello"
        assert llm.health() == {}


@pytest.mark.parametrize("wrong", [{"breaker": 5}, {"retries": "many"}])
def test_rules_of_the_wrong_kind_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="breaker is a BreakerRules or None"):
        Health(**wrong)
    with pytest.raises(ConfigurationError, match="health is a Health"):
        Client(health=wrong)


def refused(_):
    yield reply({"error": {"message": "overloaded", "code": "overloaded"}}, 503)


def reset(_):
    yield RESET


@pytest.mark.parametrize("script", [refused, reset], ids=["503", "reset"])
def test_a_dead_provider_under_many_callers_gets_hardly_more_requests_than_callers(world, script):
    with Wire(script) as wire:
        llm = world.client(
            providers={"dead": OpenAIChat(base_url=wire.url, api_key="k", name="dead")},
            layers=[Insert(Retry(2, base=0.01), instead_of="retry")],
        )
        errors = []

        async def caller():
            try:
                await llm.complete("dead:m", "Hello?")
            except ProviderError as error:
                errors.append(error)

        async def body(_):
            await world.beside(*[caller] * CALLERS)
            await llm.aclose()

        world.run(body)
        assert len(errors) == CALLERS
        assert {type(error) for error in errors} <= {Unavailable, CircuitOpen}
        assert len(wire.requests) <= 1.2 * CALLERS + 10


def test_calls_go_on_when_the_provider_does(world):
    state = SimpleNamespace(up=False)

    def script(request):
        yield from [reply(completion("hello"))] if state.up else refused(request)

    with Wire(script) as wire:
        llm = world.client(
            providers={"p": OpenAIChat(base_url=wire.url, api_key="k", name="p")},
            health=Health(breaker=BreakerRules(failures=2, cooldown=0.05, longest_cooldown=0.05)),
        )

        async def body(_):
            with pytest.raises(Unavailable):
                await llm.complete("p:m", "Hello?")
            state.up = True
            assert (await llm.complete("p:m", "Hello?", timeout=60)).text == "hello"
            await llm.aclose()

        world.run(body)
