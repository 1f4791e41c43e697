"""Retries and fallbacks, up to the first chunk."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit import (
    AuthenticationFailed,
    Chunk,
    ContentFiltered,
    DeadlineExceeded,
    RateLimited,
    Retry,
    StreamInterrupted,
    Target,
    Unavailable,
    compose,
)
from inferkit.client.engine import dispatch
from inferkit.resilience.backoff import backoff
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, make_request
from worlds import Clock


def down(**details):
    return Unavailable("down", provider="fake", **details)


def call(*providers, clock=None, retry=None, **changes):
    """Send one request down a retry layer; give its text and what was asked of each provider."""
    clock = clock or Clock()
    candidates = tuple(Target(f"p{place}", "m", provider) for place, provider in enumerate(providers))
    request = make_request(runtime=clock).replace(candidates=candidates, **changes)
    handler = compose([retry or Retry(random=lambda: 1.0)], dispatch)

    async def read():
        response = await handler(request)
        return "".join([chunk.text for chunk in await response.read()])

    return drive(read()), request.record


def test_the_next_candidate_is_asked_at_once_when_the_first_is_down():
    first, second = FakeProvider(down(status=500)), FakeProvider("hello")
    clock = Clock()
    text, record = call(first, second, clock=clock)
    assert text == "hello"
    assert clock.slept == []
    assert [request.attempt_kind for request in first.requests + second.requests] == ["primary", "fallback"]
    assert (record.provider, record.model) == ("p1", "m")


def test_the_only_candidate_is_asked_again_after_a_wait():
    provider = FakeProvider(down(), down(), "hello")
    clock = Clock()
    text, _ = call(provider, clock=clock)
    assert text == "hello"
    assert clock.slept == [0.5, 1.0]
    assert [request.attempt_kind for request in provider.requests] == ["primary", "retry", "retry"]
    assert [request.attempt for request in provider.requests] == [1, 2, 3]


def test_a_candidate_that_is_asked_again_is_a_retry_and_only_another_one_is_a_fallback():
    first, second = FakeProvider(down()), FakeProvider(down())
    with pytest.raises(Unavailable):
        call(first, second, retry=Retry(3))
    assert [request.attempt_kind for request in first.requests] == ["primary", "retry"]
    assert [request.attempt_kind for request in second.requests] == ["fallback", "fallback"]


@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_no_more_requests_are_sent_than_retries_allow(max_retries):
    provider = FakeProvider(down())
    with pytest.raises(Unavailable):
        call(provider, retry=Retry(max_retries))
    assert len(provider.requests) == 1 + max_retries


def test_every_candidate_is_asked_once_even_without_retries():
    providers = [FakeProvider(down()) for _ in range(4)]
    with pytest.raises(Unavailable):
        call(*providers, retry=Retry(0))
    assert [len(provider.requests) for provider in providers] == [1, 1, 1, 1]


def test_a_candidate_that_refuses_the_key_is_not_asked_again_but_the_others_are():
    first = FakeProvider(AuthenticationFailed("no", provider="fake", status=401))
    second = FakeProvider(down(), "hello")
    text, _ = call(first, second)
    assert text == "hello"
    assert (len(first.requests), len(second.requests)) == (1, 2)


def test_the_last_error_is_raised_when_every_candidate_refuses_for_good():
    first = FakeProvider(AuthenticationFailed("no", provider="fake"))
    second = FakeProvider(AuthenticationFailed("nor here", provider="fake"))
    with pytest.raises(AuthenticationFailed, match="nor here"):
        call(first, second)
    assert (len(first.requests), len(second.requests)) == (1, 1)


def test_refused_content_is_not_taken_to_another_model():
    first, second = FakeProvider(ContentFiltered("no", provider="fake")), FakeProvider("hello")
    with pytest.raises(ContentFiltered):
        call(first, second)
    assert second.requests == []


def test_a_deadline_is_not_retried():
    first, second = FakeProvider(DeadlineExceeded("late")), FakeProvider("hello")
    with pytest.raises(DeadlineExceeded):
        call(first, second)
    assert second.requests == []


def test_a_stream_that_breaks_before_its_first_text_is_tried_again():
    provider = FakeProvider([Chunk(), down()], "hello")
    text, _ = call(provider)
    assert text == "hello"
    assert provider.open_streams == 0


def test_a_reply_that_ends_before_it_began_is_tried_again():
    provider = FakeProvider([Chunk(), Chunk(text="", usage=None), StopAsyncIteration()], "hello")
    text, _ = call(provider)
    assert text == "hello"


def test_a_stream_that_breaks_after_its_first_text_is_not_tried_again():
    provider = FakeProvider(["a", "b", down(status=502, code="bad_gateway", detail="its own words")], "hello")
    with pytest.raises(StreamInterrupted) as caught:
        call(provider)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (502, "bad_gateway", True)
    assert caught.value.detail == "its own words"
    assert "what it said itself in .detail" in str(caught.value)
    assert "its own words" not in str(caught.value)
    assert len(provider.requests) == 1


def test_chunks_before_the_commit_point_are_not_lost():
    provider = FakeProvider([Chunk(event="role"), "a", "b"])
    candidates = (Target("p", "m", provider),)
    handler = compose([Retry()], dispatch)

    async def read():
        response = await handler(make_request().replace(candidates=candidates))
        return await response.read()

    chunks = drive(read())
    assert chunks[0].raw == "role"
    assert [chunk.text for chunk in chunks] == ["", "a", "b", ""]


def test_the_wait_that_a_provider_asks_for_is_kept():
    provider = FakeProvider(RateLimited("slow", provider="fake", retry_after=7.0), "hello")
    clock = Clock()
    call(provider, clock=clock, retry=Retry(random=lambda: 0.0))
    assert clock.slept == [7.0]


def test_those_who_were_asked_to_wait_alike_do_not_all_return_at_the_same_time():
    slept = set()
    for spread in (0.0, 0.25, 1.0):
        clock = Clock()
        provider = FakeProvider(RateLimited("slow", provider="fake", retry_after=7.0), "hello")
        call(provider, clock=clock, retry=Retry(random=lambda spread=spread: spread))
        slept.update(clock.slept)
    assert slept == {7.0, 7.125, 7.5}


def test_a_candidate_that_asked_for_time_is_left_alone_while_others_are_asked():
    first = FakeProvider(RateLimited("slow", provider="fake", retry_after=30.0), "late")
    second = FakeProvider(down(), "hello")
    clock = Clock()
    text, _ = call(first, second, clock=clock)
    assert text == "hello"
    assert clock.slept == [0.5]
    assert len(first.requests) == 1


def test_a_wait_that_is_too_long_is_not_begun():
    provider = FakeProvider(RateLimited("slow", provider="fake", retry_after=3600.0), "hello")
    clock = Clock()
    with pytest.raises(RateLimited):
        call(provider, clock=clock)
    assert clock.slept == []


def test_a_wait_past_the_deadline_is_not_begun():
    provider = FakeProvider(down(), "hello")
    clock = Clock()
    with pytest.raises(Unavailable):
        call(provider, clock=clock, deadline=clock.now() + 0.4)
    assert clock.slept == []


def test_what_was_tried_is_noted_for_the_trace():
    first, second = FakeProvider(down(status=503)), FakeProvider("hello")
    _, record = call(first, second)
    assert [(event.name, dict(event.attributes)) for event in record.events] == [
        ("retry", {"attempt": 1, "target": "p0:m", "error": "Unavailable", "status": 503})
    ]


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1e6))
def test_a_wait_is_never_shorter_than_asked_and_is_spread_over_all_of_its_ceiling(round_number, spread, asked):
    ceiling = min(8.0, 0.5 * 2.0 ** min(round_number - 1, 20))
    assert backoff(round_number, base=0.5, longest=8.0, spread=spread, asked=asked) == asked + spread * ceiling
