"""Who is asked after each kind of failure, as the policy says: by requests that providers get."""

from __future__ import annotations

import logging

import pytest

from inferkit import (
    AuthenticationFailed,
    Client,
    ContentFiltered,
    ContextOverflow,
    Failover,
    InvalidRequest,
    Price,
    RateLimited,
    Retry,
    Target,
    Unavailable,
    compose,
)
from inferkit.client.engine import dispatch
from inferkit.routing import Cascade, is_valid
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, make_request
from worlds import Clock


def call(*targets, failover=None, max_retries=2, clock=None, **changes):
    request = make_request(runtime=clock or Clock()).replace(candidates=targets, **changes)
    handler = compose([Retry(max_retries, failover=failover, random=lambda: 1.0)], dispatch)

    async def read():
        response = await handler(request)
        return "".join([chunk.text for chunk in await response.read()])

    return drive(read())


def target(name, *script, window=None, adapter=None, model="m"):
    price = None if window is None else Price("1", "1", context_window=window)
    return Target(name, model, adapter or FakeProvider(*script), price)


def asked(*targets):
    return [len(each.adapter.requests) for each in targets]


def no(kind, **details):
    return kind("no", provider="p", **details)


def test_what_one_provider_finds_wrong_another_may_take():
    first, second = target("a", no(InvalidRequest, status=400)), target("b", "hello")
    assert call(first, second) == "hello"
    strict = target("a", no(InvalidRequest, status=400))
    with pytest.raises(InvalidRequest):
        call(strict, target("b", "hello"), failover=Failover(invalid="raise"))


def test_a_prompt_that_does_not_fit_is_not_taken_to_smaller_windows():
    first = target("a", no(ContextOverflow, status=400), window=8_000)
    small, large = target("b", "small", window=4_000), target("c", "large", window=200_000)
    assert call(first, small, large) == "large"
    assert asked(small, large) == [0, 1]
    with pytest.raises(ContextOverflow):
        call(target("a", no(ContextOverflow, status=400), window=8_000), target("b", "small", window=8_000))


def test_a_refused_key_is_not_tried_with_its_other_models(caplog):
    caplog.set_level(logging.WARNING, "inferkit")
    keyless = FakeProvider(no(AuthenticationFailed, status=401))
    first, same, other = (
        target("a", adapter=keyless, model="large"),
        target("a", adapter=keyless, model="small"),
        target("b", "hello"),
    )
    assert call(first, same, other) == "hello"
    assert len(keyless.requests) == 1
    assert "its key is refused; set the right one" in caplog.text


def test_a_model_that_a_key_may_not_use_leaves_the_other_models_of_its_provider():
    provider = FakeProvider(no(AuthenticationFailed, status=403), "small")
    assert call(target("a", adapter=provider, model="large"), target("a", adapter=provider, model="small")) == "small"


def test_refused_content_is_taken_elsewhere_where_the_policy_says_so():
    filtering = FakeProvider(no(ContentFiltered))
    targets = target("a", adapter=filtering), target("a", adapter=filtering, model="n"), target("b", "hello")
    with pytest.raises(ContentFiltered):
        call(*targets)
    assert call(*targets, failover=Failover(filtered="elsewhere")) == "hello"
    assert len(filtering.requests) == 2


def test_a_model_that_is_to_be_stayed_with_is_asked_again_before_the_others():
    clock = Clock()
    first, second = target("a", no(RateLimited, retry_after=3.0), "at last"), target("b", "hello")
    assert call(first, second, failover=Failover(rate_limited="stay"), clock=clock) == "at last"
    assert asked(first, second) == [2, 0]
    assert clock.slept == [3.5]
    assert [request.attempt_kind for request in first.adapter.requests] == ["primary", "retry"]


def test_staying_leaves_a_request_for_each_of_the_others():
    first, second = target("a", no(RateLimited)), target("b", "hello")
    assert call(first, second, failover=Failover(rate_limited="stay"), max_retries=2) == "hello"
    assert asked(first, second) == [2, 1]
    first, second = target("a", no(RateLimited)), target("b", "hello")
    assert call(first, second, failover=Failover(rate_limited="stay"), max_retries=0) == "hello"
    assert asked(first, second) == [1, 1]


def test_the_others_are_asked_where_staying_would_take_too_long():
    clock = Clock()
    first, second = target("a", no(RateLimited, retry_after=30.0)), target("b", "hello")
    failover = Failover(rate_limited="stay")
    assert call(first, second, failover=failover, clock=clock, deadline=clock.at + 10) == "hello"
    assert clock.slept == []


def test_only_one_model_that_is_stayed_with_fails_in_the_end_as_ever():
    first = target("a", no(Unavailable))
    with pytest.raises(Unavailable):
        call(first, failover=Failover(unavailable="stay"))
    assert asked(first) == [3]


def test_a_failure_may_end_the_call_or_never_be_tried_again():
    first, second = target("a", no(Unavailable)), target("b", "hello")
    with pytest.raises(Unavailable):
        call(first, second, failover=Failover(unavailable="raise"))
    assert asked(first, second) == [1, 0]
    alone = target("a", no(Unavailable))
    with pytest.raises(Unavailable):
        call(alone, failover=Failover(unavailable="next"))
    assert asked(alone) == [1]


def test_what_a_provider_says_about_asking_again_goes_first():
    first = target("a", no(InvalidRequest, status=400, retryable=True), "hello")
    assert call(first) == "hello"
    never = target("a", no(Unavailable, status=500, retryable=False))
    with pytest.raises(Unavailable):
        call(never)
    assert asked(never) == [1]


def test_a_client_keeps_to_the_policy_of_each_name_and_in_cascades_too():
    def providers():
        return {"a": FakeProvider(no(ContentFiltered)), "b": FakeProvider("hello")}

    settings = {"models": {"open": ["a:m", "b:m"], "strict": ["a:m", "b:m"]}, "cache": False, "ledger": False}
    policy = {"open": Failover(filtered="next")}
    for routes in (None, Cascade(is_valid)):
        with Client(providers=providers(), failover=policy, routes=routes, **settings) as llm:
            assert llm.complete("open", "Hello?").text == "hello"
            with pytest.raises(ContentFiltered):
                llm.complete("strict", "Hello?")
