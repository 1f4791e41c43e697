"""What statuses, headers and error objects mean: pure, so as tables."""

from __future__ import annotations

import pickle

import pytest

from inferkit.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    InvalidRequest,
    ProviderError,
    RateLimited,
    Unavailable,
)
from inferkit.providers.errors import refusal
from inferkit.providers.waits import requested_wait

NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 09 Sep 2001 03:47:00 +0200"}, 20.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1" * 310}, None),
        ({"retry-after": "1e309"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 09 Sep 99999999999 01:47:00 GMT"}, None),
        ({"retry-after": "99999999"}, None),
        ({"retry-after": "soon", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "1h2m3.5s", "x-ratelimit-reset-tokens": "20ms"}, 3723.5),
        ({"x-ratelimit-reset-requests": "1h", "x-ratelimit-reset-tokens": "20ms",
          "x-ratelimit-remaining-tokens": "0"}, 0.02),
        ({"x-ratelimit-reset-requests": "12"}, 12.0),
        ({"x-ratelimit-reset-requests": "1d1s"}, 86401.0),
        ({"x-ratelimit-reset-requests": "-6m"}, None),
        ({"x-ratelimit-reset-requests": "m"}, None),
    ],
)  # fmt: skip
def test_a_wait_is_read_and_nonsense_is_ignored(headers, wait):
    assert requested_wait(headers, wall_clock=NOW) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("status", "error", "kind", "retryable"),
    [
        (401, {}, AuthenticationFailed, False),
        (403, {}, AuthenticationFailed, False),
        (429, {}, RateLimited, True),
        (429, {"code": "insufficient_quota"}, RateLimited, False),
        (429, {"code": None, "type": "insufficient_quota"}, RateLimited, False),
        (402, {}, RateLimited, False),
        (400, {}, InvalidRequest, False),
        (400, {"code": "content_filter"}, ContentFiltered, False),
        (400, {"code": "rate_limit_exceeded"}, InvalidRequest, False),
        (404, "no such model", InvalidRequest, False),
        (413, None, InvalidRequest, False),
        (422, [], InvalidRequest, False),
        (307, None, InvalidRequest, False),
        (408, None, Unavailable, True),
        (409, None, Unavailable, True),
        (500, None, Unavailable, True),
        (503, None, Unavailable, True),
        (529, {"type": "overloaded_error"}, Unavailable, True),
        (None, {"code": 429}, RateLimited, True),
        (None, {"code": "502"}, Unavailable, True),
        (None, {"code": 400}, InvalidRequest, False),
        (None, {"code": "rate_limit_exceeded"}, RateLimited, True),
        (None, {"type": "invalid_request_error"}, InvalidRequest, False),
        (None, {"code": "content_filter"}, ContentFiltered, False),
        (None, {"type": "server_error"}, Unavailable, True),
        (None, {"code": True}, Unavailable, True),
        (None, {}, Unavailable, True),
        (None, "it broke", Unavailable, True),
    ],
)
def test_a_refusal_becomes_its_kind_of_error(status, error, kind, retryable):
    made = refusal("acme", status, {}, error)
    assert type(made) is kind
    assert made.retryable is retryable
    assert made.provider == "acme"
    assert made.status == status
    assert str(made).startswith("acme ")


def test_the_provider_may_say_itself_whether_to_retry():
    assert not refusal("acme", 500, {"x-should-retry": "false"}, None).retryable
    assert refusal("acme", 400, {"x-should-retry": "True"}, None).retryable
    assert refusal("acme", 500, {"x-should-retry": "perhaps"}, None).retryable


def test_a_wait_is_handed_on_only_where_waiting_helps():
    headers = {"retry-after": "7"}
    assert refusal("acme", 429, headers, None).retry_after == 7.0
    assert refusal("acme", 401, headers, None).retry_after is None


def test_the_providers_words_are_kept_apart_from_the_message():
    words = "Incorrect API key provided: sk-12**89. You wrote: my secret diary"
    for error in ({"message": words, "code": "invalid_api_key"}, words):
        made = refusal("acme", 401, {}, error)
        assert made.detail == words
        for shown in (str(made), repr(made), repr(made.args)):
            assert "secret diary" not in shown
            assert "sk-" not in shown
        assert pickle.loads(pickle.dumps(made)).detail == words


@pytest.mark.parametrize("code", ["my secret diary", "x" * 65, {"a": 1}, "sk\n"])
def test_a_code_that_is_no_code_is_not_shown(code):
    made = refusal("acme", 400, {}, {"code": code})
    assert made.code is None
    assert "secret" not in str(made)


def test_every_refusal_says_what_to_do():
    for status in (302, 400, 401, 402, 429, 500):
        made: ProviderError = refusal("acme", status, {}, None)
        assert f"HTTP {status}" in str(made)
        assert any(verb in str(made) for verb in ("check", "wait", "try again", "top it up", "correct"))
